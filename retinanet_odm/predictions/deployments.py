"""Deployments: where and when a camera was, from the CSV of --deployments.

The columns are those of the table `deployments` of Camtrap DP 1.0.2 (https://camtrap-dp.tdwg.org/data/#deployments).
Begin with `parse_deployments`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from retinanet_odm.csv_tables import Row, parse_table, read_header
from retinanet_odm.errors import ContractError

_ID = "deploymentID"
START, END = "deploymentStart", "deploymentEnd"
LATITUDE, LONGITUDE, DEPTH = "latitude", "longitude", "cameraDepth"
# fromisoformat also reads a date alone, week dates and times without an offset.
_TIME_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)", re.ASCII)
_EXAMPLE = "a date and time with its offset from UTC, such as 2024-05-30T04:57:37+02:00"

_FEATURES = (
    *("roadPaved", "roadDirt", "trailHiking", "trailGame", "roadUnderpass", "roadOverpass", "roadBridge", "culvert"),
    *("burrow", "nestSite", "carcass", "waterSource", "fruitingTree"),
)


def _number(low: float, high: float | None = None, *, whole: bool = False) -> tuple[str, Callable[[str], bool]]:
    """Return what a cell must be, in words, and the test."""

    def accepts(text: str) -> bool:
        digits = r"[+-]?\d+" if whole else r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
        if not re.fullmatch(digits, text, re.ASCII):
            return False
        return float(text) >= low and (high is None or float(text) <= high)

    bounds = f"of at least {low:g}" if high is None else f"from {low:g} to {high:g}"
    return f"{'an integer' if whole else 'a number'} {bounds}", accepts


_YES_OR_NO = ("true or false", {"true", "false"}.__contains__)
_FEATURE = (f"any of {', '.join(_FEATURES)}", frozenset(_FEATURES).__contains__)
_ANY: tuple[str, Callable[[str], bool]] = ("", lambda _: True)

# Every column of the standard, in its order, with what its cells must be. Empty cells are allowed but where a format
# asks for a value.
_KINDS: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    _ID: _ANY,
    "locationID": _ANY,
    "locationName": _ANY,
    LATITUDE: _number(-90, 90),
    LONGITUDE: _number(-180, 180),
    "coordinateUncertainty": _number(1, whole=True),
    START: (_EXAMPLE, lambda text: _find_time(text) is not None),
    END: (_EXAMPLE, lambda text: _find_time(text) is not None),
    "setupBy": _ANY,
    "cameraID": _ANY,
    "cameraModel": _ANY,
    "cameraDelay": _number(0, whole=True),
    "cameraHeight": _number(0),
    DEPTH: _number(0),
    "cameraTilt": _number(-90, 90, whole=True),
    "cameraHeading": _number(0, 360, whole=True),
    "detectionDistance": _number(0),
    "timestampIssues": _YES_OR_NO,
    "baitUse": _YES_OR_NO,
    "featureType": _FEATURE,
    "habitat": _ANY,
    "deploymentGroups": _ANY,
    "deploymentTags": _ANY,
    "deploymentComments": _ANY,
}
DEPLOYMENT_COLUMNS = tuple(_KINDS)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One line of the table.

    Attributes:
      name: the deployment, as the rows of a run have it (PredictionRow.deployment).
      cells: by DEPLOYMENT_COLUMNS; "" for what is not known.
      where: file and line, for messages.
    """

    name: str
    cells: Mapping[str, str]
    where: str

    def number(self, column: str) -> float | None:
        """Return a value that is a number; None for an empty cell."""
        return float(self.cells[column]) if self.cells[column] else None

    def time(self, column: str) -> datetime:
        """Return deploymentStart or deploymentEnd.

        Raises:
          ContractError: the cell is empty.
        """
        found = _find_time(self.cells[column])
        if found is None:
            raise ContractError(f"{self.where}: {column} of {self.name!r}: expected {_EXAMPLE}, found an empty cell")
        return found

    @property
    def zone(self) -> tzinfo | None:
        """The offset of the camera's clock from UTC: that of deploymentStart, in summer and winter."""
        return self.time(START).tzinfo

    def date_time(self, clock: datetime) -> datetime:
        """Return a time of the camera's clock with its offset.

        Raises:
          ContractError: the image was taken before or after the deployment, and `timestampIssues` is not true.
        """
        found = clock.replace(tzinfo=self.zone)
        if self.cells["timestampIssues"] != "true" and not self.time(START) <= found <= self.time(END):
            raise ContractError(
                f"{self.where}: deployment {self.name!r} is from {self.cells[START]} to {self.cells[END]}, but has an"
                f" image of {found.isoformat()}: correct the times, or set timestampIssues to true"
            )
        return found


@dataclass(frozen=True)
class Deployments:
    """Deployments by name, in the order of the file.

    Attributes:
      by_name: the deployments.
      columns: those of the file.
      source: the file.
    """

    by_name: Mapping[str, Deployment]
    columns: frozenset[str]
    source: str

    def require(self, *columns: str, needed_by: str) -> None:
        """Check that columns exist and have no empty cell.

        Raises:
          ContractError: a column is missing, or a cell is empty; the message names it.
        """
        for column in columns:
            if column not in self.columns:
                raise ContractError(
                    f"{self.source}: {needed_by} needs the column {column}, which the file does not have"
                )
            for found in self.by_name.values():
                if not found.cells[column]:
                    raise ContractError(
                        f"{found.where}: {needed_by} needs {column} of {found.name!r}, found an empty cell"
                    )

    def of(self, name: str, *, image: str) -> Deployment:
        """Return the deployment of an image.

        Raises:
          ContractError: the file has no line for it.
        """
        if name not in self.by_name:
            shown = repr(name) if name else "'' (its name says nothing: see --deployment)"
            raise ContractError(f"{self.source}: no line has the {_ID} {shown}, the deployment of the image {image!r}")
        return self.by_name[name]


def parse_deployments(text: str, *, source: str) -> Deployments:
    r"""Parse the file of --deployments.

    Args:
      text: the file's content. Columns that Camtrap DP does not have are ignored.
      source: the file's name, for messages.

    Raises:
      ContractError: the text is no such table, a deployment has two lines or ends before it begins, or a cell is not
        what Camtrap DP allows there. The message names file, line and column.

    Example:
      >>> found = parse_deployments("deploymentID,latitude\nreef,-41.2\n", source="deployments.csv")
      >>> found.by_name["reef"].number("latitude")
      -41.2
    """
    columns = [column for column in DEPLOYMENT_COLUMNS if column in read_header(text, source=source)]
    by_name: dict[str, Deployment] = {}
    # Without deploymentID, parse_table tells which header it expects.
    for row in parse_table(text, columns if _ID in columns else [_ID], source=source):
        found = _parse_deployment(row, columns, f"{source}: line {row.line}")
        if found.name in by_name:
            raise ContractError(f"{found.where}: deployment {found.name!r} also has {by_name[found.name].where}")
        by_name[found.name] = found
    if not by_name:
        raise ContractError(f"{source}: expected at least one deployment, found none")
    return Deployments(by_name, frozenset(columns), source)


def _parse_deployment(row: Row, columns: list[str], where: str) -> Deployment:
    cells = dict.fromkeys(DEPLOYMENT_COLUMNS, "") | {
        column: cell.strip() for column, cell in zip(columns, row.cells, strict=True)
    }
    for column, (expected, accepts) in _KINDS.items():
        if cells[column] and not accepts(cells[column]):
            raise ContractError(f"{where}: {column}: expected {expected}, found {cells[column]!r}")
    if cells[START] and cells[END]:
        start, end = (datetime.fromisoformat(cells[column]) for column in (START, END))
        if end < start:
            raise ContractError(f"{where}: expected {END} after {START}, found {cells[END]} and {cells[START]}")
    return Deployment(name=cells[_ID], cells=cells, where=where)


def _find_time(text: str) -> datetime | None:
    if not _TIME_TEXT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # 31 February, 25 o'clock
        return None
