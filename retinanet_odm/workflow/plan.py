"""The steps of a run and their commands, as pure functions of the request and of the sizes of the splits.

Begin with `plan_data` and `plan_model`: the second plan needs the data set of the first.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinanet_odm.dataset.splits import TEST_SPLIT, evaluation_splits
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.systems import shell_word

DATASET, MODEL, SCORED = "dataset", "model", "scored"  # the folders of the programs, below --output
_VAL_SPLIT = "val"  # which the trainer evaluates without --eval_split
_FORMATS = "counts,cvat,report"  # as in docs/local.md

# By program, the functions that parse its command line without running it, and the one that checks the values.
_PARSERS = {
    "beam_jobs": ("beam_jobs.flags", "make_prepare_parser", None),  # runs first, so it reports its values soon enough
    "inference": ("inference.options", "make_score_parser", "score_options"),
}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The request of a run. Fields that a program has as a flag have its name and meaning.

    Attributes:
      archive: images to score; empty for none.
      output: the folder of the run, which holds those of the programs.
      num_epochs: None for the trainer's own number.
      prepare_flags, train_flags, score_flags: further words of these programs' commands.
      accept_errors: go on although the check has found errors.
      replace: permit prepare and score to replace what an earlier run has written.

    Raises:
      UsageError: there is nothing to learn from, or the output is no local folder.
    """

    images: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    archive: tuple[str, ...] = ()
    output: str
    labels: str | None = None
    label_aliases: str | None = None
    split_group: str | None = None
    deployment: str | None = None
    preset: str = "tiny"
    num_epochs: int | None = None
    prepare_flags: tuple[str, ...] = ()
    train_flags: tuple[str, ...] = ()
    score_flags: tuple[str, ...] = ()
    accept_errors: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if not self.exports and not (self.images and self.annotations):
            raise UsageError("run: expected --images and --annotations, or --exports")
        if "://" in self.output:
            raise UsageError(f"--output: expected a folder of this machine, found {self.output}")

    def folder(self, name: str) -> str:
        """Return the folder of a program."""
        return files.join(self.output, name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Everything that the data set is made from."""
        single = tuple(path for path in (self.labels, self.label_aliases) if path)
        return (*self.images, *self.annotations, *self.exports, *single)


@dataclass(frozen=True, kw_only=True)
class WorkflowStep:
    """A command of a run.

    Attributes:
      name: for the user, and in run.json.
      purpose: what it does, in a few words.
      words: the command line after ``python``.
      permissions: words that do not change the result: a step that is complete is not repeated because of them.
      reads: patterns and folders of the user's files that decide the result.
      depends: files of earlier steps that decide the result.
      mark: the file or folder that is there when the step is complete.
    """

    name: str
    purpose: str
    words: tuple[str, ...]
    permissions: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    mark: str

    @property
    def command(self) -> str:
        """The command line, to be copied into a shell."""
        return shell_command(("python", *self.words))


def shell_command(words: Sequence[str]) -> str:
    """Join words for a shell.

    Example:
      >>> shell_command(["python", "-m", "trainer", "--model_dir=my model"])
      "python -m trainer '--model_dir=my model'"
    """
    return " ".join(map(shell_word, words))


def plan_data(options: RunOptions) -> list[WorkflowStep]:
    """Return the steps that make the data set."""
    folder = options.folder(DATASET)
    shared = (*_input_words(options), "--output", folder)
    replace = ("--replace",) if options.replace else ()
    return [
        WorkflowStep(
            name="check",
            purpose="report what is wrong with images and annotations",
            words=_with_flags("--prepare_flags", ("-m", "beam_jobs", "check", *shared), options.prepare_flags),
            reads=options.inputs,
            mark=files.join(folder, "check.html"),
        ),
        WorkflowStep(
            name="prepare",
            purpose="write the data set, and divide it into splits",
            # An interrupted step keeps the shards that it has written.
            words=_with_flags(
                "--prepare_flags", ("-m", "beam_jobs", "prepare", *shared, "--resume"), options.prepare_flags
            ),
            permissions=replace,
            reads=options.inputs,
            mark=files.join(folder, "dataset.json"),
        ),
    ]


def plan_model(options: RunOptions, sizes: Mapping[str, int]) -> list[WorkflowStep]:
    """Return the steps after the data set: those of the model, and the scoring of an archive, if there is one.

    Args:
      options: the request.
      sizes: images by split.
    """
    held_out = evaluated_split(sizes)
    steps = [_train(options, held_out)]
    if not held_out:
        steps.append(_trainer_step(options, "export", "export the detector", ("--mode=export",), "export/model.json"))
    if sizes.get(TEST_SPLIT):
        words = ("--mode=eval", f"--eval_split={TEST_SPLIT}")
        purpose = "evaluate the finished detector on images that took no part"
        steps.append(_trainer_step(options, "test", purpose, words, "eval-test.json", needs_export=True))
    if options.archive:
        steps.append(_score(options))
    return steps


def evaluated_split(sizes: Mapping[str, int]) -> str:
    """Return the split on which the trainer chooses weights and thresholds; "" if none has images.

    Example:
      >>> evaluated_split({"train": 8, "val": 1, "test": 1}), evaluated_split({"train": 8, "val": 0, "test": 1})
      ('val', '')
    """
    held_out = evaluation_splits(sizes)
    return _VAL_SPLIT if _VAL_SPLIT in held_out else held_out[0] if held_out else ""


def _input_words(options: RunOptions) -> Iterator[str]:
    for flag in ("images", "annotations", "exports"):
        if values := getattr(options, flag):
            yield from (f"--{flag}", *values)
    for flag in ("labels", "label_aliases", "split_group", "deployment"):
        if value := getattr(options, flag):
            yield f"--{flag}={value}"


def _train(options: RunOptions, held_out: str) -> WorkflowStep:
    if not held_out:
        return _trainer_step(options, "train", "train the detector", ("--mode=train",), "checkpoints")
    split = () if held_out == _VAL_SPLIT else (f"--eval_split={held_out}",)
    purpose = f"train the detector, evaluate it on the split {held_out} and export it"
    return _trainer_step(options, "train", purpose, ("--mode=train_and_eval", *split), "export/model.json")


def _trainer_step(
    options: RunOptions, name: str, purpose: str, mode: tuple[str, ...], mark: str, *, needs_export: bool = False
) -> WorkflowStep:
    model, dataset = options.folder(MODEL), options.folder(DATASET)
    epochs = () if options.num_epochs is None else (f"--num_epochs={options.num_epochs}",)
    words = ("-m", "trainer", *mode, f"--preset={options.preset}", f"--dataset={dataset}", f"--model_dir={model}")
    export = (files.join(model, "export/model.json"),) if needs_export else ()
    return WorkflowStep(
        name=name,
        purpose=purpose,
        words=_with_flags("--train_flags", (*words, *epochs), options.train_flags),
        depends=(files.join(dataset, "dataset.json"), *export),
        mark=files.join(model, mark),
    )


def _score(options: RunOptions) -> WorkflowStep:
    folder, export = options.folder(SCORED), files.join(options.folder(MODEL), "export")
    words = ("-m", "inference", "score", "--images", *options.archive, "--model", export, "--output", folder)
    rule = (f"--deployment={options.deployment}",) if options.deployment else ()
    return WorkflowStep(
        name="score",
        purpose="detect objects in the archive, and count them",
        words=_with_flags("--score_flags", (*words, f"--formats={_FORMATS}", *rule), options.score_flags),
        permissions=("--replace",) if options.replace else (),
        reads=options.archive,
        depends=(files.join(export, "model.json"),),
        mark=files.join(folder, "summary.json"),
    )


def _with_flags(flag: str, words: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Append a user's words to a command.

    Raises:
      UsageError: one of them is a flag that the command has already.
    """
    own = set(_flag_names(words))
    if twice := next((name for name in _flag_names(more) if name in own), None):
        raise UsageError(f"{flag}: run itself sets --{twice} of this command: leave it out")
    return (*words, *more)


def _flag_names(words: Sequence[str]) -> Iterator[str]:
    return (word.partition("=")[0].lstrip("-") for word in words if word.startswith("-"))


# --- Before anything runs ---


def check_commands(options: RunOptions) -> None:
    """Parse the commands of all possible steps, so that a mistyped flag is reported before hours of work.

    Raises:
      UsageError: a program refuses its flags, or is not installed.
    """
    for step in (*plan_data(options), *plan_model(options, {_VAL_SPLIT: 1, TEST_SPLIT: 1})):
        _, program, *words = step.words
        try:
            _parse(program, words)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{step.name}: no package {error.name}; retinanet-odm doctor shows what is missing"
            ) from error


def _parse(program: str, words: list[str]) -> None:
    # By name, as retinanet_odm.cli.console does: this room is below the programs.
    if program in _PARSERS:
        name, make_parser, make_options = _PARSERS[program]
        module: Any = importlib.import_module(name)
        parser = getattr(module, make_parser)()
        flags, rest = parser.parse_known_args(words)
        if make_options:
            getattr(module, make_options)(flags)
        if rest:  # flags of Beam, which takes seconds to import, or mistyped ones
            beam: Any = importlib.import_module("retinanet_odm.beam.options")
            beam.beam_options(rest, parser.command_line(words, flags))
    else:
        importlib.import_module("trainer.flags").parse_request(words, read_text=files.read_text)
