"""Pairs images with their annotations. Begin with `pair_files`, which gets a group of rows with equal keys.

The rules below are tried one after the other on the rows that are still open: the same path, the same path without
extension, a path that ends with the other path (the longest end first), the same without doubled extensions, the same
file name, the same stem. Each is tried on the names as they are, and then as `fold` makes them. A rule pairs an image
and an annotation only if nothing else claims one of them by the same rule; otherwise all of them are in conflict, and
nothing is guessed. Rows of different exports never pair. Pure functions; linear in the size of the group.

What is left of files of one image is paired by the <filename> in them: see retinanet_odm.sources.inner_names.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from retinanet_odm.annotations.detection import KIND_UNKNOWN
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.row_names import Form, RowNames, annotation_names, exact_path, fold, image_names


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
      across_folders: Images that have the same file name as their annotation, but lie in another folder.
      conflict_of: The conflict of each image in one; the annotations of a conflict belong to no image.
      unused: Annotations without an image.
    """

    annotation_of: dict[int, AnnotationFile]
    across_folders: frozenset[int]
    conflict_of: dict[int, PairingConflict]
    unused: tuple[AnnotationFile, ...]


def pair_files(images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> FilePairs:
    """Pair the images and annotations of a group; the result does not depend on their order.

    Example:
      >>> image = ImageFile(uri="/i/1/a.jpg", name="1/a.jpg")
      >>> pair_files([image], [AnnotationFile(uri="/x/a.xml", name="a.xml")]).annotation_of[0].uri
      '/x/a.xml'
    """
    if len(images) == len(annotations) == 1 and _meet_at_once(images[0], annotations[0]):
        return FilePairs(annotation_of={0: annotations[0]}, across_folders=frozenset(), conflict_of={}, unused=())
    group = _Group(images, annotations)
    # A file of an unknown kind may be no annotation at all: it gets what is left.
    known = {row for row, file in enumerate(annotations) if file.reason != KIND_UNKNOWN}
    group.apply_rules(known)
    if len(known) < len(annotations):
        group.apply_rules(range(len(annotations)))
    return FilePairs(
        annotation_of={image: annotations[found] for image, found in group.pairs.items()},
        across_folders=frozenset(group.across_folders),
        conflict_of=group.conflicts,
        unused=tuple(annotations[row] for row in sorted(group.open_annotations)),
    )


# --- Rules ---


_Token = tuple[str, str]
_Keys = Callable[[RowNames], Iterator[_Token]]


def _own(names: RowNames) -> Iterator[_Token]:
    """Yield the path with extension; for a file of one image without it, all that its own path may mean."""
    yield from (("full", path) for path in names.full)
    yield from ((kind, path) for path in names.own for kind in ("bare", "full"))


def _in_subset(names: RowNames) -> Iterator[_Token]:
    yield from (("full", path) for path in names.in_subset)


def _bare(names: RowNames) -> Iterator[_Token]:
    yield from (("bare", path) for path in names.bare)


def _loose(names: RowNames) -> Iterator[_Token]:
    yield from (("loose", path) for path in names.loose)


def _any(*functions: _Keys) -> _Keys:
    """Return a function that yields the keys of all these functions."""
    return lambda names: itertools.chain.from_iterable(keys(names) for keys in functions)


def _ends(keys: _Keys) -> _Keys:
    """Return a function that yields the keys with all ends of their paths: a/b/c, b/c, c."""

    def ends(names: RowNames) -> Iterator[_Token]:
        for kind, path in keys(names):
            parts = path.split("/")
            yield from ((kind, "/".join(parts[start:])) for start in range(len(parts)))

    return ends


def _last(keys: _Keys) -> _Keys:
    """Return a function that yields the keys with the last part of their paths."""
    return lambda names: ((kind, PurePosixPath(path).name) for kind, path in keys(names))


def _full(names: RowNames) -> Iterator[_Token]:
    yield from (("full", path) for path in names.full)


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
    _Rule(images=_loose, annotations=_loose),
    _Rule(images=_ends(_loose), annotations=_loose),
    _Rule(images=_loose, annotations=_ends(_loose)),
    _Rule(images=_last(_full), annotations=_last(_full), unique=True),
    _Rule(images=_last(_bare), annotations=_last(_bare), unique=True),
    _Rule(images=_last(_loose), annotations=_last(_loose), unique=True),
)


def _meet_at_once(image: ImageFile, annotation: AnnotationFile) -> bool:
    """Return whether the only two rows of a group pair by the first rule, as in most groups: spares all others."""
    rule = _RULES[0]
    keys = set(rule.images(image_names(image, exact_path)))
    is_same = not keys.isdisjoint(rule.annotations(annotation_names(annotation, exact_path)))
    return is_same and image.export_uri == annotation.export_uri


@dataclass(kw_only=True)
class _Claim:
    """The positions of the rows that share a key."""

    images: list[int] = field(default_factory=list)
    annotations: list[int] = field(default_factory=list)

    @property
    def is_pair(self) -> bool:
        return len(self.images) == len(self.annotations) == 1


_Rows = tuple[list[RowNames], list[RowNames]]  # of the images, of the annotations


class _Group:
    """The state of a group: which rows are open, paired or in conflict."""

    def __init__(self, images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> None:
        self._images, self._annotations = images, annotations
        self.open_images = set(range(len(images)))
        self.open_annotations = set(range(len(annotations)))
        self.pairs: dict[int, int] = {}
        self.across_folders: set[int] = set()
        self.conflicts: dict[int, PairingConflict] = {}

    # Each form is computed at most once for the group; rules look names up in it.
    @functools.cached_property
    def _exact(self) -> _Rows:
        return self._names_in(exact_path)

    @functools.cached_property
    def _folded(self) -> _Rows:
        return self._names_in(fold)

    def _names_in(self, form: Form) -> _Rows:
        images = [image_names(row, form) for row in self._images]
        return images, [annotation_names(row, form) for row in self._annotations]

    def apply_rules(self, annotations: Collection[int]) -> None:
        """Pair open rows by all rules; only these annotations take part."""
        for rule in _RULES:
            if not self._has_open(annotations):
                return
            before = set(self.pairs) if rule.unique else set()
            self._apply(rule, self._exact, annotations)
            # Most groups end with the first rule: the folded names are then never made.
            if self._has_open(annotations) and self._folded != self._exact:
                self._apply(rule, self._folded, annotations)
            if rule.unique:
                self.across_folders.update(row for row in self.pairs.keys() - before if self._is_across(row))

    def _has_open(self, annotations: Collection[int]) -> bool:
        return bool(self.open_images) and not self.open_annotations.isdisjoint(annotations)

    def _is_across(self, image: int) -> bool:
        """Return whether the folders of an image and of its annotation contradict each other."""
        # In the folded form: other spellings of a folder are the same folder.
        images, annotations = self._folded
        folder = _folder(images[image].full[0])
        names = annotations[self.pairs[image]]
        return not any(_is_end(folder, _folder(path)) for path in (*names.bare, *names.in_subset))

    def _apply(self, rule: _Rule, rows: _Rows, annotations: Collection[int]) -> None:
        """Pair open rows by a rule; claims by longer paths go first."""
        levels: defaultdict[int, list[_Claim]] = defaultdict(list)
        for (_, _, path), claim in self._claims(rule, rows, annotations).items():
            if claim.images and claim.annotations:
                levels[path.count("/")].append(claim)
        for _, claims in sorted(levels.items(), reverse=True):  # longer ends of paths say more
            self._pair_or_conflict([self._still_open(claim) for claim in claims] if not rule.unique else claims)

    def _claims(self, rule: _Rule, rows: _Rows, annotations: Collection[int]) -> dict[tuple[str, str, str], _Claim]:
        """Return the claims of the rows by export and key."""
        claims: defaultdict[tuple[str, str, str], _Claim] = defaultdict(_Claim)
        image_rows, annotation_rows = rows
        for row, names in enumerate(image_rows):
            for key in set(rule.images(names)):
                claims[self._images[row].export_uri, *key].images.append(row)
        for row in annotations:
            for key in set(rule.annotations(annotation_rows[row])):
                claims[self._annotations[row].export_uri, *key].annotations.append(row)
        return claims

    def _still_open(self, claim: _Claim) -> _Claim:
        return _Claim(
            images=[row for row in claim.images if row in self.open_images],
            annotations=[row for row in claim.annotations if row in self.open_annotations],
        )

    def _pair_or_conflict(self, claims: list[_Claim]) -> None:
        # Two passes: first all links of this level are gathered, then each is judged against all others, in any order.
        live = [claim for claim in claims if self._concerns_open(claim)]
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
        # After all pairs of the level: a row in conflict is closed, and no looser rule may guess.
        for claim in conflicts:
            self._set_conflict(claim)

    def _concerns_open(self, claim: _Claim) -> bool:
        return not (self.open_images.isdisjoint(claim.images) or self.open_annotations.isdisjoint(claim.annotations))

    def _set_conflict(self, claim: _Claim) -> None:
        conflict = PairingConflict(
            images=tuple(self._images[row] for row in claim.images),
            annotations=tuple(self._annotations[row] for row in claim.annotations),
        )
        for row in self.open_images.intersection(claim.images):
            self.conflicts[row] = conflict
        self.open_images.difference_update(claim.images)
        self.open_annotations.difference_update(claim.annotations)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_end(one: str, other: str) -> bool:
    """Return whether one folder is the end of the other."""
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return not shorter or f"/{longer}".endswith(f"/{shorter}")
