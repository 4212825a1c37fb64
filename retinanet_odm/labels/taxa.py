"""The tree of taxa: a CSV with the columns ``label,AphiaID,rank,parent`` and optionally ``scientificName``.

AphiaIDs are the numbers of the World Register of Marine Species (https://www.marinespecies.org), which OBIS and GBIF
take as names without ambiguity. Begin with `parse_taxa`, the reader of --taxa; `Taxonomy` is what it returns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.csv_tables import Row, parse_table
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.spelling import describe_nearest

_COLUMNS = ("label", "AphiaID", "rank", "parent")
_NAME = "scientificName"  # optional column
_ID_PREFIX = "urn:lsid:marinespecies.org:taxname:"

# The ranks of animals in WoRMS, from the top down. Its sections and subsections are also ranks of plants, at another
# place; the order is that of animals.
RANKS = (
    *("superdomain", "domain", "kingdom", "subkingdom", "infrakingdom"),
    *("superphylum", "phylum", "subphylum", "infraphylum", "parvphylum"),
    *("gigaclass", "megaclass", "superclass", "class", "subclass", "infraclass", "subterclass"),
    *("superorder", "order", "suborder", "infraorder", "parvorder", "section", "subsection"),
    *("superfamily", "epifamily", "family", "subfamily", "supertribe", "tribe", "subtribe"),
    *("genus", "subgenus", "species", "subspecies", "variety", "forma"),
)
# Those that have terms of their own in Darwin Core.
HIGHER_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
_DEPTH = {rank: number for number, rank in enumerate(RANKS)}


@dataclass(frozen=True, kw_only=True)
class Taxon:
    """One row of the table.

    Attributes:
      label: the name of a class of the model, or of a taxon above such classes.
      aphia_id: its number in WoRMS; that of the lowest known taxon for a label such as "Peniagone sp. A".
      rank: one of RANKS: the rank of the taxon that has the number.
      parent: label of the taxon above; "" for the top of a tree.
      scientific_name: the name that WoRMS has for the number; the label unless the table says otherwise.
    """

    label: str
    aphia_id: int
    rank: str
    parent: str = ""
    scientific_name: str

    @property
    def scientific_name_id(self) -> str:
        """The LSID of the taxon, which is the value of Darwin Core's scientificNameID.

        Example:
          >>> Taxon(label="crab", aphia_id=106673, rank="infraorder", scientific_name="Brachyura").scientific_name_id
          'urn:lsid:marinespecies.org:taxname:106673'
        """
        return f"{_ID_PREFIX}{self.aphia_id}"


@dataclass(frozen=True)
class Taxonomy:
    """Taxa by label, in the order of the file; every parent is one of them, and there is no cycle (`parse_taxa`)."""

    by_label: Mapping[str, Taxon]

    def lineage(self, label: str) -> tuple[Taxon, ...]:
        """Return the taxon of a label and all above it, from the lowest to the top of the tree.

        Raises:
          KeyError: the label has no row; see `check_classes`.
        """
        return self._lineages[label]

    def at_rank(self, label: str, rank: str) -> Taxon | None:
        """Return the taxon of this rank that a label belongs to, itself included; None if its lineage has none.

        Of a taxon and its parent of equal rank ("Peniagone sp. A" in Peniagone), the parent is returned.

        Raises:
          KeyError: the label has no row.
        """
        found = [taxon for taxon in self._lineages[label] if taxon.rank == rank]
        return found[-1] if found else None

    def classification(self, label: str) -> dict[str, str]:
        """Return the scientific names of a label's taxa by rank, of HIGHER_RANKS, from the top; itself included.

        Raises:
          KeyError: the label has no row.
        """
        found = {rank: self.at_rank(label, rank) for rank in HIGHER_RANKS}
        return {rank: taxon.scientific_name for rank, taxon in found.items() if taxon}

    @cached_property
    def _lineages(self) -> dict[str, tuple[Taxon, ...]]:
        return {label: tuple(map(self.by_label.__getitem__, _path(label, self.by_label))) for label in self.by_label}

    def check_classes(self, labels: Iterable[str], *, source: str) -> None:
        """Check that every class has a row.

        Raises:
          ContractError: classes have none; the message names all of them.
        """
        if missing := [label for label in labels if label not in self.by_label]:
            candidates = describe_nearest(missing[0], self.by_label)
            hint = f" (did you mean {candidates}?)" if candidates else ""
            found = ", ".join(map(repr, missing))
            raise ContractError(f"{source}: expected a row for every class, found none for {found}{hint}")


def parse_taxa(text: str, *, source: str) -> Taxonomy:
    r"""Parse the file of --taxa.

    Args:
      text: the file's content. Lines that start with # are comments. Blanks around a label are part of it, as in label
        maps; ranks are read without regard to case. A parent may stand below its children.
      source: the file's name, for messages.

    Raises:
      ContractError: the text is no such table; a label is blank or repeated; an AphiaID is not a positive integer; a
        rank is unknown, or not below that of the parent; a parent has no row; parents form a cycle; or one AphiaID has
        two names or ranks. The message names file and line.

    Example:
      >>> text = "label,AphiaID,rank,parent\nBrachyura,106673,infraorder,\nCancer pagurus,107276,species,Brachyura"
      >>> [taxon.label for taxon in parse_taxa(text, source="taxa.csv").lineage("Cancer pagurus")]
      ['Cancer pagurus', 'Brachyura']
    """
    rows: dict[str, Row] = {}
    by_label: dict[str, Taxon] = {}
    for row in parse_table(text, _COLUMNS, source=source, comments=True, optional=(_NAME,)):
        taxon = _parse_taxon(row, source)
        if taxon.label in rows:
            other = rows[taxon.label].line
            raise ContractError(f"{_where(row, source)}: label {taxon.label!r} is also in line {other}")
        rows[taxon.label], by_label[taxon.label] = row, taxon
    if not rows:
        raise ContractError(f"{source}: expected at least one taxon, found none")
    for label, row in rows.items():
        _check_parent(by_label[label], by_label, _where(row, source))
    _check_ids(by_label, rows, source)
    return Taxonomy(by_label)


def _where(row: Row, source: str) -> str:
    return f"{source}: line {row.line}"


def _parse_taxon(row: Row, source: str) -> Taxon:
    label, number, rank, parent, name = row.cells
    where = _where(row, source)
    if not label.strip():
        raise ContractError(f"{where}: expected a label, found {label!r}")
    # Not int(): it also reads "1_000", " 7" and the digits of other scripts.
    digits = number.strip()
    if not (digits.isascii() and digits.isdecimal() and int(digits)):
        raise ContractError(f"{where}: AphiaID of {label!r}: expected a positive integer, found {number!r}")
    known = rank.strip().lower()
    if known not in _DEPTH:
        candidates = describe_nearest(known, RANKS)
        hint = f"did you mean {candidates}?" if candidates else f"expected one of {', '.join(RANKS)}"
        raise ContractError(f"{where}: rank of {label!r}: {rank!r} is no known rank; {hint}")
    scientific_name = name.strip() or label.strip()
    return Taxon(label=label, aphia_id=int(digits), rank=known, parent=parent.strip(), scientific_name=scientific_name)


def _check_parent(taxon: Taxon, by_label: Mapping[str, Taxon], where: str) -> None:
    if not taxon.parent:
        return
    if taxon.parent not in by_label:
        candidates = describe_nearest(taxon.parent, by_label)
        hint = f"; did you mean {candidates}?" if candidates else ": add one, or leave the cell empty"
        raise ContractError(f"{where}: parent {taxon.parent!r} of {taxon.label!r} has no row{hint}")
    # Before the ranks, which would be wrong somewhere in every cycle.
    path = _path(taxon.label, by_label)
    if path[-1] in path[:-1]:
        raise ContractError(f"{where}: parents form a cycle: {' → '.join(path)}")
    parent = by_label[taxon.parent]
    # A morphotype has the number and the rank of the lowest taxon that is known, and that taxon may be its parent.
    if _DEPTH[parent.rank] >= _DEPTH[taxon.rank] and parent.aphia_id != taxon.aphia_id:
        raise ContractError(
            f"{where}: rank of {taxon.label!r}: expected one below {parent.rank}, the rank of its parent"
            f" {parent.label!r}; found {taxon.rank}"
        )


def _path(label: str, by_label: Mapping[str, Taxon]) -> list[str]:
    """Return a label and those above it; in a cycle, it ends with the first label that is repeated."""
    path = [label]
    while (parent := by_label[path[-1]].parent) in by_label:
        path.append(parent)
        if parent in path[:-1]:
            break
    return path


def _check_ids(by_label: Mapping[str, Taxon], rows: Mapping[str, Row], source: str) -> None:
    """Check that rows with one AphiaID mean one taxon: a number that was copied by mistake has two names."""
    first: dict[int, Taxon] = {}
    for label, taxon in by_label.items():
        other = first.setdefault(taxon.aphia_id, taxon)
        if (other.scientific_name, other.rank) != (taxon.scientific_name, taxon.rank):
            raise ContractError(
                f"{_where(rows[label], source)}: AphiaID {taxon.aphia_id} of {label!r} ({taxon.rank}"
                f" {taxon.scientific_name}) is also in line {rows[other.label].line} ({other.rank}"
                f" {other.scientific_name}): expected one {_NAME} and rank for each AphiaID"
            )
