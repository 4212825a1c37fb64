"""The launcher of `prepare` and `check`: checks the input, runs the pipeline, and logs what came out.

The job may have run on other machines, and Beam returns no values to the launcher, so the result is read from the files
that the job wrote.
"""

import contextlib
import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_jobs import output_folder
from beam_jobs.commit import forbidden_rejects
from beam_jobs.earlier_dataset import check_earlier_dataset
from beam_jobs.options import PrepareOptions
from beam_jobs.pipeline import build_prepare
from beam_jobs.rows import (
    ANNOTATION_REJECT,
    COCO_SPLIT,
    IMAGE_REJECT,
    OBJECT_REJECT,
    Reject,
    count_reasons,
    parse_rejects,
)
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.frame_names import describe_deployments
from retinanet_odm.dataset.manifest import DatasetManifest, SplitInfo
from retinanet_odm.dataset.problem_codes import CATALOGUE, COUNTED, SEVERITIES
from retinanet_odm.dataset.problems import Problem, parse_problems
from retinanet_odm.dataset.source_ids import parse_id_map
from retinanet_odm.dataset.splits import DEPLOYMENT, DEPLOYMENT_DAY, TEST_SPLIT
from retinanet_odm.errors import TooManyRejectsError, UsageError
from retinanet_odm.labels.checks import ERROR, WARNING
from retinanet_odm.sources.inputs import check_input, count_passed_over, find_files
from retinanet_odm.sources.listing import ANNOTATION_CONTENT, IMAGE_CONTENT
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.systems import shell_word
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)

_EXIT_WITH_ERRORS = 1  # exit status of a check that found errors
_MAX_DETAILS = 5  # rejects or problems of one kind that are logged; the files hold all of them


def prepare(options: PrepareOptions, beam_options: PipelineOptions) -> int:
    """Build the data set and log a summary; return the exit status.

    Raises:
      UsageError: no file matches, the output folder is in use by something else or has a data set that may not be
        replaced, Beam refuses its options, or no image became an example.
      TooManyRejectsError: there are more rejects than the request allows.
    """
    output = options.output
    with _lock_output(options) as passed_over:
        check_earlier_dataset(options)
        pipeline = make_pipeline(beam_options)
        # Whatever may refuse the request comes before the deletion below: a refused run leaves the earlier data set
        # complete.
        files.make_folder(files.join(output, output_folder.RECEIPTS))
        # The order matters: the commit mark is deleted first, so that a killed build never looks complete.
        manifest = files.join(output, DatasetManifest.FILE)
        files.delete([manifest])
        if not _run(pipeline, options, passed_over):
            _logger.info("submitted; %s is written when the data set is complete", manifest)
            return 0
        for line in _read_summary(options):
            _logger.info("%s", line)
        return 0


def check(options: PrepareOptions, beam_options: PipelineOptions) -> int:
    """Report everything wrong or doubtful; return the exit status: 1 if anything is wrong.

    Raises:
      UsageError: no file matches, the output folder is in use by something else, or Beam refuses its options.
    """
    output = options.output
    with _lock_output(options) as passed_over:
        pipeline = make_pipeline(beam_options)
        # As above: a killed check must not leave the page of an earlier one.
        files.delete([files.join(output, name) for name in (output_folder.CHECK_PAGE, output_folder.PROBLEMS)])
        if not _run(pipeline, options, passed_over):
            _logger.info("submitted; %s is written at the end", files.join(output, output_folder.CHECK_PAGE))
            return 0
        problems = parse_problems(files.read_written_text(files.join(output, output_folder.PROBLEMS)))
        for line in summarise_check(problems, output):
            _logger.info("%s", line)
        return _EXIT_WITH_ERRORS if any(problem.severity == ERROR for problem in problems) else 0


@contextlib.contextmanager
def _lock_output(options: PrepareOptions) -> Iterator[Counter[str]]:
    """Check input and output, then make the output folder and lock it; yield what the job passes over."""
    passed_over = check_patterns(options)
    # The id map is not among them: the new one holds all rows of the old one, so it may be replaced.
    input_files = (options.aliases_file, options.split_from, options.exhaustive)
    named = [options.labels_file, *(file.path for file in input_files if file)]
    patterns = (*options.images, *options.annotations, *options.exports)
    output_folder.check_dataset_folder(options.output, patterns, given=[path for path in named if path])
    with lock_folder(options.output):
        files.make_folder(options.output)
        yield passed_over


def check_patterns(options: PrepareOptions) -> Counter[str]:
    """Check the files that --images, --annotations and --exports match, before the job starts.

    Returns:
      The number of files that the job passes over, by suffix.

    Raises:
      UsageError: a pattern matches nothing that can be read; a zip file is broken, lacks what its flag promises, or is
        matched by --exports and by another flag; or a file of --exports is not a zip file.
    """
    check_input(options.images, flag="--images")
    check_input(options.annotations, flag="--annotations")
    check_input(options.exports, flag="--exports")
    images = find_files(options.images, "--images", IMAGE_CONTENT)
    annotations = find_files(options.annotations, "--annotations", ANNOTATION_CONTENT)
    exports = find_files(options.exports, "--exports", IMAGE_CONTENT, ANNOTATION_CONTENT)
    if other := exports.first_loose:
        raise UsageError(f"--exports: {other} is no zip file; give loose files by --images and --annotations")
    if twice := min((images.zips | annotations.zips) & exports.zips, default=None):
        raise UsageError(f"--exports: {twice} is matched by --images or --annotations too: give it once")
    return count_passed_over((images, annotations, exports), options.output)


def make_pipeline(beam_options: PipelineOptions) -> beam.Pipeline:
    """Make an empty pipeline. Beam checks its options here, on Google Cloud too, before anything is deleted.

    Raises:
      UsageError: an option that the runner needs is missing or wrong.
    """
    try:
        return beam.Pipeline(options=beam_options)
    except ValueError as error:
        raise UsageError(f"Beam refuses its options: {' '.join(str(error).split())}") from error


def _run(pipeline: beam.Pipeline, options: PrepareOptions, passed_over: Mapping[str, int]) -> bool:
    """Run the job; return False if it was only submitted."""
    # Leaving the block runs the graph and waits for its end, unless the user gave --no_wait_until_finish.
    with PROGRESS.shown(), pipeline:
        build_prepare(pipeline, options, passed_over)
    return not pipeline.options.view_as(StandardOptions).no_wait_until_finish


def _read_summary(options: PrepareOptions) -> list[str]:
    """Return the summary of a finished build.

    Raises:
      UsageError: it made no data set.
    """
    path = files.join(options.output, DatasetManifest.FILE)
    rejects = parse_rejects(files.read_written_text(files.join(options.output, output_folder.REJECTED)))
    if not files.exists(path):
        raise _refusal(rejects, options)
    manifest = DatasetManifest.from_json(files.read_written_text(path), source=path)
    problems = parse_problems(files.read_written_text(files.join(options.output, output_folder.PROBLEMS)))
    return [*_deployment_lines(options), *summarise_dataset(manifest, rejects, problems, options.output)]


def _deployment_lines(options: PrepareOptions) -> Iterator[str]:
    """Yield the deployments of the build, if its splits depend on them."""
    rule = options.split_group
    if rule and rule.text in (DEPLOYMENT, DEPLOYMENT_DAY):
        path = files.join(options.output, output_folder.ID_MAP)
        # The map has images of earlier builds too, which have no split any more.
        rows = parse_id_map(files.read_written_text(path), source=path).rows
        yield describe_deployments({rule.deployments.deployment_of(row.image) for row in rows if row.split})


def _refusal(rejects: Sequence[Reject], options: PrepareOptions) -> UsageError:
    """Explain in one line why there is no data set."""
    rejected_file = files.join(options.output, output_folder.REJECTED)
    # The same conditions as in beam_jobs.commit.commit_dataset, which wrote no manifest because of one of them.
    if unused := forbidden_rejects(rejects, options):
        return TooManyRejectsError(
            f"{len(unused)} annotations match no image, and --without_image=refuse allows none, so there is no data"
            f" set; the first: {unused[0].detail}; all: {rejected_file}"
        )
    reasons = ", ".join(f"{count} {reason}" for reason, count in count_reasons(rejects, IMAGE_REJECT).items())
    # There is one: every image is an example or a reject, and check_patterns has found images.
    first = next(reject.detail for reject in rejects if reject.kind == IMAGE_REJECT)
    where = f"so there is no data set; the first: {first}; all: {rejected_file}"
    if options.max_rejected < 1:
        limit = f"more images were rejected than --max_rejected={options.max_rejected:g} allows"
        return TooManyRejectsError(f"{limit} ({reasons}), {where}")
    return UsageError(f"no image became an example ({reasons}), {where}")


def summarise_dataset(
    manifest: DatasetManifest, rejects: Sequence[Reject], problems: Sequence[Problem], output: str
) -> list[str]:
    """Return the last lines of a build: what was kept, rejected and doubtful, where it lies, and the next command."""
    examples = manifest.images_in - manifest.rejected
    lines = [f"{manifest.images_in} images in = {examples} examples + {manifest.rejected} rejected"]
    lines += [_split_line(name, split, manifest) for name, split in manifest.splits.items()]
    lines += _reject_lines(rejects, IMAGE_REJECT, "images rejected")
    lines += _reject_lines(rejects, OBJECT_REJECT, "objects dropped")
    lines += _reject_lines(rejects, ANNOTATION_REJECT, "annotations unused")
    if rejects:
        lines.append(f"all of them: {files.join(output, output_folder.REJECTED)}")
    # Every reject is a problem too; its lines are above already.
    reported = {reject.reason for reject in rejects}
    # Nothing that is left is an error of this run, whose exit status is 0: the data set was made.
    doubtful = [problem for problem in problems if problem.code not in reported]
    lines += _problem_lines(dataclasses.replace(row, severity=_below_error(row.severity)) for row in doubtful)
    return [
        *lines,
        f"data set: {files.join(output, DatasetManifest.FILE)}",
        f"report: {files.join(output, output_folder.REPORT_PAGE)}",
        f"next: python -m trainer {_trainer_mode(manifest)} --dataset={shell_word(output)} --model_dir=MODEL",
    ]


def _split_line(name: str, split: SplitInfo, manifest: DatasetManifest) -> str:
    limit = manifest.options["num_shards"][name]
    fewer = f" (of at most {limit}: a shard holds at least one image)" if len(split.shards) < limit else ""
    return f"{name}: {split.examples} examples, {split.boxes} boxes, {len(split.shards)} shards{fewer}"


def _trainer_mode(manifest: DatasetManifest) -> str:
    """Choose the mode for these splits: the trainer refuses to evaluate on an empty one, and val is often empty."""
    # The trainer chooses weights and thresholds on the split of this mode, which the test split is not for.
    held_out = [name for name, split in manifest.splits.items() if name not in ("train", TEST_SPLIT) and split.examples]
    if COCO_SPLIT in held_out:
        return "--mode=train_and_eval"
    return f"--mode=train_and_eval --eval_split={held_out[0]}" if held_out else "--mode=train"


def summarise_check(problems: Sequence[Problem], output: str) -> list[str]:
    """Return the last lines of a check: how many problems there are, the first of each kind, where to read all."""
    number = {severity: sum(row.severity == severity for row in problems) for severity in SEVERITIES}
    lines = [", ".join(f"{count} {plural(severity, count)}" for severity, count in number.items())]
    # Told also if there are none: a lost annotation and an image without objects look alike to a trainer.
    if not any(problem.code == "images_without_objects" for problem in problems):
        lines.append("images without objects: none")
    lines += _problem_lines(problems)
    if problems:
        lines.append(f"all of them: {files.join(output, output_folder.PROBLEMS)}")
    return [*lines, f"report: {files.join(output, output_folder.CHECK_PAGE)}"]


def _below_error(severity: str) -> str:
    return WARNING if severity == ERROR else severity


def _problem_lines(problems: Iterable[Problem]) -> list[str]:
    """Group problems by code, in their order, which has the worst first."""
    by_code: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        by_code[problem.severity, problem.code].append(problem)
    lines: list[str] = []
    for (severity, code), found in by_code.items():
        # Suggestions that name labels differ: each then stands beside its problem, to be copied.
        is_one = len({problem.suggestion for problem in found}) == 1
        count = sum(int(problem.value) for problem in found) if code in COUNTED else len(found)
        lines.append(f"{severity}: {code} ({count}): {found[0].suggestion if is_one else CATALOGUE[code][1]}")
        lines += _first([problem.detail if is_one else f"{problem.detail}: {problem.suggestion}" for problem in found])
    return lines


def _reject_lines(rejects: Sequence[Reject], kind: str, title: str) -> list[str]:
    details: dict[str, list[str]] = defaultdict(list)
    for reject in rejects:
        if reject.kind == kind:
            details[reject.reason].append(reject.detail)
    lines: list[str] = []
    for reason, found in sorted(details.items()):
        lines += [f"{len(found)} {title}: {reason}", *_first(found)]
    return lines


def _first(details: Sequence[str]) -> list[str]:
    more = [f"  and {len(details) - _MAX_DETAILS} more"] if len(details) > _MAX_DETAILS else []
    return [*(f"  {detail}" for detail in details[:_MAX_DETAILS]), *more]
