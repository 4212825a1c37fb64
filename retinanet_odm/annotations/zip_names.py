"""Which members of a zip file are annotation files, judged by their names; their content decides later.

Begin with `choose_annotations`.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from retinanet_odm.annotations.class_names import is_class_name_file
from retinanet_odm.storage.file_kinds import suffix_of
from retinanet_odm.storage.file_names import is_hidden

ZIPPED_KINDS = ".xml, .json, or .txt of YOLO"  # for messages
_DOCUMENTS = (".xml", ".json")
_TEXT = ".txt"
# Texts that list images, name colours, or explain the archive, as CVAT, Datumaro and Roboflow write them.
_LISTS = re.compile(r"(?:^|/)(?:train|val|valid|validation|test|labelmap|readme[^/]*)\.txt$|(?:^|/)ImageSets/", re.I)
_TEXT_FOLDER = "labels"  # in it, train.txt is of an image train.jpg


def is_annotation_name(name: str) -> bool:
    """Return whether a file is an XML or JSON file that is not hidden.

    Example:
      >>> is_annotation_name("Annotations/a.xml"), is_annotation_name(".cache/a.json")
      (True, False)
    """
    return name.lower().endswith(_DOCUMENTS) and not is_hidden(name)


def choose_annotations(names: Iterable[str]) -> set[str]:
    """Return the annotation files among the members of a zip file, and with texts of YOLO the names of their classes.

    Texts are YOLO's in an archive that names classes, or that has no other annotations: elsewhere, a text may say
    anything, or have the same boxes again.

    Example:
      >>> sorted(choose_annotations(["data.yaml", "labels/a.txt", "train.txt"]))
      ['data.yaml', 'labels/a.txt']
      >>> choose_annotations(["a.xml", "notes.txt"])
      {'a.xml'}
    """
    visible = [name for name in names if not is_hidden(name)]
    documents = {name for name in visible if is_annotation_name(name)}
    class_names = {name for name in visible if is_class_name_file(name)}
    texts = {name for name in visible if _is_text(name)} - class_names
    if not texts or (documents and not class_names):
        return documents
    return documents | texts | class_names


def _is_text(name: str) -> bool:
    return suffix_of(name) == _TEXT and not (_LISTS.search(name) and _TEXT_FOLDER not in PurePosixPath(name).parts)
