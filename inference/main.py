"""Images in, detections out.

On this machine:

    python -m inference score --images 'ARCHIVE.zip' --model MODEL/export --output OUT
    python -m inference convert OUT --formats=csv,counts,cvat
    python -m inference repeats OUT
    python -m inference evaluate OUT --annotations 'annotations/*.xml'
    python -m inference label_errors OUT --annotations 'annotations/*.xml'
    python -m inference audit OUT --size 200
    python -m inference abundance OUT --audit LABELS.zip
    python -m inference review OUT
    python -m inference detect IMAGE [IMAGE ...] --model MODEL/export --draw OUT_DIR
    python -m inference label_studio --model MODEL/export

On Dataflow, with a worker image that has TensorFlow and this package:

    scripts/dataflow.sh score --region R --bucket B --sdk_container_image IMAGE --images 'gs://B/archives/*.zip' \
        --model gs://B/model/export --output gs://B/out
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from inference.abundance_options import abundance_options, audit_options
from inference.analysis_options import evaluate_options, repeat_options
from inference.convert_options import convert_options
from inference.label_error_options import label_error_options
from inference.label_studio_options import label_studio_options
from inference.options import detect_options, make_score_parser, score_options
from inference.review_options import review_options
from retinanet_odm.beam.options import beam_options, check_estimate_flags
from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.dataflow.job_main import run_job_main
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.rows import OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit status (see retinanet_odm.cli.program)."""
    return run_job_main(_run, argv)


def _run(argv: Sequence[str]) -> None:
    if any(word.partition("=")[0] == "--threshold" for word in argv):
        raise UsageError("--threshold is now --min_score; rows always hold all detections that the model returns")
    # Only score runs on Beam, so only score may leave flags over for it.
    parser = make_score_parser()
    flags, rest = parser.parse_known_args(argv)
    line = parser.command_line(argv, flags)
    if flags.command == "score":
        _score(flags, rest, line)
        return
    if flags.command == "detect" and "--images" in rest:
        raise UsageError("detect: images are named without a flag: detect IMAGE … --model DIR")
    if rest:
        line.refuse(rest[0])
    _COMMANDS[flags.command](flags)


# Each command imports its module when it runs: most of them need neither Beam nor numpy, and --help needs none.


def _score(flags: argparse.Namespace, rest: Sequence[str], line: CommandLine) -> None:
    # The order matters: a bad flag must be reported before Beam or TensorFlow is imported.
    options = score_options(flags)
    _check_estimate(flags)
    make_beam_options = cache(partial(beam_options, rest, line))
    if rest:
        # An unknown flag is refused before anything else. Without further flags, Beam is imported only for a job.
        make_beam_options()
    from inference.estimate import print_estimate
    from inference.score import check_request, score

    if flags.estimate:
        print_estimate(check_request(options), flags.images_a_second, flags.vcpu_hour_price)
    else:
        score(options, make_beam_options)


def _check_estimate(flags: argparse.Namespace) -> None:
    """Raise UsageError if a flag of --estimate is given without it, or the speed is out of range."""
    check_estimate_flags(flags, "vcpu_hour_price", "images_a_second")
    rate = flags.images_a_second
    if rate is not None and not 0 < rate < float("inf"):  # also refuses nan
        raise UsageError(f"--images_a_second: expected a number above 0, found {rate:g}")


def _convert(flags: argparse.Namespace) -> None:
    options = convert_options(flags)
    from inference.convert import convert

    convert(options)


def _repeats(flags: argparse.Namespace) -> None:
    options = repeat_options(flags)
    from inference.repeats import mark_repeats

    mark_repeats(options)


def _evaluate(flags: argparse.Namespace) -> None:
    options = evaluate_options(flags)
    from inference.evaluate import evaluate, format_metrics

    print(format_metrics(evaluate(options)))  # noqa: T201 - the table is the result of the command


def _label_errors(flags: argparse.Namespace) -> None:
    options = label_error_options(flags)
    from inference.label_errors import find_errors, format_expected

    print(format_expected(find_errors(options)))  # noqa: T201 - the table is the result of the command


def _audit(flags: argparse.Namespace) -> None:
    options = audit_options(flags)
    from inference.audit import draw

    draw(options)


def _abundance(flags: argparse.Namespace) -> None:
    options = abundance_options(flags)
    from inference.abundance import estimate, format_survey

    print(format_survey(estimate(options)))  # noqa: T201 - the table is the result of the command


def _review(flags: argparse.Namespace) -> None:
    options = review_options(flags)
    from inference.review import review

    review(options)


def _detect(flags: argparse.Namespace) -> None:
    options = detect_options(flags)
    from inference.detect import detect, format_detections

    rows = detect(options)
    print(format_detections(rows))  # noqa: T201 - the table is the result of the command
    # After the table: the images that could be scored are shown first.
    failed = [str(row.detail) for row in rows if row.status != OK]
    if failed:
        raise UsageError(f"detect: {'; '.join(failed)}")


def _label_studio(flags: argparse.Namespace) -> None:
    options = label_studio_options(flags)
    from inference.label_studio import serve_label_studio

    serve_label_studio(options)


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "convert": _convert,
    "repeats": _repeats,
    "evaluate": _evaluate,
    "label_errors": _label_errors,
    "audit": _audit,
    "abundance": _abundance,
    "review": _review,
    "detect": _detect,
    "label_studio": _label_studio,
}
