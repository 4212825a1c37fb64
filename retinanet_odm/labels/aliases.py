"""Label aliases: a CSV, columns ``alias,name``, that says under which name of the label map a spelling counts.

The row ``PENIAGONE_SP_A,Peniagone sp. A`` makes boxes of the first label ones of the second.
"""

from collections.abc import Mapping

from retinanet_odm.csv_tables import Row, parse_table
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.checks import nearest_labels
from retinanet_odm.labels.label_map import LabelMap


def parse_aliases(text: str, labels: LabelMap | None, *, source: str) -> dict[str, str]:
    """Reads --label_aliases into name by alias; an alias of an alias is followed to its end.

    Args:
      text: the file. Lines that start with # are comments; an alias counts as it is written, blanks included.
      labels: every alias must lead into it; None where there is no label map.
      source: the file's name, for messages.

    Raises:
      ContractError: not such a table, a blank cell, an alias twice, aliases in a circle, or a name that is not in the
        label map; the message names file and line.
    """
    rows: dict[str, Row] = {}
    for row in parse_table(text, ("alias", "name"), source=source, comments=True):
        alias, name = row.cells
        if not alias or not name.strip():
            raise ContractError(f"{source}: line {row.line}: expected alias,name; found {alias!r},{name!r}")
        if alias in rows:
            raise ContractError(f"{source}: line {row.line}: alias {alias!r} is also in line {rows[alias].line}")
        rows[alias] = row
    direct = {alias: row.cells[1].strip() for alias, row in rows.items()}
    aliases = {alias: _follow(alias, direct, f"{source}: line {row.line}") for alias, row in rows.items()}
    for alias, name in aliases.items():
        if labels is not None:
            _check_target(name, labels, f"{source}: line {rows[alias].line}")
    return aliases


def _follow(alias: str, direct: Mapping[str, str], place: str) -> str:
    way = [alias]
    while way[-1] in direct:
        way.append(direct[way[-1]])
        if way[-1] in way[:-1]:
            raise ContractError(f"{place}: aliases lead in a circle: {' → '.join(way)}")
    return way[-1]


def _check_target(name: str, labels: LabelMap, place: str) -> None:
    names = labels.name_by_id.values()
    if name not in names:
        meant = " or ".join(map(repr, nearest_labels(name, names)))
        hint = f"; did you mean {meant}?" if meant else f" (it has: {', '.join(sorted(names))})"
        raise ContractError(f"{place}: name {name!r} is not in the label map{hint}")
