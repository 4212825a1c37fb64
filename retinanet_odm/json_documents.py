"""JSON documents with a schema version: what the readers of `dataset.json` and `model.json` check first."""

import json
from typing import Any

from retinanet_odm.errors import ContractError


def parse_json_object(text: str, *, source: str) -> dict[str, Any]:
    """Parses text that must hold one JSON object.

    Args:
      text: the document.
      source: the file's name, for messages.

    Raises:
      ContractError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ContractError(f"{source}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ContractError(f"{source}: expected a JSON object, found {type(value).__name__}")
    return value


def check_schema_version(found: object, expected: int, *, source: str, remedy: str) -> None:
    """Raises ContractError when a document is of another schema version; the message ends with the remedy."""
    if found != expected:
        raise ContractError(f"{source}: schema version {expected} expected, found {found}; {remedy}")
