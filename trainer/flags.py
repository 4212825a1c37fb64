"""The configuration as absl flags, and back. Read in main alone: nothing else sees a flag."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from detection.errors import UsageError
from trainer.config import PRESETS, TrainConfig, make_config

_PRESET_HELP = f"settings to start from: {', '.join(PRESETS)}; every other flag overrules it"


def _define(values: flags.FlagValues) -> None:
    """One flag a field. None stands for 'not given', so that a preset can tell it from a default."""
    define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
    flags.DEFINE_string("preset", "tiny", _PRESET_HELP, flag_values=values)
    for spec in dataclasses.fields(TrainConfig):
        define[spec.type](spec.name, None, spec.metadata["help"], flag_values=values)  # type: ignore[index]


def parse_config(argv: Sequence[str]) -> TrainConfig:
    """Reads a command line, without the program's name.

    Raises:
      UsageError: a flag is unknown or its value unreadable, or the settings contradict each other.
    """
    values = flags.FlagValues()
    _define(values)
    try:
        rest = values(["trainer", *argv])[1:]
    except flags.Error as error:
        raise UsageError(" ".join(str(error).split())) from error
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}: it belongs to no flag")
    names = [spec.name for spec in dataclasses.fields(TrainConfig)]
    given: dict[str, Any] = {name: values[name].value for name in names if values[name].present}
    return make_config(values["preset"].value, given)


def help_text() -> str:
    """Every flag with its help, choices, default and presets."""
    lines = [f"  --preset (tiny)\n      {_PRESET_HELP}"]
    for spec in dataclasses.fields(TrainConfig):
        choices = f" [{', '.join(spec.metadata['choices'])}]" if spec.metadata["choices"] else ""
        presets = "; ".join(f"{name}: {values[spec.name]}" for name, values in PRESETS.items() if spec.name in values)
        defaults = f"{spec.default!r}" + (f"; {presets}" if presets else "")
        lines.append(f"  --{'[no]' if spec.type is bool else ''}{spec.name} ({defaults})")
        lines.append(f"      {spec.metadata['help']}{choices}")
    return "\n".join(lines)
