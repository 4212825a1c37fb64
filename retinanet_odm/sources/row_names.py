"""The names by which images and annotations are paired. Begin with `match_key`, then `image_names`.

An image is known by its path. A file that lists images knows them by the paths in it. A file of one image, as in Pascal
VOC, stands for the image of its own path; the <filename> in it adds the extension if the two agree, and is otherwise
ignored, because the <filename> that tools write is often wrong.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from retinanet_odm.predictions.formats.encoding import xml_text
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.storage.file_names import (
    IMAGE_SUFFIXES,
    has_image_suffix,
    safe_path,
    without_extension,
    without_extensions,
)

# How an image was paired with its annotation, if a person should look at it.
PAIRED_ACROSS_FOLDERS = "paired_across_folders"
PAIRED_BY_FILENAME = "paired_by_filename"

Key = bytes
# Folders of Pascal VOC files and of their images: in CVAT's exports, in other collections.
_IMAGE_FOLDERS = {"/Annotations/": "/JPEGImages/", "/annotations/": "/images/", "/labels/": "/images/"}
# COCO as CVAT exports it (by Datumaro): annotations/instances_SUBSET.json lists the images of images/SUBSET/.
_COCO_SUBSET = re.compile(r"(?:^|/)instances_([^/]+)\.json$")
_ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4})")  # as xml_text writes characters that XML cannot hold
_ZIP_FOLDER = re.compile(r"\.zip(?=/)", re.IGNORECASE)
# No printable ASCII, an empty path, a root, a backslash, a part that is empty or begins or ends with a dot, or a folder
# that may end in .zip.
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]|\A\Z|\A[/.]|\\|//|/\.|\./|[pP]/|[/.]\Z")
_NUMBER = re.compile(r"#[0-9]+\Z")  # that an exporter adds to a name that it has used before
_DOUBLED = (".xml", ".json", ".txt")


def match_key(path: str) -> Key:
    """Return what an image and its annotation have in common: the file name without extensions, as bytes.

    Rows with different keys are never paired by their names. A key is the same for both forms of Unicode, and for names
    that are not valid UTF-8 or that an exporter has made safe.

    Example:
      >>> match_key("dive 1/a.JPG") == match_key("Annotations/a.xml") == match_key("a.jpg.xml") == b"a"
      True
    """
    # Only the last part: folders may differ, and the rules of `matching` decide about them within the group.
    return without_extensions(_base(fold(path))).encode()


def exact_path(path: str) -> str:
    r"""Return a path as XML can hold it, with the slashes of other systems than Windows.

    Example:
      >>> exact_path("dive 1\\a.jpg")
      'dive 1/a.jpg'
    """
    return path if _is_plain(path) else PurePosixPath(xml_text(path).replace("\\", "/").lstrip("/")).as_posix()


def _is_plain(path: str) -> bool:
    """Return whether a path has the same form everywhere, as nearly all have: spares the work for millions of rows."""
    return _NOT_PLAIN.search(path) is None


def fold(path: str) -> str:
    """Return a path in the form in which spellings of the same name are equal.

    Unicode in its composed form (NFC), which macOS does not write; without ``..``, and with the characters that
    exporters replace; a zip file as a folder of its name without ``.zip``, as `match_images` names it.

    Example:
      >>> fold("x.zip/../cafe\u0301.jpg") == "x/caf\u00e9.jpg"
      True
    """
    if _is_plain(path):
        return path
    return _ZIP_FOLDER.sub("", safe_path(unicodedata.normalize("NFC", path)))


@dataclass(frozen=True, kw_only=True)
class RowNames:
    """The paths by which a row may be known.

    Attributes:
      full: with extension. Empty for a file of one image whose <filename> does not agree with its own name.
      in_subset: below CVAT's subset or task.
      bare: without extension.
      own: of a file of one image, all paths that it may stand for, without its last extension.
      doubled: paths whose extensions may be doubled. Empty for files that list images.
    """

    full: tuple[str, ...] = ()
    in_subset: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()

    @property
    def loose(self) -> set[str]:
        """The paths without all extensions of images and annotations."""
        return set(map(_loose, self.doubled))


Form = Callable[[str], str]  # exact_path or fold: how paths are compared


def image_names(image: ImageFile, form: Form) -> RowNames:
    """Return the names of an image in a form."""
    path = form(image.name)
    return RowNames(full=(path,), bare=(without_extension(path),), doubled=(path,))


def annotation_names(file: AnnotationFile, form: Form) -> RowNames:
    """Return the names of an annotation in a form."""
    return _listed_names(file, form) if file.image_name else _names_of_one(file, form)


def _listed_names(file: AnnotationFile, form: Form) -> RowNames:
    path = form(file.image_name)
    folders = [*_COCO_SUBSET.findall(file.name)]
    if file.annotation:
        folders += [file.annotation.subset, file.annotation.task_id]
    in_subset = tuple(f"{form(folder)}/{path}" for folder in folders if folder)
    return RowNames(full=(path,), in_subset=in_subset, bare=tuple(map(without_extension, (path, *in_subset))))


def _names_of_one(file: AnnotationFile, form: Form) -> RowNames:
    own = tuple(dict.fromkeys(_image_paths(without_extension(form(file.name or file.uri)))))
    full = _agreeing(own, name_inside(file), form)
    bare = tuple(map(without_extension, full)) or own
    return RowNames(full=full, bare=bare, own=() if full else own, doubled=own)


def name_inside(file: AnnotationFile) -> str:
    """Return the <filename> in a file of one image; "" for other files and unreadable ones."""
    return "" if file.image_name or file.annotation is None else file.annotation.filename


def _agreeing(own: tuple[str, ...], inside: str, form: Form) -> tuple[str, ...]:
    """Return the paths with extension that follow from the <filename>; none if it contradicts the file's own name."""
    plain = inside if _is_plain(inside) else safe_path(_ESCAPE.sub("_", inside))
    if without_extension(plain) == plain:
        return ()
    if plain != exact_path(
        inside
    ):  # an exporter has made the file's own name safe: only the <filename> has the real one
        path = exact_path(inside) if form is exact_path else form(plain)
        return (path,) if any(_agree(other, plain) for other in own) else ()
    name = _base(form(inside))
    if without_extension(name) == name or not _agree(_base(own[0]), name):
        return ()
    return tuple(f"{other.removesuffix(_base(other))}{name}" for other in own)


def _agree(own: str, inside: str) -> bool:
    """Return whether a.xml or a.jpg.xml may be the file of a.jpg; own is without the extension of the file."""
    if own == without_extension(inside):
        return True
    # With and without the number that an exporter has added.
    names = {fold(own), fold(_NUMBER.sub("", own))}
    # With its extension only as an image: x.v2.xml of a tool that writes no extensions is not of an image x.v2.
    return fold(without_extension(inside)) in names or (has_image_suffix(inside) and fold(inside) in names)


def _image_paths(path: str) -> Iterator[str]:
    """Yield the path of a Pascal VOC file, and the paths of its image in the folders of an export."""
    yield path
    for annotations, images in _IMAGE_FOLDERS.items():
        parts = f"/{path}".split(annotations)
        for split in range(1, len(parts)):  # the folder may occur again below, as a folder of images
            above, below = annotations.join(parts[:split]), annotations.join(parts[split:])
            yield from (other.lstrip("/") for other in (f"{above}{images}{below}", f"{above}/{below}", below))


def _loose(path: str) -> str:
    while path.lower().endswith((*IMAGE_SUFFIXES, *_DOUBLED)) and (shorter := without_extension(path)) != path:
        path = shorter
    return path


def _base(path: str) -> str:
    return path.rpartition("/")[2]
