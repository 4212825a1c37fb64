"""The last lines of a run, for the person at the terminal."""

import contextlib
import logging
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_jobs import output_folder
from beam_jobs.commit import count_reasons, forbidden, parse_rejects
from beam_jobs.options import PrepareOptions
from beam_jobs.pipeline import build_prepare
from beam_jobs.rows import ANNOTATION_REJECT, COCO_SPLIT, IMAGE_REJECT, OBJECT_REJECT, Reject
from beam_jobs.transforms import check_zips
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.problems import ERROR, SEVERITIES, Problem, parse_problems
from retinanet_odm.errors import TooManyRejectsError, UsageError
from retinanet_odm.sources.listing import check_input
from retinanet_odm.storage import files
from retinanet_odm.storage.lock import lock_folder

# Enough to see what is wrong; all of them are in rejected.jsonl.
_SHOWN = 5
_MOST_BATCH = 32  # images in an evaluation batch of TPU RetinaNet that is proposed


def of_dataset(
    manifest: DatasetManifest, rejects: Sequence[Reject], problems: Sequence[Problem], output: str
) -> list[str]:
    """What was kept, what was not and why, what is doubtful, and the next command."""
    examples = manifest.images_in - manifest.rejected
    lines = [f"{manifest.images_in} images in = {examples} examples + {manifest.rejected} rejected"]
    for name, split in manifest.splits.items():
        limit = manifest.options["num_shards"][name]
        fewer = f" (of at most {limit}: a shard holds at least one image)" if len(split.shards) < limit else ""
        lines.append(f"{name}: {split.examples} examples, {split.boxes} boxes, {len(split.shards)} shards{fewer}")
    lines += _reject_lines(rejects, IMAGE_REJECT, "images rejected")
    lines += _reject_lines(rejects, OBJECT_REJECT, "objects dropped")
    lines += _reject_lines(rejects, ANNOTATION_REJECT, "annotations unused")
    if rejects:
        lines.append(f"all of them: {files.join(output, output_folder.REJECTED)}")
    told = {reject.reason for reject in rejects}
    lines += _problem_lines([problem for problem in problems if problem.code not in told])
    lines.append(f"data set: {files.join(output, DatasetManifest.FILE)}")
    lines.append(f"report: {files.join(output, output_folder.REPORT)}")
    return lines + _trainer_lines(manifest, output)


def _mode(manifest: DatasetManifest) -> str:
    """What the trainer can do with these splits: it refuses to evaluate on an empty one, and that is often val."""
    held_out = [name for name, split in manifest.splits.items() if name != "train" and split.examples]
    if COCO_SPLIT in held_out:
        return "--mode=train_and_eval"
    return f"--mode=train_and_eval --eval_split={held_out[0]}" if held_out else "--mode=train"


def _trainer_lines(manifest: DatasetManifest, output: str) -> list[str]:
    """The trainer's command, and the flags of tensorflow/tpu's RetinaNet, which must be told what the manifest says."""
    lines = [f"next: python -m trainer {_mode(manifest)} --dataset={shlex.quote(output)} --model_dir=MODEL"]
    train, val = manifest.splits.get("train"), manifest.splits.get(COCO_SPLIT)
    if train and val and train.examples and val.examples:
        flags = {
            "training_file_pattern": files.join(output, "train-*"),
            "validation_file_pattern": files.join(output, f"{COCO_SPLIT}-*"),
            "val_json_file": files.join(output, output_folder.VAL),
            "num_examples_per_epoch": train.examples,
            "eval_samples": val.examples,
            # It drops the last, smaller batch, and with it images.
            "eval_batch_size": max(size for size in range(1, _MOST_BATCH + 1) if val.examples % size == 0),
            "hparams": f"num_classes={manifest.num_classes}",
        }
        told = " ".join(f"--{name}={shlex.quote(str(value))}" for name, value in flags.items())
        lines.append(f"for tensorflow/tpu's retinanet_main.py: {told}")
    return lines


def of_check(problems: Sequence[Problem], output: str) -> list[str]:
    """How many problems there are, the first of each kind, and where to read all."""
    number = {severity: sum(row.severity == severity for row in problems) for severity in SEVERITIES}
    lines = [", ".join(f"{count} {_plural(severity, count)}" for severity, count in number.items())]
    lines += _problem_lines(problems)
    if problems:
        lines.append(f"all of them: {files.join(output, output_folder.PROBLEMS)}")
    lines.append(f"report: {files.join(output, output_folder.CHECK)}")
    return lines


def _plural(word: str, count: int) -> str:
    return word if count == 1 or word == "info" else f"{word}s"


def _problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Those of one code together, the worst first, as they are sorted."""
    by_code: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        by_code[problem.severity, problem.code].append(problem)
    lines = []
    for (severity, code), found in by_code.items():
        lines.append(f"{severity}: {code} ({len(found)}): {found[0].suggestion}")
        lines += _first(problem.detail for problem in found)
    return lines


def _first(details: Iterable[str]) -> list[str]:
    found = list(details)
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return [*(f"  {detail}" for detail in found[:_SHOWN]), *more]


def _reject_lines(rejects: Sequence[Reject], kind: str, title: str) -> list[str]:
    details = defaultdict(list)
    for reject in rejects:
        if reject.kind == kind:
            details[reject.reason].append(reject.detail)
    lines = []
    for reason, found in sorted(details.items()):
        lines.append(f"{len(found)} {title}: {reason}")
        lines += _first(found)
    return lines


def counts(reasons: Mapping[str, int]) -> str:
    """Such as "2 ambiguous_match, 1 image_empty"."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


_logger = logging.getLogger(__name__)
_ERRORS_FOUND = 1  # exit status


def prepare(options: PrepareOptions, beam_options: PipelineOptions) -> int:
    """Builds the data set and logs a summary; returns the exit status.

    Raises:
      UsageError: no file matches, the output folder is in use by something else, Beam refuses its options, or no image
        became an example.
      TooManyRejectsError: there are more rejects than the request allows.
    """
    with _output_of(options):
        pipeline = make_pipeline(beam_options)
        files.make_folder(files.join(options.output, output_folder.RECEIPTS))
        # The commit mark goes first: a build that is killed leaves nothing that looks whole.
        files.delete([_manifest_path(options.output)])
        if not _run(pipeline, options):
            _logger.info("submitted; %s appears when the data set is whole", _manifest_path(options.output))
        else:
            _report_dataset(options)
        return 0


def check(options: PrepareOptions, beam_options: PipelineOptions) -> int:
    """Names everything that is wrong or doubtful; returns the exit status: 1 where anything is wrong.

    Raises:
      UsageError: no file matches, the output folder is in use by something else, or Beam refuses its options.
    """
    with _output_of(options):
        pipeline = make_pipeline(beam_options)
        files.delete([files.join(options.output, name) for name in (output_folder.CHECK, output_folder.PROBLEMS)])
        if not _run(pipeline, options):
            _logger.info("submitted; %s appears at the end", files.join(options.output, output_folder.CHECK))
            return 0
        problems = _read_problems(options.output)
        for line in of_check(problems, options.output):
            _logger.info("%s", line)
        return _ERRORS_FOUND if any(problem.severity == ERROR for problem in problems) else 0


@contextlib.contextmanager
def _output_of(options: PrepareOptions) -> Iterator[None]:
    """The output folder, made where there is none and held for this run alone."""
    check_input(options.images, flag="--images")
    check_input(options.annotations, flag="--annotations")
    check_input(options.exports, flag="--exports")
    check_zips(options)
    given = (options.aliases_file, options.split_from)
    named = [options.labels_file, *(file.path for file in given if file)]
    patterns = (*options.images, *options.annotations, *options.exports)
    output_folder.check_dataset_folder(options.output, patterns, given=[path for path in named if path])
    with lock_folder(options.output):
        files.make_folder(options.output)
        yield


def make_pipeline(beam_options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline; Beam looks at its options here, on Google Cloud too, and so before anything was deleted.

    Raises:
      UsageError: an option that the runner needs is missing or wrong.
    """
    try:
        return beam.Pipeline(options=beam_options)
    except ValueError as error:
        raise UsageError(f"Beam refuses its options: {' '.join(str(error).split())}") from error


def _run(pipeline: beam.Pipeline, options: PrepareOptions) -> bool:
    """Runs the job; False where it was only submitted."""
    with PROGRESS.shown(), pipeline:
        build_prepare(pipeline, options)
    return not pipeline.options.view_as(StandardOptions).no_wait_until_finish


def _manifest_path(output: str) -> str:
    """The commit mark of a data set."""
    return files.join(output, DatasetManifest.FILE)


def _report_dataset(options: PrepareOptions) -> None:
    """Logs what a finished build has made.

    Raises:
      UsageError: it made no data set.
    """
    output = options.output
    rejected_file = files.join(output, output_folder.REJECTED)
    rejects = parse_rejects(files.read_written_text(rejected_file))
    path = _manifest_path(output)
    if not files.exists(path):
        raise _refusal(rejects, rejected_file, options)
    manifest = DatasetManifest.from_json(files.read_written_text(path), source=path)
    for line in of_dataset(manifest, rejects, _read_problems(output), output):
        _logger.info("%s", line)


def _refusal(rejects: Sequence[Reject], rejected_file: str, options: PrepareOptions) -> UsageError:
    """Why there is no data set, in one line."""
    if unused := forbidden(rejects, options):
        return TooManyRejectsError(
            f"{len(unused)} annotations belong to no image, and --without_image=refuse allows none, so there is no data"
            f" set; the first: {unused[0].detail}; all: {rejected_file}"
        )
    reasons = counts(count_reasons(rejects, IMAGE_REJECT))
    first = next(reject.detail for reject in rejects if reject.kind == IMAGE_REJECT)
    where = f"so there is no data set; the first: {first}; all: {rejected_file}"
    if options.max_rejected < 1:
        limit = f"more images were rejected than --max_rejected={options.max_rejected:g} allows"
        return TooManyRejectsError(f"{limit} ({reasons}), {where}")
    return UsageError(f"no image became an example ({reasons}), {where}")


def _read_problems(output: str) -> list[Problem]:
    return parse_problems(files.read_written_text(files.join(output, output_folder.PROBLEMS)))
