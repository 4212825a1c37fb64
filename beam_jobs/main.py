"""The commands of the data set job.

On this machine:

    python -m beam_jobs prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET

On Dataflow:

    scripts/dataflow.sh prepare --region R --bucket B --images 'gs://B/images/*' \
        --annotations 'gs://B/annotations/*.xml' --output gs://B/dataset

`check` takes the same flags and only reports what is wrong; `labels` writes a label map of the labels in annotation
files; `export` writes a data set as COCO or YOLO. CVAT export archives go to --exports.
"""

import argparse
from collections.abc import Sequence

from beam_jobs.export.flags import EXPORT, dataset_export_options
from beam_jobs.flags import make_prepare_parser
from beam_jobs.options import LABELS, PrepareOptions
from beam_jobs.request import prepare_options
from retinanet_odm.beam.options import beam_options, check_estimate_flags
from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.cli.program import check_not_empty
from retinanet_odm.dataflow.job_main import run_job_main


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit status (see retinanet_odm.cli.program)."""
    return run_job_main(_run, argv)


def _run(argv: Sequence[str]) -> int:
    parser = make_prepare_parser()
    flags, rest = parser.parse_known_args(argv)
    check_not_empty(flags)
    line = parser.command_line(argv, flags)
    # `labels` runs without Beam, so a flag that is left over can only be a mistake.
    if flags.command == LABELS:
        if rest:
            line.refuse(rest[0])
        return _labels(flags)
    if flags.command == EXPORT:
        return _export(flags, rest, line)
    # Imported here: Beam takes seconds to import, and --help must not wait for it.
    from beam_jobs.named_files import read_inputs
    from beam_jobs.prepare import check, prepare
    from retinanet_odm.sources.inputs import folders_as_patterns

    # What needs no file comes first; read_inputs reads the files that flags name; prepare and check list the patterns.
    check_estimate_flags(flags, "vcpu_hour_price")
    options_of_beam = beam_options(rest, line)
    # Before the options are made: the graph and dataset.json have the patterns.
    for name in ("images", "annotations", "exports"):
        setattr(flags, name, folders_as_patterns(getattr(flags, name)))
    options = prepare_options(flags, read_inputs(flags))
    if flags.estimate:
        return _estimate(options, flags.vcpu_hour_price)
    return prepare(options, options_of_beam) if options.writes else check(options, options_of_beam)


def _export(flags: argparse.Namespace, rest: Sequence[str], line: CommandLine) -> int:
    options, options_of_beam = dataset_export_options(flags), beam_options(rest, line)
    from beam_jobs.export.launch import export_dataset

    return export_dataset(options, options_of_beam)


def _estimate(options: PrepareOptions, vcpu_hour_price: float | None) -> int:
    from beam_jobs.estimate import describe_prepare_estimate, estimate_prepare

    print("\n".join(describe_prepare_estimate(estimate_prepare(options), vcpu_hour_price)))  # noqa: T201 - the answer
    return 0


def _labels(flags: argparse.Namespace) -> int:
    from beam_jobs.labels import make_label_file

    return make_label_file(
        annotations=flags.annotations,
        output=flags.output,
        labels=flags.labels,
        label_aliases=flags.label_aliases,
        ignored=flags.ignore_label,
        min_score=flags.min_score,
    )
