"""The forms in which score and convert hand predictions back: what each is called, its files, who makes them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from detection.formats.coco import to_images, to_results
from detection.formats.counts import to_counts
from detection.formats.cvat import to_cvat
from detection.formats.megadetector import to_megadetector
from detection.formats.report import to_report
from detection.formats.table import to_csv
from detection.formats.to_label import to_label
from detection.formats.viame import to_viame
from detection.formats.voc import to_voc
from detection.predictions import PredictionRow, Run

Exporter = Callable[[Iterable[PredictionRow], Run], Iterator[bytes]]


def _to_parquet(rows: Iterable[PredictionRow], run: Run) -> Iterator[bytes]:
    # pyarrow takes long to import, and --help must not wait for it.
    from inference.parquet import to_parquet

    return to_parquet(rows, run)


FORMATS: Mapping[str, Mapping[str, Exporter]] = {
    "csv": {"detections.csv": to_csv},
    "counts": {"counts.csv": to_counts},
    "parquet": {"detections.parquet": _to_parquet},
    "coco": {"coco_results.json": to_results, "coco_images.json": to_images},
    "megadetector": {"megadetector.json": to_megadetector},
    "cvat": {"cvat.xml": to_cvat},
    "voc": {"voc.zip": to_voc},
    "viame": {"viame.csv": to_viame},
    "report": {"report.html": to_report, "to_label.csv": to_label},
}
# Not forms of the rows but marks on them, made by `repeats`.
REPEATS, PLACES = "repeats.jsonl", "repeats.csv"
FILE_NAMES = frozenset(name for files in FORMATS.values() for name in files)
