"""Writes the sample data set: synthetic seafloor images with known boxes, and an archive of new ones.

    python scripts/make_sample.py OUT [--images=240] [--archive_images=24] [--seed=0]

Run it again to complete or verify the same sample; files that are correct stay untouched.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from retinanet_odm.errors import UsageError
from retinanet_odm.samples.files import SAMPLE_MARKER, sample_files

_FILES_PER_LINE = 100  # of progress


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="make_sample.py", description="Writes a small synthetic data set of seafloor images with known boxes."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder: new, empty, or the same sample")
    parser.add_argument("--images", type=int, default=240, help="number of labelled images (default: %(default)s)")
    parser.add_argument(
        "--archive_images",
        type=int,
        default=24,
        help="number of images in archive.zip, the last of them truncated; 0 for no archive (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed; another seed gives another sample (default: %(default)s)"
    )
    return parser.parse_args(argv)


def check_folder(out: Path, marker: bytes) -> None:
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
    """Write the files that are missing or differ, and return the number of files of the sample."""
    count = 0
    for count, (name, data) in enumerate(
        sample_files(images=images, archive_images=archive_images, seed=seed), start=1
    ):
        if name == SAMPLE_MARKER:
            check_folder(out, data)
        path = out / name
        if not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if count % _FILES_PER_LINE == 0:
            print(f"sample: {count} files", flush=True)
    return count


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    arguments = parse_arguments(argv)
    try:
        count = write_sample(
            arguments.out, images=arguments.images, archive_images=arguments.archive_images, seed=arguments.seed
        )
    except (UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run again to complete the sample", file=sys.stderr)
        return 130
    print(f"sample: {count} files in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
