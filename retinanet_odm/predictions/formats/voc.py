"""Detections as Pascal VOC pre-annotations: a zip file of the layout that CVAT and Datumaro read.

Annotations/FOLDER/NAME.xml   for every image that was scored
ImageSets/Main/default.txt    their names, without .xml
labelmap.txt                  the classes, and in a comment where the boxes are from
"""

import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.predictions.formats.encoding import Spool, as_annotation, utf8
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun

_FOLDER, _SUFFIX = "Annotations/", ".xml"
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def to_voc(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """The zip file. An image that failed has no XML: without objects, it would be taken for one without animals."""
    spool = Spool()
    with zipfile.ZipFile(spool, "w") as archive:
        for row in rows:
            if row.status == OK:
                name = _free_name(row.image, archive)
                _add(archive, name, format_voc(as_annotation(row), database=run.title))
                yield spool.take()
        stems = (name.removeprefix(_FOLDER).removesuffix(_SUFFIX) for name in archive.namelist())
        _add(archive, "ImageSets/Main/default.txt", utf8("".join(f"{stem}\n" for stem in stems)))
        _add(archive, "labelmap.txt", _label_map(run))
    yield spool.take()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """ZipInfo's own date of 1980, not today's: equal rows make equal bytes."""
    archive.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)


def _free_name(image: str, archive: zipfile.ZipFile) -> str:
    """The XML's name in the archive: the first of _names that no other image has."""
    names = (_FOLDER + name + _SUFFIX for name in _names(_safe_path(image)))
    return next(name for name in names if name not in archive.NameToInfo)


def _names(path: str) -> Iterator[str]:
    """The image's name without its extension; with it, where a.jpg and a.png lie side by side; numbered."""
    yield str(PurePosixPath(path).with_suffix(""))
    yield path
    for number in itertools.count(2):
        yield f"{path}#{number}"


def _safe_path(image: str) -> str:
    """Whoever unpacks the archive finds its files in it: no folder above, no line break in the list of names."""
    parts = (part for part in image.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return _UNFIT.sub("_", "/".join(parts)) or "image"


def _label_map(run: ScoringRun) -> bytes:
    """CVAT's own form of it: label:colour:parts:actions."""
    labels = (" ".join(label.split()) for label in run.classes.values())
    return utf8("\n".join([f"# {run.title}", "# label:color_rgb:parts:actions", *(f"{label}:::" for label in labels)]))
