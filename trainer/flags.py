"""The configuration as absl flags, and back. Read in main alone: nothing else sees a flag."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from retinanet_odm.errors import UsageError
from trainer import legacy_flags, legacy_hparams
from trainer.config import TrainConfig, setting_fields
from trainer.presets import PRESETS, RECIPES, make_config

_PRESET = "tiny"
_PRESET_HELP = f"network and machine to start from: {', '.join(PRESETS)}; every other flag overrules it"
_RECIPE_HELP = f"way of training: {', '.join(RECIPES)}; overrules the preset, and other flags overrule it"


def _define(values: flags.FlagValues) -> None:
    """One flag a field. None stands for 'not given', so that a preset can tell it from a default."""
    define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
    flags.DEFINE_string("preset", None, _PRESET_HELP, flag_values=values)
    flags.DEFINE_string("recipe", None, _RECIPE_HELP, flag_values=values)
    for name, kind in legacy_flags.FLAGS.items():
        define[kind](name, None, "flag of tensorflow/tpu's retinanet_main.py", flag_values=values)
    for spec in setting_fields():
        define[spec.type](spec.name, None, spec.metadata["help"], flag_values=values)  # type: ignore[index]


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A command line that was read: settings, what it says about its data, and a line for each flag to be explained."""

    config: TrainConfig
    expectations: legacy_flags.DatasetExpectations = legacy_flags.DatasetExpectations()  # noqa: RUF009 - frozen
    notices: tuple[str, ...] = ()


def parse_request(argv: Sequence[str], *, read_text: Callable[[str], str]) -> TrainRequest:
    """Reads a command line, without the program's name: this trainer's, or one of tensorflow/tpu's retinanet_main.py.

    Args:
      read_text: opens the --config_file, which may be a gs:// one.

    Raises:
      UsageError: a flag is unknown or its value unreadable, or the settings contradict each other.
    """
    values = _parse(argv)
    given = _given(values, [spec.name for spec in setting_fields()])
    if "tpu" in given:
        given.setdefault("use_tpu", True)
    old = _given(values, legacy_flags.FLAGS)
    preset, recipe = _starting_point(values, is_old=bool(old))
    if not old:
        return TrainRequest(config=make_config(preset, given, recipe=recipe))
    translation = legacy_flags.translate_legacy_flags(
        old, _hparams(old, read_text), given, preset=preset, recipe=recipe
    )
    said = f"a command line of retinanet_main.py: --preset={preset}{f' --recipe={recipe}' if recipe else ''} holds"
    notices = () if values["preset"].present else (said,)
    return TrainRequest(
        config=make_config(preset, dict(translation.settings), recipe=recipe),
        expectations=translation.expectations,
        notices=(*notices, *translation.notices),
    )


def _starting_point(values: flags.FlagValues, *, is_old: bool) -> tuple[str, str]:
    """Preset and recipe, or no recipe: those given; without any, an old command line has the old tool's."""
    preset, recipe = values["preset"].value, values["recipe"].value
    if is_old and not preset:
        return legacy_flags.PRESET, recipe or legacy_flags.RECIPE
    return preset or _PRESET, recipe or ""


def _parse(argv: Sequence[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    _define(values)
    try:
        rest = values(["trainer", *argv])[1:]
    except flags.Error as error:
        raise UsageError(" ".join(str(error).split())) from error
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}: it belongs to no flag")
    return values


def _given(values: flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name].value for name in names if values[name].present}


def _hparams(old: Mapping[str, Any], read_text: Callable[[str], str]) -> dict[str, Any]:
    """Those of --config_file, overruled by --hparams: so the old tool does, though its help says the reverse."""
    path = old.get("config_file")
    in_file = legacy_hparams.parse_config_file(read_text(path), source=path) if path else {}
    return {**in_file, **legacy_hparams.parse_hparams(old.get("hparams", ""))}


def help_text() -> str:
    """Every flag with its help, choices, default and presets."""
    lines = [f"  --preset ({_PRESET})\n      {_PRESET_HELP}", f"  --recipe (none)\n      {_RECIPE_HELP}"]
    named = {**PRESETS, **RECIPES}
    for spec in setting_fields():
        choices = f" [{', '.join(spec.metadata['choices'])}]" if spec.metadata["choices"] else ""
        presets = "; ".join(f"{name}: {values[spec.name]}" for name, values in named.items() if spec.name in values)
        defaults = f"{spec.default!r}" + (f"; {presets}" if presets else "")
        lines.append(f"  --{'[no]' if spec.type is bool else ''}{spec.name} ({defaults})")
        lines.append(f"      {spec.metadata['help']}{choices}")
    lines.append(f"  --{', --'.join(sorted(legacy_flags.FLAGS))}")
    lines.append("      as in tensorflow/tpu's retinanet_main.py: done, or a line says why not (docs/migrating.md)")
    return "\n".join(lines)
