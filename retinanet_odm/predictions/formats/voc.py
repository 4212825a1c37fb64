"""Pascal VOC pre-annotations (VOC2012 Development Kit): a zip file in the layout that CVAT and Datumaro read.

Boxes are xmin, ymin, xmax, ymax in pixels, 0-based and continuous, as CVAT and Datumaro write them; those of the
development kit are 1-based. The members of the zip file:

  Annotations/FOLDER/NAME.xml   one for every image that was scored
  ImageSets/Main/default.txt    the names of these files, without .xml
  labelmap.txt                  the classes that it can hold; origin and minimum scores of the boxes in comments
"""

import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator

from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.predictions.formats.encoding import Spool, row_to_annotation, xml_text
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, utf8
from retinanet_odm.storage.file_names import safe_path, without_extension

_FOLDER, _SUFFIX = "Annotations/", ".xml"
_BREAKS = re.compile(r"^#|[:\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # in labelmap.txt: a comment, a field, a line


def to_voc(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield voc.zip. An image that failed has no XML file: without objects, it would look like an empty image."""
    spool = Spool()
    with zipfile.ZipFile(spool, "w") as archive:
        for row in rows:
            if row.status == OK:
                # Two images may differ only in what a file name cannot hold, or in their extension.
                name = _free_name(row.image, archive)
                _add(archive, name, format_voc(row_to_annotation(row), database=run.title))
                yield spool.take()
        # Last, because only now all names are known.
        stems = (name.removeprefix(_FOLDER).removesuffix(_SUFFIX) for name in archive.namelist())
        _add(archive, "ImageSets/Main/default.txt", utf8("".join(f"{stem}\n" for stem in stems)))
        _add(archive, "labelmap.txt", _label_map(run))
    yield spool.take()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # ZipInfo's default date, 1980, and not today's: equal rows make equal bytes.
    archive.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)


def _free_name(image: str, archive: zipfile.ZipFile) -> str:
    """Return the name of the image's XML file: the first of _names that the archive does not have yet."""
    names = (_FOLDER + name + _SUFFIX for name in _names(safe_path(image) or "image"))
    return next(name for name in names if name not in archive.NameToInfo)


def _names(path: str) -> Iterator[str]:
    """Yield the path without its extension; with it, for a.png beside a.jpg; then numbered."""
    yield without_extension(path)
    yield path
    for number in itertools.count(2):
        yield f"{path}#{number}"


def _label_map(run: ScoringRun) -> bytes:
    """Return labelmap.txt, with CVAT's fields label:color:parts:actions.

    CVAT and Datumaro read it with neither quotes nor escapes (datumaro, plugins/data_formats/voc/format.py,
    parse_label_map), so a label that they would read as another one, or as a comment, stands in a comment.
    """
    min_scores = (f"# scores from {score:g}: {xml_text(label)!r}" for label, score in run.min_scores_by_name.items())
    lines = [f"# {run.title}", *min_scores, "# label:color_rgb:parts:actions"]
    for label in map(xml_text, run.classes.values()):
        is_held = label == label.strip() and _BREAKS.search(label) is None
        lines.append(f"{label}:::" if is_held else f"# not listed, because this file cannot hold it: {label!r}")
    return utf8("\n".join(lines))
