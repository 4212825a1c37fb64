"""Hparams of tensorflow/tpu's retinanet_main.py: parsing, and translation to settings of this trainer.

Names, defaults and meanings are those of default_hparams in its retinanet_model.py. Begin with `parse_hparams`.
"""

import ast
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS
from retinanet_odm.errors import UsageError


def parse_hparams(text: str) -> dict[str, Any]:
    """Parse a value of --hparams: numbers, true and false, text, and lists of them.

    Raises:
      UsageError: A part is not ``name=value``, or a name is given twice.

    Example:
      >>> parse_hparams("image_size=640,aspect_ratios=[(1,1),(1.4,0.7)]")
      {'image_size': 640, 'aspect_ratios': [(1, 1), (1.4, 0.7)]}
    """
    values: dict[str, Any] = {}
    for part in _parts(text):
        name, sign, value = (word.strip() for word in part.partition("="))
        if not sign or not name:
            raise UsageError(f"--hparams: expected name=value, found {part!r}")
        if name in values:
            raise UsageError(f"--hparams: {name} is given twice")
        values[name] = _value(value)
    return values


def _parts(text: str) -> Iterator[str]:
    """Yield the text between commas outside brackets."""
    # Commas within brackets belong to a value: aspect_ratios=[(1,1),(1.4,0.7)].
    depth, start = 0, 0
    for position, sign in enumerate(text):
        depth += (sign in "[(") - (sign in "])")
        if sign == "," and not depth:
            yield text[start:position]
            start = position + 1
    if text[start:].strip():
        yield text[start:]


def _value(text: str) -> Any:
    try:
        # Literals only: nothing is executed.
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return {"true": True, "false": False}.get(text.lower(), text)


def parse_float(name: str, value: Any) -> float:
    """Return the value of an hparam as a number; raise UsageError if it is not one.

    Example:
      >>> parse_float("gamma", 2)
      2.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"hparams: {name}: expected a number, found {value!r}")
    return float(value)


def parse_int(name: str, value: Any) -> int:
    """Return the value of an hparam as an integer; raise UsageError if it is not one.

    Example:
      >>> parse_int("num_scales", 3.0)
      3
    """
    if not parse_float(name, value).is_integer():
        raise UsageError(f"hparams: {name}: expected an integer, found {value!r}")
    return int(value)


def _parse_bool(name: str, value: Any) -> bool:
    if value not in (True, False):  # 1 and 0 too
        raise UsageError(f"hparams: {name}: expected true or false, found {value!r}")
    return bool(value)


def _parse_ratios(name: str, value: Any) -> str:
    """Convert pairs (width, height), as in the old tool, or numbers (height / width) to --aspect_ratios."""
    try:
        ratios = [item[1] / item[0] if isinstance(item, list | tuple) else parse_float(name, item) for item in value]
    except (TypeError, IndexError, ZeroDivisionError) as error:
        raise UsageError(f"hparams: {name}: expected [(1,1),(1.4,0.7)], found {value!r}") from error
    return ",".join(f"{ratio:g}" for ratio in ratios)


# The setting of each hparam, and how its value is converted.
_DIRECT: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "image_size": ("image_size", lambda name, value: "{0}x{0}".format(parse_int(name, value))),
    "input_rand_hflip": ("horizontal_flip", _parse_bool),
    "train_scale_min": ("scale_min", parse_float),
    "train_scale_max": ("scale_max", parse_float),
    "num_classes": ("num_classes", parse_int),
    "num_scales": ("num_scales", parse_int),
    "aspect_ratios": ("aspect_ratios", _parse_ratios),
    "anchor_scale": ("anchor_scale", parse_float),
    "resnet_depth": ("backbone", lambda name, value: f"resnet{parse_int(name, value)}"),
    "alpha": ("focal_alpha", parse_float),
    "gamma": ("focal_gamma", parse_float),
    "box_loss_weight": ("box_loss_weight", lambda name, value: parse_float(name, value) / 4),  # see the recipe
    "use_bfloat16": ("precision", lambda name, value: "mixed_bfloat16" if _parse_bool(name, value) else "float32"),
}
# Hparams of which one value is implemented.
_FIXED_VALUES = {
    "min_level": min(PYRAMID_LEVELS),
    "max_level": max(PYRAMID_LEVELS),
    "is_training_bn": True,
    "momentum": 0.9,
    "delta": 0.1,
}
# Hparams without effect, and the reason.
_IGNORED = {
    "skip_crowd_during_training": "boxes around groups (is_crowd) are learned neither as objects nor as background",
    "num_epochs": "use --num_epochs",
    "lr_warmup_init": "the warm-up starts at a tenth of the rate",
}
# Translated in trainer.legacy_flags, because they depend on the batch and the number of epochs.
_SCHEDULE = {"learning_rate", "lr_warmup_epoch", "first_lr_drop_epoch", "second_lr_drop_epoch"}
_KNOWN = {*_DIRECT, *_FIXED_VALUES, *_IGNORED, *_SCHEDULE}


def hparam_settings(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Translate hparams to settings of TrainConfig, by its names.

    Raises:
      UsageError: A name is unknown, a value cannot be parsed or is not implemented.

    Example:
      >>> hparam_settings({"gamma": 1.5, "resnet_depth": 50})
      {'focal_gamma': 1.5, 'backbone': 'resnet50'}
    """
    # Names first: a misspelt one would otherwise be ignored.
    _check_names(hparams)
    for name, value in _FIXED_VALUES.items():
        if hparams.get(name, value) != value:
            raise UsageError(f"hparams: {name}={hparams[name]!r} is not implemented, only {value!r} is")
    return {_DIRECT[name][0]: _DIRECT[name][1](name, value) for name, value in hparams.items() if name in _DIRECT}


def hparam_notices(hparams: Mapping[str, Any]) -> list[str]:
    """Return a line for each hparam whose effect differs from the old tool's."""
    lines = [f"hparams: {name} has no effect: {_IGNORED[name]}" for name in hparams if name in _IGNORED]
    if "image_size" in hparams:
        size = hparams["image_size"]
        lines.append(
            f"hparams: image_size={size} is the canvas {size}x{size};"
            f" --image_size={size} fits the canvas to the images, which is faster"
        )
    return lines


def _check_names(hparams: Mapping[str, Any]) -> None:
    for name in hparams.keys() - _KNOWN:
        close = difflib.get_close_matches(name, sorted(_KNOWN), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(_KNOWN))}"
        raise UsageError(f"hparams: unknown name {name!r}; {hint}")
