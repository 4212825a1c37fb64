"""Data set jobs.

On this machine:

    python -m beam_jobs prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET

On Dataflow:

    scripts/dataflow.sh prepare --region R --bucket B --images 'gs://B/images/*' \
        --annotations 'gs://B/annotations/*.xml' --output gs://B/dataset

`check` takes the same flags and only names what is wrong; `labels` makes a label map of the names in annotation files.
Zip files as CVAT exports them go to --exports.
"""

import argparse
from collections.abc import Sequence

from beam_jobs.flags import make_parser, prepare_options
from beam_jobs.options import LABELS, PrepareOptions
from beamio.estimate import refuse_without_estimate
from beamio.launch import run_main
from beamio.options import beam_options, own_flags, refuse_empty


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit status (see beamio.launch)."""
    return run_main(_run, argv)


def _run(argv: Sequence[str]) -> int:
    parser = make_parser()
    flags, rest = parser.parse_known_args(argv)
    refuse_empty(flags)
    if flags.command == LABELS:
        if rest:
            parser.error(f"unknown flag {rest[0]}")
        return _labels(flags)
    # Beam takes seconds to import, and --help must not wait for it.
    from beam_jobs.inputs import read_inputs
    from beam_jobs.prepare import check, prepare

    refuse_without_estimate(flags, "vcpu_hour_price")
    options_of_beam = beam_options(rest, own_flags(flags))
    options = prepare_options(flags, read_inputs(flags))
    if flags.estimate:
        return _estimate(options, flags.vcpu_hour_price)
    return prepare(options, options_of_beam) if options.writes else check(options, options_of_beam)


def _estimate(options: PrepareOptions, vcpu_hour_price: float | None) -> int:
    from beam_jobs.estimate import describe, make_estimate

    print("\n".join(describe(make_estimate(options), vcpu_hour_price)))  # noqa: T201 - the answer
    return 0


def _labels(flags: argparse.Namespace) -> int:
    from beam_jobs.labels import make_label_file

    return make_label_file(
        annotations=flags.annotations, output=flags.output, labels=flags.labels, label_aliases=flags.label_aliases
    )
