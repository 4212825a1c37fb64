"""What a class is called, and which id it has.

Begin with `label_map`: `LabelMap` holds names by id and is what ``labels.pbtxt`` and ``dataset.json`` contain.

  label_map   parse, format and extend label maps
  aliases     other spellings of a name, from the CSV of --label_aliases
  checks      label checks: misspelt, duplicate, unused and rare labels
  spelling    which spellings are one name, and which look alike
  taxa        the tree of taxa above the classes, from the CSV of --taxa
"""

from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.checks import LabelProblem, check_labels
from retinanet_odm.labels.label_map import LabelMap, extend_labels, format_label_map, parse_label_map
from retinanet_odm.labels.spelling import describe_nearest, find_look_alikes, nearest_labels, normalise_label
from retinanet_odm.labels.taxa import Taxon, Taxonomy, parse_taxa

__all__ = [
    "LabelMap",
    "LabelProblem",
    "Taxon",
    "Taxonomy",
    "check_labels",
    "describe_nearest",
    "extend_labels",
    "find_look_alikes",
    "format_label_map",
    "nearest_labels",
    "normalise_label",
    "parse_aliases",
    "parse_label_map",
    "parse_taxa",
]
