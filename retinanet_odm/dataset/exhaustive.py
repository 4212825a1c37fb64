r"""Which classes are annotated exhaustively in which image: the CSV file of ``--exhaustive``.

Begin with `parse_exhaustive`. A class is exhaustive in an image if every object of the class has a box there, also if
there is none: only then a place without a box says that no such object is there. The file has the columns
``image,exhaustive_classes`` or ``deployment,exhaustive_classes``; names of classes are separated by semicolons, and
``*`` stands for all classes::

    image,exhaustive_classes
    dive1/a.jpg,crab;sea star
    dive1/b.jpg,*
    dive1/c.jpg,
    *,crab

An image has the row of its name, or of its deployment; without one, the row ``*`` if there is one; without that, all
classes are exhaustive, as without a file.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from retinanet_odm.csv_tables import Row, format_table, parse_table, read_header
from retinanet_odm.dataset.frame_names import BY_NAME, DeploymentRule
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import describe_nearest

ALL = "*"  # all classes, or all images that have no row of their own
_CLASSES = "exhaustive_classes"
_IMAGE, _DEPLOYMENT = "image", "deployment"
_SEPARATOR = ";"


@dataclass(frozen=True, kw_only=True)
class ExhaustiveClasses:
    """What a file of ``--exhaustive`` says.

    Attributes:
      classes_of: the exhaustive classes by name of the image or deployment, or ALL; None for all classes.
      by_deployment: whether the names are those of deployments.
      deployments: how the deployment of an image is found.
    """

    classes_of: Mapping[str, frozenset[str] | None]
    by_deployment: bool = False
    deployments: DeploymentRule = BY_NAME

    def row_of(self, image: str) -> str | None:
        """Return the name of the row that decides for an image; None if there is none."""
        name = self.deployments.deployment_of(image) if self.by_deployment else image
        return name if name in self.classes_of else ALL if ALL in self.classes_of else None

    def not_exhaustive_in(self, image: str, labels: LabelMap) -> tuple[tuple[int, str], ...]:
        """Return (id, name) of the classes of a label map that are not exhaustive in an image.

        Example:
          >>> listed = ExhaustiveClasses(classes_of={"a.jpg": frozenset({"crab"})})
          >>> labels = LabelMap.from_names(["crab", "fish"])
          >>> listed.not_exhaustive_in("a.jpg", labels), listed.not_exhaustive_in("b.jpg", labels)
          (((2, 'fish'),), ())
        """
        row = self.row_of(image)
        classes = None if row is None else self.classes_of[row]
        return () if classes is None else tuple(item for item in sorted(labels.items) if item[1] not in classes)

    def unknown_classes(self, names: Collection[str]) -> list[str]:
        """Return the classes of the file that are not among these names."""
        listed = {name for classes in self.classes_of.values() for name in classes or ()}
        return sorted(listed.difference(names))

    def unused_rows(self, images: Iterable[str]) -> list[str]:
        """Return the images or deployments of the file that are not among those of these images."""
        return sorted(self.classes_of.keys() - {ALL} - {self.row_of(image) for image in images})


def parse_exhaustive(
    text: str,
    *,
    source: str,
    labels: LabelMap | None = None,
    aliases: Mapping[str, str] | None = None,
    deployments: DeploymentRule = BY_NAME,
) -> ExhaustiveClasses:
    r"""Parse the file of ``--exhaustive``.

    Args:
      text: the file's content.
      source: the file's name, for messages.
      labels: the label map that must contain every class; None if there is none.
      aliases: name by alias; the file may use either.
      deployments: how the deployment of an image is found.

    Raises:
      ContractError: the text is no such table, it has no row, an image or deployment is repeated, or a class is not in
        the label map; the message names file and line.

    Example:
      >>> sorted(parse_exhaustive("image,exhaustive_classes\na.jpg,crab; fish\n", source="e.csv").classes_of["a.jpg"])
      ['crab', 'fish']
    """
    header = read_header(text, source=source)
    kinds = [kind for kind in (_IMAGE, _DEPLOYMENT) if kind in header]
    if len(kinds) != 1:
        expected = f"expected the header {_IMAGE},{_CLASSES} or {_DEPLOYMENT},{_CLASSES}"
        raise ContractError(f"{source}: line 1: {expected}; found {','.join(header)!r}")
    classes_of: dict[str, frozenset[str] | None] = {}
    for row in parse_table(text, (kinds[0], _CLASSES), source=source):
        name = row.cells[0]
        if name in classes_of:
            raise ContractError(f"{source}: line {row.line}: {kinds[0]} {name!r} is listed twice")
        classes_of[name] = _classes(row, labels, aliases or {}, source)
    if not classes_of:
        raise ContractError(f"{source}: expected at least one {kinds[0]}, found none")
    return ExhaustiveClasses(classes_of=classes_of, by_deployment=kinds[0] == _DEPLOYMENT, deployments=deployments)


def format_exhaustive(not_exhaustive: Mapping[str, Collection[int]], labels: LabelMap) -> str:
    r"""Return the file for some images that have classes which are not exhaustive; of all others, all classes are.

    Args:
      not_exhaustive: the ids of these classes by image.
      labels: the label map.

    Example:
      >>> format_exhaustive({"a.jpg": [2], "b.jpg": [1, 2]}, LabelMap.from_names(["crab", "fish"]))
      'image,exhaustive_classes\na.jpg,crab\nb.jpg,\n'
    """
    rows = (
        (image, _SEPARATOR.join(name for label_id, name in sorted(labels.items) if label_id not in ids))
        for image, ids in not_exhaustive.items()
    )
    return format_table((_IMAGE, _CLASSES), rows)


def _classes(row: Row, labels: LabelMap | None, aliases: Mapping[str, str], source: str) -> frozenset[str] | None:
    cell = row.cells[1].strip()
    if cell == ALL:
        return None
    # An empty cell: no class is exhaustive.
    written = [name.strip() for name in cell.split(_SEPARATOR)] if cell else []
    names = frozenset(aliases.get(name, name) for name in written)
    if "" in names or ALL in names:
        expected = f"expected names of classes separated by {_SEPARATOR}, or {ALL} alone"
        raise ContractError(f"{source}: line {row.line}: {expected}; found {row.cells[1]!r}")
    if labels is not None:
        for name in sorted(names.difference(labels.name_by_id.values())):
            nearest = describe_nearest(name, labels.name_by_id.values())
            hint = f"; did you mean {nearest}?" if nearest else ""
            raise ContractError(f"{source}: line {row.line}: class {name!r} is not in the label map{hint}")
    return names
