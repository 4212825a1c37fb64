"""Label maps: class names and their ids 1..K, as ``labels.pbtxt`` (StringIntLabelMap text format) and JSON.

Begin with `LabelMap`. `extend_labels` adds names without changing an id. The rest parses and formats ``labels.pbtxt``.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.errors import ContractError, LabelError

# One token of the protobuf text format: a quoted string, a brace or colon, or a bare word. Commas and comments match
# without a token.
_TOKEN = re.compile(r"""\s+|\#[^\n]*|,|;|(?P<token>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}:]|[^\s{}:#,;"']+)""")
# Octal and hex escapes are bytes of UTF-8: protobuf's own text printer writes every non-ASCII letter that way.
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)")
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}

# The largest id determines the size of the model's last layer. iNaturalist 2021 has 10,000 species; with that many
# classes, nine anchors per cell and 256 channels, the layer has 207 million weights.
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class LabelMap:
    """Names by id. Ids are unique and in 1..MAX_CLASSES (0 is background); names are unique and not blank.

    Raises:
      ContractError: an id or a name is repeated, an id is out of range or a name is blank.

    Example:
      >>> labels = LabelMap.from_names(["urchin", "crab"])
      >>> labels.items, labels.id_of("urchin")
      (((1, 'crab'), (2, 'urchin')), 2)
    """

    items: tuple[tuple[int, str], ...]

    def __post_init__(self) -> None:
        # Both ways: an id with two names and a name with two ids are different mistakes.
        ids = Counter(label_id for label_id, _ in self.items)
        names = Counter(name for _, name in self.items)
        if not self.items:
            raise ContractError("label map: expected at least one label, found none")
        for label_id, name in self.items:
            if label_id < 1:
                raise ContractError(f"label map: id of {name!r} must be 1 or more (0 is background), found {label_id}")
            if label_id > MAX_CLASSES:
                raise ContractError(f"label map: id of {name!r} must be {MAX_CLASSES:,} or less, found {label_id}")
            if not name.strip():
                raise ContractError(f"label map: id {label_id} has a blank name")
            if ids[label_id] > 1:
                raise ContractError(f"label map: id {label_id} has more than one name")
            if names[name] > 1:
                raise ContractError(f"label map: name {name!r} has more than one id")

    @classmethod
    def from_names(cls, names: Iterable[str]) -> "LabelMap":
        """Make a label map with ids 1..K in alphabetical order; the order of the names does not matter."""
        return cls(tuple(enumerate(sorted(set(names)), start=1)))

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> "LabelMap":
        """Parse the value that to_json returns.

        Raises:
          ContractError: the value is no such object.
        """
        try:
            return cls(tuple((int(label_id), str(name)) for label_id, name in value.items()))
        except (AttributeError, TypeError, ValueError) as error:
            raise ContractError(f"labels: expected an object of id to name, found {value!r}") from error

    def to_json(self) -> dict[str, str]:
        """Return the names by id; ids are decimal text, because JSON keys are text."""
        return {str(label_id): name for label_id, name in sorted(self.items)}

    @property
    def num_classes(self) -> int:
        """The largest id, which is the width of a classification head without a background class."""
        return max(label_id for label_id, _ in self.items)

    @cached_property
    def name_by_id(self) -> dict[int, str]:
        """The names by id."""
        return dict(self.items)

    @cached_property
    def _id_by_name(self) -> dict[str, int]:
        return {name: label_id for label_id, name in self.items}

    def id_of(self, name: str) -> int:
        """Return the id of a name, which must match exactly.

        Raises:
          LabelError: the name is not in the map.
        """
        try:
            return self._id_by_name[name]
        except KeyError:
            known = ", ".join(sorted(self._id_by_name))
            raise LabelError("unknown_label", f"label {name!r} is not in the label map (it has: {known})") from None


def extend_labels(previous: LabelMap | None, names: Iterable[str]) -> LabelMap:
    """Add names to a label map: known names keep their ids, new ones follow in alphabetical order.

    New ids continue after the largest one. A gap that a removed class left is never filled: models that know the class
    still use its id.

    Raises:
      ContractError: a name is blank, or there is no name at all.

    Example:
      >>> extend_labels(LabelMap(((7, "crab"),)), ["urchin", "crab", "anemone"]).items
      ((7, 'crab'), (8, 'anemone'), (9, 'urchin'))
    """
    if previous is None:
        return LabelMap.from_names(names)
    new = sorted(set(names) - set(previous.name_by_id.values()))
    return LabelMap((*previous.items, *enumerate(new, start=previous.num_classes + 1)))


def _tokens(text: str) -> Iterable[str]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise ContractError(f"label map: line {line}: unexpected {text[position]!r}")
        position = match.end()
        if match["token"]:
            yield match["token"]


def _unquote(token: str) -> str:
    if token[0] not in "\"'":
        return token
    return _ESCAPE.sub(_unescape, token[1:-1].encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    # Three octal digits may be more than a byte holds.
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    if code[:1] in b"xX" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return _ESCAPED.get(code, code)


def _fields(tokens: list[str]) -> list[dict[str, str]]:
    """Parse ``item { key: value … } …`` into one dict per item."""
    items: list[dict[str, str]] = []
    position = 0
    while position < len(tokens):
        opening = tokens[position : position + 3]
        if opening[:2] != ["item", "{"] and opening != ["item", ":", "{"]:
            raise ContractError(f"label map: expected 'item {{', found {' '.join(opening)!r}")
        position += opening.index("{") + 1
        fields: dict[str, str] = {}
        # Slices instead of indices: at the end of a truncated file they are empty, and the check below reports it.
        while tokens[position : position + 1] != ["}"]:
            if len(tokens) < position + 3 or tokens[position + 1] != ":":
                raise ContractError("label map: expected 'key: value' pairs and '}' at the end of an item")
            fields[tokens[position]] = _unquote(tokens[position + 2])
            position += 3
        items.append(fields)
        position += 1
    return items


def parse_label_map(text: str) -> LabelMap:
    """Parse StringIntLabelMap text: ``item { id: 1 name: 'x' display_name: "…" }``; ignores a byte order mark.

    Raises:
      ContractError: the text is not of that form, or the map is inconsistent.

    Example:
      >>> parse_label_map("item { id: 1 name: 'crab' } item { id: 2 name: 'urchin' }").name_by_id
      {1: 'crab', 2: 'urchin'}
    """
    items = []
    for fields in _fields(list(_tokens(text.removeprefix("\ufeff")))):
        if "id" not in fields or "name" not in fields:
            raise ContractError(f"label map: an item needs 'id' and 'name', found {sorted(fields)}")
        # The sign is accepted here, so that LabelMap can reject the id with a message about its range.
        if not re.fullmatch(r"-?\d{1,18}", fields["id"]):
            raise ContractError(f"label map: id must be an integer up to {MAX_CLASSES:,}, found {fields['id']!r}")
        items.append((int(fields["id"]), fields["name"]))
    return LabelMap(tuple(items))


def format_label_map(labels: LabelMap) -> str:
    """Format a label map as text that parse_label_map reads, in the order of the ids.

    Example:
      >>> print(format_label_map(LabelMap.from_names(["crab"])), end="")
      item {
        id: 1
        name: "crab"
      }
    """
    # The escapes that `_unescape` reverses; all other characters are written as they are, in UTF-8.
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
    quoted = ((label_id, name.translate(escapes)) for label_id, name in sorted(labels.items))
    return "".join(f'item {{\n  id: {label_id}\n  name: "{name}"\n}}\n' for label_id, name in quoted)
