"""Pascal VOC pre-annotations (VOC2012 Development Kit): a zip file in the layout that CVAT and Datumaro read.

Boxes are xmin, ymin, xmax, ymax in pixels, 0-based and continuous, as CVAT and Datumaro write them; those of the
development kit are 1-based. The members of the zip file:

  Annotations/FOLDER/NAME.xml   one for every image that was scored
  ImageSets/Main/default.txt    the names of these files, without .xml
  labelmap.txt                  the classes that it can hold; origin and minimum scores of the boxes in comments
"""

import re
import zipfile
from collections.abc import Iterable, Iterator

from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.predictions.formats.encoding import Spool, min_score_comments, row_to_annotation, xml_text
from retinanet_odm.predictions.formats.zip_members import add_member, free_name
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, utf8

_FOLDER, _SUFFIX = "Annotations/", ".xml"
_BREAKS = re.compile(r"^#|[:\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # in labelmap.txt: a comment, a field, a line


def to_voc(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield voc.zip. An image that failed has no XML file: without objects, it would look like an empty image."""
    return voc_archive(rows, run.classes.values(), title=run.title, comments=min_score_comments(run))


def voc_archive(
    rows: Iterable[PredictionRow], labels: Iterable[str], *, title: str, comments: Iterable[str] = ()
) -> Iterator[bytes]:
    """Yield a zip file with the boxes of rows, those that failed excepted.

    Args:
      rows: the images, with the boxes that the file holds.
      labels: names of all classes.
      title: where the boxes come from.
      comments: more of it, as lines of labelmap.txt that begin with #.
    """
    spool = Spool()
    with zipfile.ZipFile(spool, "w") as archive:
        for row in rows:
            if row.status == OK:
                name = free_name(archive, row.image, _FOLDER, _SUFFIX)
                add_member(archive, name, format_voc(row_to_annotation(row), database=title))
                yield spool.take()
        # Last, because only now all names are known.
        stems = (name.removeprefix(_FOLDER).removesuffix(_SUFFIX) for name in archive.namelist())
        add_member(archive, "ImageSets/Main/default.txt", utf8("".join(f"{stem}\n" for stem in stems)))
        add_member(archive, "labelmap.txt", _label_map(labels, [f"# {title}", *comments]))
    yield spool.take()


def _label_map(labels: Iterable[str], comments: Iterable[str]) -> bytes:
    """Return labelmap.txt, with CVAT's fields label:color:parts:actions.

    CVAT and Datumaro read it with neither quotes nor escapes (datumaro, plugins/data_formats/voc/format.py,
    parse_label_map), so a label that they would read as another one, or as a comment, stands in a comment.
    """
    lines = [*comments, "# label:color_rgb:parts:actions"]
    for label in map(xml_text, labels):
        is_held = label == label.strip() and _BREAKS.search(label) is None
        lines.append(f"{label}:::" if is_held else f"# not listed, because this file cannot hold it: {label!r}")
    return utf8("\n".join(lines))
