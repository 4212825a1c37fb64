"""Dataflow Flex Templates of our commands: what the console asks for, made of a command's flags, and the way back.

A template's parameters are strings, one for each name. So a flag of several values takes them as a shell reads words, a
switch takes true or false, and a flag whose name Beam has taken has another name here.
"""

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Any

from retinanet_odm.cli.parser import Parser
from retinanet_odm.errors import UsageError

# By Beam, --labels are those of the job, and Dataflow's launcher passes them.
_RENAMED = {"labels": "label_map"}
_BOOLEANS = {"true": True, "false": False}
_SEVERAL = " Several, divided by spaces; one with a space stands in quotes."
# Google's kind of a parameter, by which the console offers to browse.
_FOLDERS = {"output": "GCS_WRITE_FOLDER", "model": "GCS_READ_FOLDER"}
_IMAGE = {
    "name": "sdk_container_image",
    "label": "Worker image",
    "helpText": "Image of the workers: the very one that this template is launched from.",
    "isOptional": False,
    "paramType": "TEXT",
}


def command_parser(parser: Parser, command: str) -> argparse.ArgumentParser:
    """The parser of one command of a program."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices[command]
    raise ValueError(f"{parser.prog} has no commands")


def template_metadata(parser: argparse.ArgumentParser, *, name: str, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """The metadata.json of a command's template, as google.cloud.dataflow_v1beta3.types.TemplateMetadata has it.

    Args:
      parser: of the command.
      name: shown in the console.
      leave_out: names of flags that mean nothing there.
    """
    actions = [action for action in parser._actions if action.dest not in ("help", *leave_out)]
    description = (parser.description or "").strip().partition("\n\n")[0]
    return {
        "name": name,
        "description": " ".join(description.split()),
        "streaming": False,
        "parameters": [*map(_parameter, actions), _IMAGE],
    }


def _parameter(action: argparse.Action) -> dict[str, Any]:
    name = _RENAMED.get(action.dest, action.dest)
    text = " ".join((action.help or "").split()) % {**vars(action), "prog": ""}
    value: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": text[:1].upper() + text[1:] + "." + (_SEVERAL if action.nargs == "+" else ""),
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
    """The command's words for what Dataflow's launcher passes, each ``--name=value``; Beam's flags stay as they are.

    The job is not waited for: the launcher only asks for its description.

    Raises:
      UsageError: a value cannot be read.
    """
    actions = {_RENAMED.get(action.dest, action.dest): action for action in parser._actions}
    flags: list[str] = []
    for word in argv:
        name, _, value = word.removeprefix("--").partition("=")
        # Beam's own name of the job's labels that is no flag of ours.
        flags += _flag(actions[name], name, value) if name in actions else [re.sub("^--labels=", "--label=", word)]
    return [*flags, "--no_wait_until_finish"]


def _flag(action: argparse.Action, name: str, value: str) -> list[str]:
    flag = action.option_strings[0]
    if action.nargs == 0:
        if value.lower() not in _BOOLEANS:
            raise UsageError(f"{name}: expected true or false, found {value!r}")
        return [flag] if _BOOLEANS[value.lower()] else []
    if action.nargs == "+":
        try:
            return [flag, *shlex.split(value)]
        except ValueError as error:
            raise UsageError(f"{name}: cannot tell the values in {value!r}: {error}") from error
    return [f"{flag}={value}"] if value else []  # the console sends what was left empty
