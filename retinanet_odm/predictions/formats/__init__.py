"""Prediction rows in the file formats of other tools: one module per format, listed in `EXPORTERS`.

Begin with `csv_files`, the plainest format, and `encoding`, which all of them use. Every module's docstring names the
document of its format and the conventions of its boxes. Rows hold (xmin, ymin, xmax, ymax) in pixels, 0-based.

To add a format, write a function of type `Exporter` in a module of its own and list it in `EXPORTERS`; the commands and
their help take it from there. An exporter takes each row once and yields bytes as it goes, so memory stays bounded.
`PUBLISHERS` are the formats of archives of field data: they also take a `Publication`, and only `convert` writes them.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from retinanet_odm.predictions.rows import PredictionRow, ScoringRun

if TYPE_CHECKING:
    from retinanet_odm.predictions.publication import Publication

__all__ = ["ALL_SCORES", "EXPORTERS", "PUBLISHERS", "Exporter", "Publisher"]

Exporter = Callable[[Iterable[PredictionRow], ScoringRun], Iterator[bytes]]
Publisher = Callable[[Iterable[PredictionRow], ScoringRun, "Publication"], Iterator[bytes]]


def _lazy(module: str, function: str) -> Exporter:
    """Return an exporter that imports its module when called: --help must not wait for pyarrow and lxml."""

    def export(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
        exporter: Exporter = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        return exporter(rows, run)

    return export


def _lazy_publisher(module: str, function: str) -> Publisher:
    """Return a publisher that imports its module when called, as _lazy."""

    def publish(rows: Iterable[PredictionRow], run: ScoringRun, publication: "Publication") -> Iterator[bytes]:
        publisher: Publisher = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        return publisher(rows, run, publication)

    return publish


# By name of the format, as --formats takes it, and name of the file.
EXPORTERS: Mapping[str, Mapping[str, Exporter]] = {
    "csv": {"detections.csv": _lazy("csv_files", "to_detections_csv")},
    "counts": {"counts.csv": _lazy("csv_files", "to_counts_csv")},
    "parquet": {"detections.parquet": _lazy("parquet", "to_parquet")},
    "coco": {
        "coco_results.json": _lazy("coco", "to_coco_results"),
        "coco_images.json": _lazy("coco", "to_coco_images"),
    },
    "megadetector": {"megadetector.json": _lazy("megadetector", "to_megadetector")},
    "cvat": {"cvat.xml": _lazy("cvat", "to_cvat")},
    "voc": {"voc.zip": _lazy("voc", "to_voc")},
    "yolo": {"yolo.zip": _lazy("yolo", "to_yolo")},
    "labelstudio": {
        "labelstudio.json": _lazy("label_studio", "to_label_studio"),
        "labelstudio.xml": _lazy("label_studio", "to_labeling_interface"),
    },
    "viame": {"viame.csv": _lazy("viame", "to_viame")},
    "sdcat": {"sdcat.csv": _lazy("sdcat", "to_sdcat")},
}
PUBLISHERS: Mapping[str, Mapping[str, Publisher]] = {
    "camtrapdp": {"camtrapdp.zip": _lazy_publisher("camtrapdp", "to_camtrapdp")},
    "darwincore": {"darwincore.zip": _lazy_publisher("darwin_core", "to_darwin_core")},
    "ifdo": {"ifdo.json": _lazy_publisher("ifdo", "to_ifdo")},
    "fathomnet": {"fathomnet.csv": _lazy_publisher("fathomnet", "to_fathomnet")},
    "crops": {"crops.zip": _lazy_publisher("crops", "to_crops")},
}
# Formats that hold all detections of the rows, unless a minimum score is asked for: an average precision needs weak
# detections too, and in Timelapse the user chooses what is shown. They state the thresholds beside the detections.
ALL_SCORES = frozenset({"coco", "megadetector"})
