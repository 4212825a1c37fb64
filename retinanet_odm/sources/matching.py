"""Which annotation belongs to which image, within a group of equal stems. Pure functions; linear in the group.

Each rule is tried in turn on what the rules before it left over: the same path, the same path without extension, a
path that ends with all of the other (the longest end first), the same file name, the same stem. A pair must be the only
one that its rule allows; otherwise nobody guesses, and all who claim each other are in conflict. Rows of different
homes never claim each other.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from retinanet_odm.sources.listing import AnnotationFile, ImageFile

Key = bytes
# Where the photographs of Pascal VOC files lie: in CVAT's exports, in other collections.
_FOLDERS = {"/Annotations/": "/JPEGImages/", "/annotations/": "/images/"}
# Datumaro's COCO, which CVAT writes: annotations/instances_SUBSET.json lists the images of images/SUBSET/.
_COCO_SUBSET = re.compile(r"(?:^|/)instances_([^/]+)\.json$")


def match_key(path: str) -> Key:
    """What an image and its annotation have in common: the stem; bytes, since a name need not be valid UTF-8."""
    return PurePosixPath(_slashes(path)).stem.encode("utf-8", "surrogateescape")


def _slashes(path: str) -> str:
    """A path of Windows, as some tools write it, with slashes."""
    return path.replace("\\", "/")


@dataclass(frozen=True, kw_only=True)
class PairingConflict:
    """Images and annotations of which no rule says who belongs to whom."""

    images: tuple[ImageFile, ...]
    annotations: tuple[AnnotationFile, ...]


@dataclass(frozen=True, kw_only=True)
class FilePairs:
    """What became of a group; positions are those of the images and annotations that were given.

    Attributes:
      annotation_of: annotation by the position of its image.
      conflict_of: conflict by the position of each of its images; conflicts hold annotations that are nobody's.
      unused: annotations that no image claims.
    """

    annotation_of: dict[int, AnnotationFile]
    conflict_of: dict[int, PairingConflict]
    unused: tuple[AnnotationFile, ...]


def pair_files(images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> FilePairs:
    """Pairs the images and annotations of a group; the result does not depend on their order."""
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
    """The names of one row: paths with extension, those with CVAT's subset or task in front, and bare of extension."""

    full: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()


def _image_names(image: ImageFile) -> _Names:
    path = _path(image.name)
    return _Names(full=(path,), bare=(_without_extension(path),))


def _annotation_names(file: AnnotationFile) -> _Names:
    if not file.image_name:
        return _Names(bare=tuple(_beside(_without_extension(_path(file.name or file.uri)))))
    path = _path(file.image_name)
    folders = [*_COCO_SUBSET.findall(file.name)]
    if file.annotation:
        folders += [file.annotation.subset, file.annotation.task_id]
    placed = tuple(f"{folder}/{path}" for folder in folders if folder)
    return _Names(full=(path,), placed=placed, bare=tuple(map(_without_extension, (path, *placed))))


def _beside(path: str) -> Iterator[str]:
    """The path of a Pascal VOC file, and the paths it stands for where it lies in the folders of an export."""
    yield path
    for own, beside in _FOLDERS.items():
        above, found, below = f"/{path}".rpartition(own)
        if found:
            yield from (other.lstrip("/") for other in (f"{above}{beside}{below}", f"{above}/{below}", below))


def _path(name: str) -> str:
    return PurePosixPath(_slashes(name).lstrip("/")).as_posix()


def _without_extension(path: str) -> str:
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}{PurePosixPath(name).stem}"


_Token = tuple[str, str]
_Keys = Callable[[_Names], Iterator[_Token]]


def _own(names: _Names) -> Iterator[_Token]:
    """A path counts with its extension; an annotation file that stands for its image has only a bare one."""
    yield from (("full", path) for path in names.full)
    if not names.full:
        yield from (("bare", path) for path in names.bare)


def _exact(names: _Names) -> Iterator[_Token]:
    yield from _own(names)
    yield from _placed(names)


def _placed(names: _Names) -> Iterator[_Token]:
    yield from (("full", path) for path in names.placed)


def _bare(names: _Names) -> Iterator[_Token]:
    yield from (("bare", path) for path in names.bare)


def _both(names: _Names) -> Iterator[_Token]:
    yield from _own(names)
    yield from _bare(names)


def _ends(keys: _Keys) -> _Keys:
    """The keys and all ends of their paths."""

    def ends(names: _Names) -> Iterator[_Token]:
        for kind, path in keys(names):
            parts = path.split("/")
            yield from ((kind, "/".join(parts[start:])) for start in range(len(parts)))

    return ends


def _file_name(names: _Names) -> Iterator[_Token]:
    yield from (("full", PurePosixPath(path).name) for path in names.full)


def _stem(_names: _Names) -> Iterator[_Token]:
    yield "stem", ""  # what the whole group has in common


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """Rows that share a key may belong together.

    Attributes:
      images, annotations: the keys of a row.
      unique: whether rows that are already paired count too, so that a name must be the only one of its group: here
        folders may contradict each other, and the image of one folder is not that of another for want of better.
    """

    images: _Keys
    annotations: _Keys
    unique: bool = False


_RULES = (
    _Rule(images=_both, annotations=_exact),
    _Rule(images=_bare, annotations=_bare),
    _Rule(images=_ends(_own), annotations=_placed),
    _Rule(images=_ends(_both), annotations=_own),
    _Rule(images=_both, annotations=_ends(_own)),
    _Rule(images=_file_name, annotations=_file_name, unique=True),
    _Rule(images=_stem, annotations=_stem, unique=True),
)


@dataclass(kw_only=True)
class _Claim:
    """The positions of rows that share a key."""

    images: list[int] = field(default_factory=list)
    annotations: list[int] = field(default_factory=list)


def _is_pair(claim: _Claim) -> bool:
    return len(claim.images) == len(claim.annotations) == 1


class _Group:
    """The state of matching: who is open, paired, in conflict."""

    def __init__(self, images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> None:
        self._images, self._annotations = images, annotations
        self._image_names = [_image_names(image) for image in images]
        self._annotation_names = [_annotation_names(file) for file in annotations]
        self.open_images = set(range(len(images)))
        self.open_annotations = set(range(len(annotations)))
        self.pairs: dict[int, int] = {}
        self.conflicts: dict[int, PairingConflict] = {}

    def apply(self, rule: _Rule) -> None:
        """Settles the claims of a rule, those by longer paths first."""
        if not self.open_images or not self.open_annotations:
            return
        levels: defaultdict[int, list[_Claim]] = defaultdict(list)
        for (_, _, path), claim in self._claims(rule).items():
            if claim.images and claim.annotations:
                levels[path.count("/")].append(claim)
        for _, claims in sorted(levels.items(), reverse=True):
            self._settle([self._still_open(claim) for claim in claims] if not rule.unique else claims)

    def _claims(self, rule: _Rule) -> dict[tuple[str, str, str], _Claim]:
        """By home and key."""
        claims: defaultdict[tuple[str, str, str], _Claim] = defaultdict(_Claim)
        for row, names in enumerate(self._image_names):
            for key in set(rule.images(names)):
                claims[self._images[row].home, *key].images.append(row)
        for row, names in enumerate(self._annotation_names):
            for key in set(rule.annotations(names)):
                claims[self._annotations[row].home, *key].annotations.append(row)
        return claims

    def _still_open(self, claim: _Claim) -> _Claim:
        return _Claim(
            images=[row for row in claim.images if row in self.open_images],
            annotations=[row for row in claim.annotations if row in self.open_annotations],
        )

    def _settle(self, claims: list[_Claim]) -> None:
        live = [self._break_tie(claim) for claim in claims if self._concerns_open(claim)]
        partners: defaultdict[int, set[int]] = defaultdict(set)
        claimants: defaultdict[int, set[int]] = defaultdict(set)
        crowds = [claim for claim in live if not _is_pair(claim)]
        crowded_images = {row for claim in crowds for row in claim.images}
        crowded_annotations = {row for claim in crowds for row in claim.annotations}
        links = {(claim.images[0], claim.annotations[0]) for claim in live if _is_pair(claim)}
        for image, annotation in links:
            partners[image].add(annotation)
            claimants[annotation].add(image)
        for image, annotation in sorted(links):
            alone = len(partners[image]) == len(claimants[annotation]) == 1
            if alone and image not in crowded_images and annotation not in crowded_annotations:
                self._pair(image, annotation)
            else:
                crowds.append(_Claim(images=sorted(claimants[annotation]), annotations=sorted(partners[image])))
        for claim in crowds:
            self._set_in_conflict(claim)

    def _concerns_open(self, claim: _Claim) -> bool:
        return not (self.open_images.isdisjoint(claim.images) or self.open_annotations.isdisjoint(claim.annotations))

    def _break_tie(self, claim: _Claim) -> _Claim:
        """The one pair whose names agree with the <filename> inside a Pascal VOC file, where there is one such pair."""
        images = [row for row in claim.images if row in self.open_images]
        rows = [row for row in claim.annotations if row in self.open_annotations]
        inside = [_inside(self._annotations[row]) for row in claim.annotations]
        if len(images) + len(rows) == 2 or min(len(images), len(rows)) != 1 or not all(inside):
            return claim
        agree = [
            (image, row)
            for image in images
            for row in rows
            if PurePosixPath(self._images[image].name).name == _inside(self._annotations[row])
        ]
        return _Claim(images=[agree[0][0]], annotations=[agree[0][1]]) if len(agree) == 1 else claim

    def _pair(self, image: int, annotation: int) -> None:
        self.pairs[image] = annotation
        self.open_images.discard(image)
        self.open_annotations.discard(annotation)

    def _set_in_conflict(self, claim: _Claim) -> None:
        conflict = PairingConflict(
            images=tuple(self._images[row] for row in claim.images),
            annotations=tuple(self._annotations[row] for row in claim.annotations),
        )
        for row in self.open_images.intersection(claim.images):
            self.conflicts[row] = conflict
        self.open_images.difference_update(claim.images)
        self.open_annotations.difference_update(claim.annotations)


def _inside(file: AnnotationFile) -> str:
    """The file name that a one-image annotation file gives its image; "" for others, and where it could not be read."""
    if file.image_name or file.annotation is None:
        return ""
    return PurePosixPath(_slashes(file.annotation.filename)).name
