"""The command line: every setting of the configuration as an absl flag. Begin with `parse_request`.

Only trainer.main and trainer.submit read flags; everything else gets a `TrainConfig`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.cli.program import Parser
from retinanet_odm.errors import UsageError
from retinanet_odm.json_documents import parse_json_object
from trainer import legacy_flags, legacy_hparams
from trainer.config import TrainConfig, setting_fields
from trainer.presets import PRESETS, RECIPES, make_config

_DEFAULT_PRESET = "tiny"
_PRESET_HELP = f"defaults for a network and a machine: {', '.join(PRESETS)}; all other flags override it"
_RECIPE_HELP = f"defaults for the training: {', '.join(RECIPES)}; overrides the preset, other flags override it"
# What other trainers call our flags, where the spelling is too far away for a suggestion.
_OTHER_NAMES = {
    "--batch": "--train_batch_size",
    "--batch_size": "--train_batch_size",
    "--data": "--dataset",
    "--imgsz": "--image_size",
    "--lr": "--learning_rate",
    "--model": "--model_dir",
    "--output": "--model_dir",
    "--output_dir": "--model_dir",
    "--steps": "--num_epochs",
}
_FLAGS_OF_PREPARE = dict.fromkeys(("--images", "--annotations", "--exports"), ("python -m beam_jobs prepare",))


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A parsed command line.

    Attributes:
      config: The settings.
      expectations: What an old command line states about its data; None for a command line of this trainer.
      notices: Lines about flags that need an explanation.
    """

    config: TrainConfig
    expectations: legacy_flags.DatasetExpectations | None = None
    notices: tuple[str, ...] = ()


def parse_request(argv: Sequence[str], *, read_text: Callable[[str], str]) -> TrainRequest:
    """Parse a command line of this trainer, or of tensorflow/tpu's retinanet_main.py.

    Args:
      argv: Without the program's name.
      read_text: Reads the --config_file, which may be on gs://.

    Raises:
      UsageError: A flag is unknown, its value cannot be parsed, or the settings contradict each other.
    """
    values = _parse(argv)
    # Only what the command line names: defaults are those of the preset and the recipe, not of the flags.
    given = _given(values, [spec.name for spec in setting_fields()])
    # A name of a TPU without --use_tpu would otherwise train on the CPU.
    if "tpu" in given:
        given.setdefault("use_tpu", True)
    old = _given(values, legacy_flags.FLAGS)
    preset, recipe = _starting_point(values, is_old=bool(old))
    if not old:
        return TrainRequest(config=make_config(preset, given, recipe=recipe))
    translation = legacy_flags.translate_legacy_flags(
        old, _read_hparams(old, read_text), given, preset=preset, recipe=recipe
    )
    defaults = f"--preset={preset}{f' --recipe={recipe}' if recipe else ''}"
    notices = () if values["preset"].present else (f"command line of retinanet_main.py: using {defaults}",)
    return TrainRequest(
        config=make_config(preset, dict(translation.settings), recipe=recipe),
        expectations=translation.expectations,
        notices=(*notices, *translation.notices),
    )


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each setting. The default None means "not given", unlike a given default value."""
    # By the type of the field; one without an entry here fails at once, with a KeyError.
    define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
    flags.DEFINE_string("preset", None, _PRESET_HELP, flag_values=values)
    flags.DEFINE_string("recipe", None, _RECIPE_HELP, flag_values=values)
    for name, kind in legacy_flags.FLAGS.items():
        define[kind](name, None, "flag of tensorflow/tpu's retinanet_main.py", flag_values=values)
    for spec in setting_fields():
        define[spec.type](spec.name, None, spec.metadata["help"], flag_values=values)  # type: ignore[index]


def _parse(argv: Sequence[str]) -> flags.FlagValues:
    # Flags of our own, not absl's global ones: a process may parse several command lines, as trainer.submit does.
    values = flags.FlagValues()
    define_flags(values)
    try:
        # absl takes the first word for the name of the program.
        rest = values(["trainer", *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UsageError(_command_line(argv).explain_flag(f"--{error.flagname}")) from error
    except flags.Error as error:
        raise UsageError(" ".join(str(error).split())) from error
    if rest:
        modes = next(spec.metadata["choices"] for spec in setting_fields() if spec.name == "mode")
        hint = f"; did you mean --mode={rest[0]}?" if rest[0] in modes else ""
        raise UsageError(f"{_command_line(argv).explain_word(rest[0])}{hint}")
    return values


def _command_line(argv: Sequence[str]) -> CommandLine:
    # Without the flags of the old tool: nobody who misspells a flag means one of them.
    own = [f"--{name}" for name in ("preset", "recipe", *(spec.name for spec in setting_fields()))]
    return CommandLine(
        words=argv, command="the trainer", flags=own, elsewhere=_FLAGS_OF_PREPARE, other_names=_OTHER_NAMES
    )


def _given(values: flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name].value for name in names if values[name].present}


def _starting_point(values: flags.FlagValues, *, is_old: bool) -> tuple[str, str]:
    """Return preset and recipe; without any, an old command line has those of the old tool. A recipe may be ""."""
    preset, recipe = values["preset"].value, values["recipe"].value
    if is_old and not preset:
        return legacy_flags.PRESET, recipe or legacy_flags.RECIPE
    return preset or _DEFAULT_PRESET, recipe or ""


def _read_hparams(old: Mapping[str, Any], read_text: Callable[[str], str]) -> dict[str, Any]:
    """Read --config_file, overridden by --hparams, as the old tool does (its help states the reverse)."""
    path = old.get("config_file")
    in_file = parse_json_object(read_text(path), source=f"--config_file: {path}") if path else {}
    return {**in_file, **legacy_hparams.parse_hparams(old.get("hparams", ""))}


def make_completion_parser() -> Parser:
    """Make a parser that knows the names and choices of all flags, for completion in a shell; absl reads the values."""
    parser = Parser(prog="python -m trainer")
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--recipe", choices=RECIPES)
    for spec in setting_fields():
        text = spec.metadata["help"].replace("%", "%%")  # argparse formats it
        if spec.type is bool:
            parser.add_argument(f"--{spec.name}", f"--no{spec.name}", action="store_true", help=text)
        else:
            parser.add_argument(f"--{spec.name}", choices=spec.metadata["choices"] or None, help=text)
    return parser


def help_text() -> str:
    """Format all flags with their help, choices, defaults and values in presets."""
    # From the fields, so that the help cannot differ from what is parsed.
    lines = [f"  --preset ({_DEFAULT_PRESET})\n      {_PRESET_HELP}", f"  --recipe (none)\n      {_RECIPE_HELP}"]
    named = {**PRESETS, **RECIPES}
    for spec in setting_fields():
        choices = f" [{', '.join(spec.metadata['choices'])}]" if spec.metadata["choices"] else ""
        presets = "; ".join(f"{name}: {values[spec.name]}" for name, values in named.items() if spec.name in values)
        defaults = f"{spec.default!r}" + (f"; {presets}" if presets else "")
        lines.append(f"  --{'[no]' if spec.type is bool else ''}{spec.name} ({defaults})")
        lines.append(f"      {spec.metadata['help']}{choices}")
    lines.append(f"  --{', --'.join(sorted(legacy_flags.FLAGS))}")
    lines.append("      as in tensorflow/tpu's retinanet_main.py, or a line explains why not (docs/migrating.md)")
    return "\n".join(lines)
