"""Reads the names of YOLO's classes: names in a data.yaml, or one name in each line of a classes.txt or obj.names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import yaml

from retinanet_odm.errors import AnnotationError

# Files that hold names of classes, as tools call them; the first that is found beside annotations is used.
CLASS_NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "_darknet.labels")
_YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The names of classes by their index. has_keypoints: rows have keypoints after the box."""

    names: Mapping[int, str] = field(default_factory=dict)
    has_keypoints: bool = False


def is_class_name_file(path: str) -> bool:
    """Return whether a file holds the names of classes, judged by its name.

    Example:
      >>> is_class_name_file("DIR/data.yaml"), is_class_name_file("DIR/labels/a.txt")
      (True, False)
    """
    name = PurePosixPath(path).name.lower()
    return name in CLASS_NAME_FILES or name.endswith(_YAML_SUFFIXES)


def parse_class_names(data: bytes, *, source: str) -> ClassNames:
    """Parse a file that holds the names of classes; the suffix of its name tells which kind it is.

    Raises:
      AnnotationError: the file is not YAML or not text, or has no names.

    Example:
      >>> parse_class_names(b"names: {0: star, 1: crab}", source="data.yaml").names
      {0: 'star', 1: 'crab'}
    """
    try:
        text = data.decode("utf-8-sig")
        document = _load(text) if source.lower().endswith(_YAML_SUFFIXES) else {"names": text.split("\n")}
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise AnnotationError("class_names_not_readable", f"{source}: {' '.join(str(error).split())}") from error
    found = document.get("names") if isinstance(document, dict) else None
    if isinstance(found, list):
        while found and not str(found[-1]).strip():
            del found[-1]
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not found or not all(map(_is_entry, found.items())):
        detail = f"{source}: expected names of classes, as a list or by their index; found {ascii(found)[:60]}"
        raise AnnotationError("class_names_not_readable", detail)
    names = {int(index): name.strip() for index, name in found.items()}
    return ClassNames(names=names, has_keypoints=isinstance(document, dict) and "kpt_shape" in document)


def _load(text: str) -> object:
    # This loader makes texts, lists and objects only: a class may be called no, 1e3 or 2026-11-30.
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506


def _is_entry(entry: tuple[object, object]) -> bool:
    index, name = entry
    is_index = isinstance(index, int | str) and not isinstance(index, bool) and str(index).isdecimal()
    return is_index and isinstance(name, str) and bool(name.strip())
