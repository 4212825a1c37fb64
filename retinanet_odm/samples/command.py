"""Writes the sample data set: synthetic seafloor images with known boxes, and an archive of new ones.

    python -m retinanet_odm.samples OUT [--images=240] [--archive_images=60] [--seed=0]

Run it again to complete or verify the same sample; files that are correct stay untouched.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from retinanet_odm.cli.program import Ending, Parser, explain_request, run_main
from retinanet_odm.errors import UsageError
from retinanet_odm.samples.files import SAMPLE_ARCHIVE_IMAGES, SAMPLE_IMAGES, SAMPLE_MARKER, sample_files


def make_sample_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m retinanet_odm.samples",
        description="Writes a small synthetic data set of seafloor images with known boxes.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder: new, empty, or the same sample")
    parser.add_argument(
        "--images", type=int, default=SAMPLE_IMAGES, help="number of labelled images (default: %(default)s)"
    )
    parser.add_argument(
        "--archive_images",
        type=int,
        default=SAMPLE_ARCHIVE_IMAGES,
        help="number of images in archive.zip, the last of them truncated; 0 for no archive (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed; another seed gives another sample (default: %(default)s)"
    )
    return parser


def check_sample_folder(out: Path, marker: bytes) -> None:
    """Check that the folder is new, empty, or contains this sample, complete or in part.

    Args:
      out: the folder.
      marker: the content of SAMPLE_MARKER for this sample.

    Raises:
      UsageError: it contains anything else.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder, found a file")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / SAMPLE_MARKER).is_file():
        raise UsageError(
            f"{out}: the folder is not empty and is no sample ({SAMPLE_MARKER} is missing); choose another folder"
        )
    found = (out / SAMPLE_MARKER).read_bytes()
    if found != marker:
        raise UsageError(
            f"{out}: contains another sample, made with {_one_line(found)}; this one is {_one_line(marker)}."
            " Choose another folder, or delete that one"
        )


def _one_line(marker: bytes) -> str:
    try:
        return json.dumps({key: value for key, value in json.loads(marker).items() if key != "sample"})
    except (ValueError, AttributeError):
        return "unreadable options"


def write_sample(out: Path, *, images: int, archive_images: int, seed: int) -> int:
    """Write the files that are missing or differ, and return the number of files of the sample.

    Raises:
      UsageError: the folder contains anything else, or a number is impossible.
    """
    written = 0
    for name, data in sample_files(images=images, archive_images=archive_images, seed=seed):
        if name == SAMPLE_MARKER:
            check_sample_folder(out, data)
        path = out / name
        if not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        written += 1
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status (see retinanet_odm.cli.program)."""
    return run_main(_run, argv, explain=_explain)


def _run(argv: Sequence[str]) -> None:
    flags = make_sample_parser().parse_args(argv)
    count = write_sample(flags.out, images=flags.images, archive_images=flags.archive_images, seed=flags.seed)
    print(f"sample: {count} files in {flags.out}")  # noqa: T201 - the answer


def _explain(error: BaseException) -> Ending | None:
    if isinstance(error, OSError):
        return Ending(status=2, line=f"error: {error}")
    if isinstance(error, KeyboardInterrupt):
        return Ending(status=130, line="interrupted: run again to complete the sample")
    return explain_request(error)
