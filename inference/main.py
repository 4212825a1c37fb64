"""Images in, detections out.

On this machine:

    python -m inference score --images 'ARCHIVE.zip' --model MODEL/export --output OUT
    python -m inference convert OUT --formats=csv,counts,cvat
    python -m inference repeats OUT
    python -m inference evaluate OUT --annotations 'annotations/*.xml'
    python -m inference detect IMAGE [IMAGE ...] --model MODEL/export --draw OUT_DIR

On Dataflow, with a worker image that holds TensorFlow and this package:

    scripts/dataflow.sh score --region R --bucket B --sdk_container_image IMAGE --images 'gs://B/archives/*.zip' \
        --model gs://B/model/export --output gs://B/out
"""

import argparse
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from inference.analysis_options import evaluate_options, repeat_options
from inference.options import (
    IMAGES_A_SECOND,
    check_estimate,
    convert_options,
    detect_options,
    make_score_parser,
    score_options,
)
from retinanet_odm.beam.options import beam_options
from retinanet_odm.cli.parser import program_flags
from retinanet_odm.dataflow.job_main import run_job_main
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.rows import OK
from retinanet_odm.storage.lock import lock_folder

if TYPE_CHECKING:
    from inference.request import ScoreRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit status (see retinanet_odm.cli.program)."""
    return run_job_main(_run, argv)


def _run(argv: Sequence[str]) -> None:
    flags, rest = make_score_parser().parse_known_args(argv)
    if flags.command == "score":
        _score(flags, rest)
        return
    if rest:
        raise UsageError(f"{flags.command}: unknown flag {rest[0]}")
    if flags.command == "convert":
        _convert(flags)
    elif flags.command == "repeats":
        _repeats(flags)
    elif flags.command == "evaluate":
        _evaluate(flags)
    else:
        _detect(flags)


def _score(flags: argparse.Namespace, rest: Sequence[str]) -> None:
    options = score_options(flags)
    check_estimate(flags)
    make_beam_options = cache(partial(beam_options, rest, program_flags(flags)))
    if rest:
        # A flag that nobody knows is refused before all else; where there is none, Beam's import can wait for a job.
        make_beam_options()
    from inference.score import check_request, score

    if flags.estimate:
        _estimate(check_request(options), flags)
        return
    score(options, make_beam_options)


def _estimate(request: "ScoreRequest", flags: argparse.Namespace) -> None:
    from inference.estimate import describe_score_estimate, estimate_score

    rate = flags.images_a_second or IMAGES_A_SECOND
    lines = describe_score_estimate(
        estimate_score(request), images_a_second=rate, vcpu_hour_price=flags.vcpu_hour_price
    )
    print("\n".join(lines))  # noqa: T201 - the answer


def _convert(flags: argparse.Namespace) -> None:
    options = convert_options(flags)
    from inference.convert import convert

    with lock_folder(options.output):
        convert(options)


def _repeats(flags: argparse.Namespace) -> None:
    options = repeat_options(flags)
    from inference.repeats import mark_repeats

    with lock_folder(options.output):
        mark_repeats(options)


def _evaluate(flags: argparse.Namespace) -> None:
    options = evaluate_options(flags)
    from inference.evaluate import evaluate, format_metrics

    with lock_folder(options.output):
        found = evaluate(options)
    print(format_metrics(found))  # noqa: T201 - the table is the command's answer


def _detect(flags: argparse.Namespace) -> None:
    options = detect_options(flags)
    from inference.detect import detect, format_detections

    rows = detect(options)
    print(format_detections(rows))  # noqa: T201 - the table is the command's answer
    failed = [str(row.detail) for row in rows if row.status != OK]
    if failed:
        raise UsageError(f"detect: {'; '.join(failed)}")
