"""The tree of taxa from --taxa: its flag and its file."""

import argparse
from collections.abc import Iterable

from retinanet_odm.labels.taxa import Taxonomy, parse_taxa
from retinanet_odm.storage import files
from retinanet_odm.systems import with_slashes


def add_taxa_flag(parser: argparse.ArgumentParser, *, effect: str) -> None:
    """Add the flag; effect says what the command does with it."""
    parser.add_argument(
        "--taxa",
        type=with_slashes,
        metavar="FILE",
        default="",
        help="CSV file with the columns label,AphiaID,rank,parent and optionally scientificName: a line for each class"
        f" and each taxon above it; {effect}",
    )


def read_taxa(path: str, classes: Iterable[str] = ()) -> Taxonomy:
    """Return the tree of taxa from the file of --taxa.

    Args:
      path: of the file.
      classes: names of classes that must have a row.

    Raises:
      UsageError: there is no such file.
      ContractError: it is not what parse_taxa expects, or a class has no row.
    """
    taxonomy = parse_taxa(files.read_text(path, flag="--taxa"), source=path)
    taxonomy.check_classes(classes, source=path)
    return taxonomy
