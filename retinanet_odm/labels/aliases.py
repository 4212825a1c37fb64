"""Label aliases: a CSV with the columns ``alias,name`` that maps other spellings to names of the label map.

With the row ``PENIAGONE_SP_A,Peniagone sp. A``, boxes labelled with the first name count for the second.
"""

from collections.abc import Mapping

from retinanet_odm.csv_tables import Row, parse_table
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import describe_nearest


def parse_aliases(text: str, labels: LabelMap | None, *, source: str) -> dict[str, str]:
    r"""Parse the file of --label_aliases into a dict of name by alias; an alias of an alias is resolved.

    Args:
      text: the file's content. Lines that start with # are comments. Blanks around an alias are part of it.
      labels: the label map that must contain every name; None if there is none.
      source: the file's name, for messages.

    Raises:
      ContractError: the text is no such table, a cell is blank, an alias is repeated, aliases form a cycle, or a name
        is not in the label map; the message names file and line.

    Example:
      >>> parse_aliases("alias,name\ncrabs,crab\nKrabbe,crabs", None, source="aliases.csv")
      {'crabs': 'crab', 'Krabbe': 'crab'}
    """
    rows: dict[str, Row] = {}
    for row in parse_table(text, ("alias", "name"), source=source, comments=True):
        alias, name = row.cells
        if not alias or not name.strip():
            raise ContractError(f"{source}: line {row.line}: expected alias,name; found {alias!r},{name!r}")
        if alias in rows:
            raise ContractError(f"{source}: line {row.line}: alias {alias!r} is also in line {rows[alias].line}")
        rows[alias] = row
    # Only names lose their blanks. An alias must equal a label of the annotation files, in which blanks count.
    direct = {alias: row.cells[1].strip() for alias, row in rows.items()}
    # All rows are read first: an alias may be used in a row before the one that defines it.
    aliases = {alias: _resolve(alias, direct, f"{source}: line {row.line}") for alias, row in rows.items()}
    for alias, name in aliases.items():
        if labels is not None:
            _check_target(name, labels, f"{source}: line {rows[alias].line}")
    return aliases


def _resolve(alias: str, direct: Mapping[str, str], where: str) -> str:
    path = [alias]
    # The path holds every name on the way, so that the message can show a cycle completely.
    while path[-1] in direct:
        path.append(direct[path[-1]])
        if path[-1] in path[:-1]:
            raise ContractError(f"{where}: aliases form a cycle: {' → '.join(path)}")
    return path[-1]


def _check_target(name: str, labels: LabelMap, where: str) -> None:
    names = labels.name_by_id.values()
    if name not in names:
        candidates = describe_nearest(name, names)
        hint = f"; did you mean {candidates}?" if candidates else f" (it has: {', '.join(sorted(names))})"
        raise ContractError(f"{where}: name {name!r} is not in the label map{hint}")
