"""JSON documents with a schema version: the first checks of the readers of `dataset.json` and `model.json`."""

import json
from typing import Any

from retinanet_odm.errors import ContractError


def parse_json_object(text: str, *, source: str) -> dict[str, Any]:
    """Parse a text that must hold one JSON object.

    Args:
      text: The document.
      source: Name of the file, for messages.

    Raises:
      ContractError: It is not JSON, or not an object.

    Example:
      >>> parse_json_object('{"images": 3}', source="dataset.json")
      {'images': 3}
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ContractError(f"{source}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ContractError(f"{source}: expected a JSON object, found {type(value).__name__}")
    return value


def check_schema_version(found: object, *expected: int, source: str, remedy: str) -> None:
    """Raise ContractError if a document has none of these schema versions; the message ends with the remedy."""
    if found not in expected:
        versions = " or ".join(map(str, expected))
        raise ContractError(f"{source}: schema version {versions} expected, found {found}; {remedy}")
