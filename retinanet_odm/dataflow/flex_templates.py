"""Dataflow Flex Templates of our commands: the console's form from a command's flags, and the flags from the form.

The parameters of a template are strings with unique names. So a flag with several values gets them like words of a
shell, a switch is true or false, and a flag whose name Beam uses too has another name here. The programs of
containers/ call `template_flags`, scripts/make_templates.py calls `template_metadata`.
"""

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Any

from retinanet_odm.errors import UsageError

# Beam's --labels are those of the job, and Dataflow's launcher passes them.
_RENAMED = {"labels": "label_map"}
_BOOLEANS = {"true": True, "false": False}
_SEVERAL = " Separate several values by spaces; quote a value that contains a space."
# Parameter types for which the console offers to browse.
_FOLDERS = {"output": "GCS_WRITE_FOLDER", "model": "GCS_READ_FOLDER"}
_IMAGE = {
    "name": "sdk_container_image",
    "label": "Worker image",
    "helpText": "Container image of the workers: the same as that of this template.",
    "isOptional": False,
    "paramType": "TEXT",
}


def template_metadata(parser: argparse.ArgumentParser, *, name: str, omit: Sequence[str] = ()) -> dict[str, Any]:
    """Return the metadata.json of a command's template (google.cloud.dataflow_v1beta3.types.TemplateMetadata).

    Args:
      parser: The parser of the command.
      name: The name for the console.
      omit: Names of flags that are useless there.
    """
    actions = [action for action in parser._actions if action.dest not in ("help", *omit)]
    description = (parser.description or "").strip().partition("\n\n")[0]
    return {
        "name": name,
        "description": " ".join(description.split()),
        "streaming": False,
        "parameters": [*map(_parameter, actions), _IMAGE],
    }


def _parameter(action: argparse.Action) -> dict[str, Any]:
    name = _RENAMED.get(action.dest, action.dest)
    # argparse formats help with these values too, such as %(default)s.
    text = " ".join((action.help or "").split()) % {**vars(action), "prog": ""}
    value: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": text[:1].upper() + text[1:].rstrip(".") + "." + (_SEVERAL if action.nargs == "+" else ""),
        "isOptional": not action.required,
        "paramType": _kind(action),
    }
    if value["paramType"] == "BOOLEAN":
        value["defaultValue"] = "false"
    if value["paramType"] == "ENUM":
        value["enumOptions"] = [{"value": choice, "label": choice} for choice in action.choices or ()]
        value["defaultValue"] = action.default
    return value


def _kind(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "BOOLEAN"
    if action.choices and action.nargs is None:
        return "ENUM"
    if action.type in (int, float):
        return "NUMBER"
    if action.metavar == "FILE":
        return "GCS_READ_FILE"
    return _FOLDERS.get(action.dest, "TEXT")


def template_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """Convert the parameters of a template to flags of the command; Beam's flags stay unchanged.

    Args:
      parser: The parser of the command.
      argv: What Dataflow's launcher passes, each ``--name=value``.

    Returns:
      The flags, without waiting for the job: the launcher only requests its description.

    Raises:
      UsageError: A value is invalid.
    """
    actions = {_RENAMED.get(action.dest, action.dest): action for action in parser._actions}
    flags: list[str] = []
    for word in argv:
        name, _, value = word.removeprefix("--").partition("=")
        # --label is Beam's other name for the job's labels, which does not clash with our --labels.
        flags += _flag(actions[name], name, value) if name in actions else [re.sub("^--labels=", "--label=", word)]
    return [*flags, "--no_wait_until_finish"]


def _flag(action: argparse.Action, name: str, value: str) -> list[str]:
    flag = action.option_strings[0]
    # A form has text fields only: a switch arrives as a word.
    if action.nargs == 0:
        if value.lower() not in _BOOLEANS:
            raise UsageError(f"{name}: expected true or false, found {value!r}")
        return [flag] if _BOOLEANS[value.lower()] else []
    # Several values arrive in one field, with the quotes of a shell: patterns may contain blanks.
    if action.nargs == "+":
        try:
            return [flag, *shlex.split(value)]
        except ValueError as error:
            raise UsageError(f"{name}: cannot split the values in {value!r}: {error}") from error
    return [f"{flag}={value}"] if value else []  # the console also sends empty fields
