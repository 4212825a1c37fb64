"""Real data through `export` and back: the BCCD blood cell images, compared image by image and box by box.

    python -m benchmarks.doors_again BCCD

BCCD is the data set of benchmarks/bccd.py. Prepares it, exports it as COCO and as YOLO, and runs the command in the
README of each export; then prepares YOLO from one zip file, as a tool would export it. Exits with 1 if an image, an id,
a split or a box is not the same.
"""

import argparse
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from beam_jobs.dataset_gallery import read_examples
from benchmarks.measures import Result, print_results, python
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.dataset.manifest import DatasetManifest

_Examples = dict[str, tuple[str, DetectionExample]]  # split and example by file name


def read_all(dataset: Path) -> _Examples:
    manifest = DatasetManifest.from_json((dataset / DatasetManifest.FILE).read_text(), source=str(dataset))
    return {
        example.filename: (name, example)
        for name, split in manifest.splits.items()
        for shard in split.shards
        for example in read_examples(str(dataset / shard.name))
    }


def compare(title: str, before: _Examples, after: _Examples, *, has_ids: bool = True) -> Iterator[Result]:
    """Yield a row for each kind of thing: how many of the first are the same in the second."""
    pairs = [(*before[name], *after[name]) for name in before.keys() & after.keys()]
    boxes = [
        (a.label, a.box) == (b.label, b.box)
        for _, one, _, other in pairs
        for a, b in zip(one.objects, other.objects, strict=False)
    ]
    counts = {"images, by their bytes": sum(one.encoded == other.encoded for _, one, _, other in pairs)}
    if has_ids:
        counts["ids"] = sum(one.source_id == other.source_id for _, one, _, other in pairs)
        counts["splits"] = sum(split == again for split, _, again, _ in pairs)
    found = [
        *((name, count, len(before), len(after)) for name, count in counts.items()),
        ("boxes and classes, by their bits", sum(boxes), _boxes(before), _boxes(after)),
    ]
    for name, same, total, others in found:
        yield Result(
            title=f"{title}: {name}", value=f"{same:,} of {total:,} the same", good=same == total == others > 0
        )


def _boxes(examples: _Examples) -> int:
    return sum(len(example.objects) for _, example in examples.values())


def run(data: Path, work: Path) -> Iterator[Result]:
    flags = (f"--images={data}/images", f"--annotations={data}/annotations", "--splits=train=0.7,val=0.2,test=0.1")
    python("-m", "beam_jobs", "prepare", *flags, f"--output={work}/DATASET")
    before = read_all(work / "DATASET")
    for form in ("coco", "yolo"):
        folder = work / form / "EXPORT"
        python("-m", "beam_jobs", "export", f"{work}/DATASET", f"--format={form}", f"--output={folder}")
        (command,) = re.findall(r"^python (-m beam_jobs .*)$", (folder / "README.md").read_text(), re.MULTILINE)
        # Its paths are within the export.
        python("-c", f"import os, sys; os.chdir({str(folder)!r}); os.execv(sys.executable, {_words(command)})")
        yield from compare(
            f"export --format={form}, and its README's command", before, read_all(folder.parent / "DATASET")
        )
    archive = shutil.make_archive(str(work / "yolo"), "zip", work / "yolo" / "EXPORT")
    python("-m", "beam_jobs", "prepare", f"--exports={archive}", f"--output={work}/ZIPPED")
    # Named by their path in the archive.
    zipped = {name.rpartition("/")[2]: found for name, found in read_all(work / "ZIPPED").items()}
    yield from compare("the YOLO export in a zip file", before, zipped, has_ids=False)


def _words(command: str) -> list[str]:
    return [sys.executable, *shlex.split(command)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="BCCD")
    with tempfile.TemporaryDirectory() as work:
        return 0 if print_results(run(parser.parse_args().data.resolve(), Path(work))) else 1


if __name__ == "__main__":
    sys.exit(main())
