"""The launcher of `prepare`: checks what can be checked at once, runs the graph, says what came out."""

import logging
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from beam_jobs import folder
from beam_jobs.commit import count_reasons, parse_rejects
from beam_jobs.options import PrepareOptions
from beam_jobs.pipeline import build
from beam_jobs.rows import ANNOTATION, IMAGE, OBJECT, Reject
from beam_jobs.sources import check_zips
from beam_jobs.transforms import COUNTERS, IGNORED
from beamio import files
from detection.errors import UsageError
from detection.label_doctor import diagnose
from detection.manifests import DatasetManifest

logger = logging.getLogger(__name__)

# Enough to see what is wrong; all of them are in rejected.jsonl.
_SHOWN = 5


def prepare(options: PrepareOptions, beam_options: PipelineOptions) -> None:
    """Builds the data set and logs a summary.

    Raises:
      UsageError: no file matches, the output folder is in use by something else, or no image became an example.
    """
    check_input(options.images, flag="--images")
    check_input(options.annotations, flag="--annotations")
    check_input(options.exports, flag="--exports")
    check_zips(options)
    given = (options.aliases_file, options.split_from)
    named = [options.labels_file, *(file.path for file in given if file)]
    patterns = (*options.images, *options.annotations, *options.exports)
    folder.check_output(options.output, patterns, given=[path for path in named if path])
    files.make_folder(options.output)
    # The commit mark goes first: a build that is killed leaves nothing that looks whole.
    files.delete([files.join(options.output, DatasetManifest.FILE)])
    with beam.Pipeline(options=beam_options) as pipeline:
        build(pipeline, options)
    if beam_options.view_as(StandardOptions).no_wait_until_finish:
        logger.info("submitted; %s appears when the data set is whole", manifest_path(options.output))
    else:
        report(options.output, count_ignored(pipeline.result))


def count_ignored(result: PipelineResult) -> dict[str, int]:
    """Shapes that have no box by design, by kind, as the job's counters have them."""
    counters = result.metrics().query(MetricsFilter().with_namespace(COUNTERS))["counters"]
    found = {row.key.metric.name: row.result for row in counters if row.result}
    return {name.removeprefix(IGNORED): found[name] for name in sorted(found) if name.startswith(IGNORED)}


def check_input(patterns: Sequence[str], *, flag: str) -> None:
    """Raises UsageError when a pattern matches nothing, or is a folder in place of a pattern of files."""
    files.check_matches(patterns, flag=flag)
    for pattern in patterns:
        if files.is_folder(pattern):
            raise UsageError(
                f"{flag}: {pattern} is a folder; expected a pattern of files, such as '{pattern.rstrip('/')}/*'"
            )


def manifest_path(output: str) -> str:
    """The commit mark of a data set."""
    return files.join(output, DatasetManifest.FILE)


def report(output: str, ignored: Mapping[str, int]) -> None:
    """Logs what a finished job has made; ignored as of count_ignored.

    Raises:
      UsageError: it committed no data set, because no image became an example.
    """
    rejected_file = files.join(output, folder.REJECTED)
    rejects = parse_rejects(files.read_text(rejected_file, flag="--output"))
    if not files.exists(manifest_path(output)):
        raise UsageError(no_examples(rejects, rejected_file))
    text = files.read_text(manifest_path(output), flag="--output")
    manifest = DatasetManifest.from_json(text, source=manifest_path(output))
    for line in summary(manifest, rejects, output, ignored):
        logger.info("%s", line)


def no_examples(rejects: list[Reject], rejected_file: str) -> str:
    """The one line for a job whose images were all rejected."""
    reasons = _counts(count_reasons(rejects, IMAGE))
    first = next(reject.detail for reject in rejects if reject.kind == IMAGE)
    return f"no image became an example ({reasons}), so there is no data set; the first: {first}; all: {rejected_file}"


def summary(manifest: DatasetManifest, rejects: list[Reject], output: str, ignored: Mapping[str, int]) -> list[str]:
    """Lines for the person at the terminal: what was kept, what was not and why, and the next command."""
    examples = manifest.images_in - manifest.rejected
    lines = [f"{manifest.images_in} images in = {examples} examples + {manifest.rejected} rejected"]
    for name, split in manifest.splits.items():
        limit = manifest.options["num_shards"][name]
        fewer = f" (of at most {limit}: a shard holds at least one image)" if len(split.shards) < limit else ""
        lines.append(f"{name}: {split.examples} examples, {split.boxes} boxes, {len(split.shards)} shards{fewer}")
    lines += _reject_lines(rejects, IMAGE, "images rejected")
    lines += _reject_lines(rejects, OBJECT, "objects dropped")
    lines += _reject_lines(rejects, ANNOTATION, "annotations unused")
    lines += _label_lines(manifest)
    if ignored:
        lines.append(f"{sum(ignored.values())} shapes without a box ignored: {_counts(ignored)}")
    if rejects:
        lines.append(f"all of them: {files.join(output, folder.REJECTED)}")
    where = shlex.quote(output)
    lines.append(f"data set: {manifest_path(output)}")
    lines.append(f"next: python -m trainer --mode=train_and_eval --dataset={where} --model_dir=MODEL")
    return lines


def _label_lines(manifest: DatasetManifest) -> list[str]:
    """What is doubtful about the labels: one animal in two spellings, a class without boxes or with few."""
    boxes: Counter[str] = Counter()
    for split in manifest.splits.values():
        boxes.update(split.boxes_per_class)
    found = diagnose(boxes, manifest.labels)
    return [f"label {finding.severity}: {finding.detail}; {finding.suggestion}" for finding in found]


def _reject_lines(rejects: list[Reject], kind: str, title: str) -> list[str]:
    details = defaultdict(list)
    for reject in rejects:
        if reject.kind == kind:
            details[reject.reason].append(reject.detail)
    lines = []
    for reason, found in sorted(details.items()):
        lines.append(f"{len(found)} {title}: {reason}")
        lines += [f"  {detail}" for detail in found[:_SHOWN]]
        lines += [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return lines


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())
