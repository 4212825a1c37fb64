"""Pairs images with their annotations. Begin with `pair_files`, which gets a group of rows with equal stems.

The rules below are tried one after the other on the rows that are still open: the same path, the same path without
extension, a path that ends with the other path (the longest end first), the same file name, the same stem. A rule pairs
an image and an annotation only if nothing else claims one of them by the same rule; otherwise all of them are in
conflict, and nothing is guessed. Rows of different exports never pair. Pure functions; linear in the size of the group.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from retinanet_odm.sources.listing import AnnotationFile, ImageFile

Key = bytes
# Folders of Pascal VOC files and of their images: in CVAT's exports, in other collections.
_IMAGE_FOLDERS = {"/Annotations/": "/JPEGImages/", "/annotations/": "/images/"}
# COCO as CVAT exports it (by Datumaro): annotations/instances_SUBSET.json lists the images of images/SUBSET/.
_COCO_SUBSET = re.compile(r"(?:^|/)instances_([^/]+)\.json$")


def match_key(path: str) -> Key:
    """Returns what an image and its annotation have in common: the stem. Bytes, because it need not be valid UTF-8.

    Example:
      >>> match_key("dive 1/a.JPG") == match_key("Annotations/a.xml") == b"a"
      True
    """
    return PurePosixPath(_slashes(path)).stem.encode("utf-8", "surrogateescape")


def _slashes(path: str) -> str:
    """Converts a Windows path, which some tools write."""
    return path.replace("\\", "/")


@dataclass(frozen=True, kw_only=True)
class PairingConflict:
    """Images and annotations that no rule can pair without guessing."""

    images: tuple[ImageFile, ...]
    annotations: tuple[AnnotationFile, ...]


@dataclass(frozen=True, kw_only=True)
class FilePairs:
    """The pairs of a group. Keys are the positions of the images in the call of `pair_files`.

    Attributes:
      annotation_of: The annotation of each paired image.
      conflict_of: The conflict of each image in one; the annotations of a conflict belong to no image.
      unused: Annotations without an image.
    """

    annotation_of: dict[int, AnnotationFile]
    conflict_of: dict[int, PairingConflict]
    unused: tuple[AnnotationFile, ...]


def pair_files(images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> FilePairs:
    """Pairs the images and annotations of a group; the result does not depend on their order.

    Example:
      >>> image = ImageFile(uri="/i/1/a.jpg", name="1/a.jpg")
      >>> pair_files([image], [AnnotationFile(uri="/x/a.xml", name="a.xml")]).annotation_of[0].uri
      '/x/a.xml'
    """
    group = _Group(images, annotations)
    for rule in _RULES:
        group.apply(rule)
    return FilePairs(
        annotation_of={image: annotations[found] for image, found in group.pairs.items()},
        conflict_of=group.conflicts,
        unused=tuple(annotations[row] for row in sorted(group.open_annotations)),
    )


@dataclass(frozen=True, kw_only=True)
class _Names:
    """The paths by which a row may be known: with extension, below CVAT's subset or task, and without extension."""

    full: tuple[str, ...] = ()
    in_subset: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()


def _image_names(image: ImageFile) -> _Names:
    path = _path(image.name)
    return _Names(full=(path,), bare=(_without_extension(path),))


def _annotation_names(file: AnnotationFile) -> _Names:
    if not file.image_name:
        return _Names(bare=tuple(_image_paths(_without_extension(_path(file.name or file.uri)))))
    path = _path(file.image_name)
    folders = [*_COCO_SUBSET.findall(file.name)]
    if file.annotation:
        folders += [file.annotation.subset, file.annotation.task_id]
    in_subset = tuple(f"{folder}/{path}" for folder in folders if folder)
    return _Names(full=(path,), in_subset=in_subset, bare=tuple(map(_without_extension, (path, *in_subset))))


def _image_paths(path: str) -> Iterator[str]:
    """Yields the path of a Pascal VOC file, and the paths of its image in the folders of an export."""
    yield path
    for annotations, images in _IMAGE_FOLDERS.items():
        above, found, below = f"/{path}".rpartition(annotations)
        if found:
            yield from (other.lstrip("/") for other in (f"{above}{images}{below}", f"{above}/{below}", below))


def _path(name: str) -> str:
    return PurePosixPath(_slashes(name).lstrip("/")).as_posix()


def _without_extension(path: str) -> str:
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}{PurePosixPath(name).stem}"


# The keys of a row under one rule; rows that share a key claim each other. "full" and "bare" paths never mix.
_Token = tuple[str, str]
_Keys = Callable[[_Names], Iterator[_Token]]


def _own(names: _Names) -> Iterator[_Token]:
    """Yields the path with extension, or the bare one of an annotation file that stands for its image."""
    yield from (("full", path) for path in names.full)
    if not names.full:
        yield from (("bare", path) for path in names.bare)


def _in_subset(names: _Names) -> Iterator[_Token]:
    yield from (("full", path) for path in names.in_subset)


def _bare(names: _Names) -> Iterator[_Token]:
    yield from (("bare", path) for path in names.bare)


def _any(*functions: _Keys) -> _Keys:
    """Returns a function that yields the keys of all these functions."""
    return lambda names: itertools.chain.from_iterable(keys(names) for keys in functions)


def _ends(keys: _Keys) -> _Keys:
    """Returns a function that yields the keys with all ends of their paths: a/b/c, b/c, c."""

    def ends(names: _Names) -> Iterator[_Token]:
        for kind, path in keys(names):
            parts = path.split("/")
            yield from ((kind, "/".join(parts[start:])) for start in range(len(parts)))

    return ends


def _file_name(names: _Names) -> Iterator[_Token]:
    yield from (("full", PurePosixPath(path).name) for path in names.full)


def _stem(_names: _Names) -> Iterator[_Token]:
    yield "stem", ""  # the same for the whole group


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """Pairs rows that share a key.

    Attributes:
      images, annotations: The functions that yield the keys of a row.
      unique: Whether rows that are already paired claim too, so that a name must be the only one in its group. For
        rules that ignore folders: an image must not get the annotation of another folder only because that is left.
    """

    images: _Keys
    annotations: _Keys
    unique: bool = False


# The order matters: from the strictest rule to the loosest.
_RULES = (
    _Rule(images=_any(_own, _bare), annotations=_any(_own, _in_subset)),
    _Rule(images=_bare, annotations=_bare),
    _Rule(images=_ends(_own), annotations=_in_subset),
    _Rule(images=_ends(_any(_own, _bare)), annotations=_own),
    _Rule(images=_any(_own, _bare), annotations=_ends(_own)),
    _Rule(images=_file_name, annotations=_file_name, unique=True),
    _Rule(images=_stem, annotations=_stem, unique=True),
)


@dataclass(kw_only=True)
class _Claim:
    """The positions of the rows that share a key."""

    images: list[int] = field(default_factory=list)
    annotations: list[int] = field(default_factory=list)

    @property
    def is_pair(self) -> bool:
        return len(self.images) == len(self.annotations) == 1


class _Group:
    """The state of a group: which rows are open, paired or in conflict."""

    def __init__(self, images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> None:
        self._images, self._annotations = images, annotations
        self._image_names = [_image_names(image) for image in images]
        self._annotation_names = [_annotation_names(file) for file in annotations]
        self.open_images = set(range(len(images)))
        self.open_annotations = set(range(len(annotations)))
        self.pairs: dict[int, int] = {}
        self.conflicts: dict[int, PairingConflict] = {}

    def apply(self, rule: _Rule) -> None:
        """Pairs open rows by a rule; claims by longer paths go first."""
        if not self.open_images or not self.open_annotations:
            return
        levels: defaultdict[int, list[_Claim]] = defaultdict(list)
        for (_, _, path), claim in self._claims(rule).items():
            if claim.images and claim.annotations:
                levels[path.count("/")].append(claim)
        for _, claims in sorted(levels.items(), reverse=True):  # longer ends of paths say more
            self._pair_or_conflict([self._still_open(claim) for claim in claims] if not rule.unique else claims)

    def _claims(self, rule: _Rule) -> dict[tuple[str, str, str], _Claim]:
        """Returns the claims of all rows by export and key."""
        claims: defaultdict[tuple[str, str, str], _Claim] = defaultdict(_Claim)
        for row, names in enumerate(self._image_names):
            for key in set(rule.images(names)):
                claims[self._images[row].export_uri, *key].images.append(row)
        for row, names in enumerate(self._annotation_names):
            for key in set(rule.annotations(names)):
                claims[self._annotations[row].export_uri, *key].annotations.append(row)
        return claims

    def _still_open(self, claim: _Claim) -> _Claim:
        return _Claim(
            images=[row for row in claim.images if row in self.open_images],
            annotations=[row for row in claim.annotations if row in self.open_annotations],
        )

    def _pair_or_conflict(self, claims: list[_Claim]) -> None:
        live = [self._break_tie(claim) for claim in claims if self._concerns_open(claim)]
        partners: defaultdict[int, set[int]] = defaultdict(set)
        claimants: defaultdict[int, set[int]] = defaultdict(set)
        conflicts = [claim for claim in live if not claim.is_pair]
        images_in_conflict = {row for claim in conflicts for row in claim.images}
        annotations_in_conflict = {row for claim in conflicts for row in claim.annotations}
        links = {(claim.images[0], claim.annotations[0]) for claim in live if claim.is_pair}
        for image, annotation in links:
            partners[image].add(annotation)
            claimants[annotation].add(image)
        for image, annotation in sorted(links):
            alone = len(partners[image]) == len(claimants[annotation]) == 1
            if alone and image not in images_in_conflict and annotation not in annotations_in_conflict:
                self.pairs[image] = annotation
                self.open_images.discard(image)
                self.open_annotations.discard(annotation)
            else:
                conflicts.append(_Claim(images=sorted(claimants[annotation]), annotations=sorted(partners[image])))
        for claim in conflicts:
            self._set_conflict(claim)

    def _concerns_open(self, claim: _Claim) -> bool:
        return not (self.open_images.isdisjoint(claim.images) or self.open_annotations.isdisjoint(claim.annotations))

    def _break_tie(self, claim: _Claim) -> _Claim:
        """Reduces a claim to the one pair, if any, whose image has the <filename> inside the Pascal VOC file."""
        rows = self._still_open(claim)
        names = [_name_inside(self._annotations[row]) for row in claim.annotations]
        if rows.is_pair or min(len(rows.images), len(rows.annotations)) != 1 or not all(names):
            return claim
        agree = [
            _Claim(images=[image], annotations=[row])
            for image, row in itertools.product(rows.images, rows.annotations)
            if PurePosixPath(self._images[image].name).name == _name_inside(self._annotations[row])
        ]
        return agree[0] if len(agree) == 1 else claim

    def _set_conflict(self, claim: _Claim) -> None:
        conflict = PairingConflict(
            images=tuple(self._images[row] for row in claim.images),
            annotations=tuple(self._annotations[row] for row in claim.annotations),
        )
        for row in self.open_images.intersection(claim.images):
            self.conflicts[row] = conflict
        self.open_images.difference_update(claim.images)
        self.open_annotations.difference_update(claim.annotations)


def _name_inside(file: AnnotationFile) -> str:
    """Returns the image name inside an annotation file of one image; "" for other files and unreadable ones."""
    if file.image_name or file.annotation is None:
        return ""
    return PurePosixPath(_slashes(file.annotation.filename)).name
