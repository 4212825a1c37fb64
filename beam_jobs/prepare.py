"""The launcher of `prepare` and `check`: tries what can be tried at once, runs the graph, says what came out."""

import contextlib
import logging
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_jobs import folder, summary
from beam_jobs.commit import count_reasons, forbidden, parse_rejects
from beam_jobs.options import PrepareOptions
from beam_jobs.pipeline import build
from beam_jobs.progress import PROGRESS
from beam_jobs.rows import IMAGE, Reject
from beam_jobs.sources import check_zips
from beamio import files
from beamio.lock import sole_use
from beamio.sources import check_input
from detection.errors import TooManyRejectsError, UsageError
from detection.manifests import DatasetManifest
from detection.problems import ERROR, Problem, parse_problems

logger = logging.getLogger(__name__)

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
        files.make_folder(files.join(options.output, folder.RECEIPTS))
        # The commit mark goes first: a build that is killed leaves nothing that looks whole.
        files.delete([_manifest_path(options.output)])
        if not _run(pipeline, options):
            logger.info("submitted; %s appears when the data set is whole", _manifest_path(options.output))
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
        files.delete([files.join(options.output, name) for name in (folder.CHECK, folder.PROBLEMS)])
        if not _run(pipeline, options):
            logger.info("submitted; %s appears at the end", files.join(options.output, folder.CHECK))
            return 0
        problems = _read_problems(options.output)
        for line in summary.of_check(problems, options.output):
            logger.info("%s", line)
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
    folder.check_output(options.output, patterns, given=[path for path in named if path])
    with sole_use(options.output):
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
        build(pipeline, options)
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
    rejected_file = files.join(output, folder.REJECTED)
    rejects = parse_rejects(files.read_written_text(rejected_file))
    path = _manifest_path(output)
    if not files.exists(path):
        raise _refusal(rejects, rejected_file, options)
    manifest = DatasetManifest.from_json(files.read_written_text(path), source=path)
    for line in summary.of_dataset(manifest, rejects, _read_problems(output), output):
        logger.info("%s", line)


def _refusal(rejects: Sequence[Reject], rejected_file: str, options: PrepareOptions) -> UsageError:
    """Why there is no data set, in one line."""
    if unused := forbidden(rejects, options):
        return TooManyRejectsError(
            f"{len(unused)} annotations belong to no image, and --without_image=refuse allows none, so there is no data"
            f" set; the first: {unused[0].detail}; all: {rejected_file}"
        )
    reasons = summary.counts(count_reasons(rejects, IMAGE))
    first = next(reject.detail for reject in rejects if reject.kind == IMAGE)
    where = f"so there is no data set; the first: {first}; all: {rejected_file}"
    if options.max_rejected < 1:
        limit = f"more images were rejected than --max_rejected={options.max_rejected:g} allows"
        return TooManyRejectsError(f"{limit} ({reasons}), {where}")
    return UsageError(f"no image became an example ({reasons}), {where}")


def _read_problems(output: str) -> list[Problem]:
    return parse_problems(files.read_written_text(files.join(output, folder.PROBLEMS)))
