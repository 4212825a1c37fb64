"""Options of a configuration: how a field is declared and checked, and how options with a syntax are parsed."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

from retinanet_odm.dataset.anchor_coverage import CANVAS_MULTIPLE
from retinanet_odm.errors import UsageError

# What a number must be: in words, and the test. Comparisons with nan are false, so nan is refused too.
Limits = tuple[str, Callable[[float], bool]]
POSITIVE: Limits = ("a number above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE: Limits = ("0 or more", lambda value: 0 <= value < math.inf)
FRACTION: Limits = ("a number from 0 to 1", lambda value: 0 <= value <= 1)
_ANY: Limits = ("", lambda _: True)

PORTABLE_FORMATS = ("tflite", "onnx")  # those of trainer.export.tflite_onnx


def option(default: Any, text: str, limits: Limits = _ANY, *, choices: tuple[str, ...] = ()) -> Any:
    """Declare a field with its default, its help text, and what its value must be."""
    return dataclasses.field(default=default, metadata={"help": text, "limits": limits, "choices": choices})


class ConfigSection:
    """Base of the sections: checks the choices and limits of each field.

    Raises:
      UsageError: a value is not one of its choices or is out of its limits.
    """

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]  # every section is a dataclass
            # The metadata is what `option` has declared with the field.
            value, choices = getattr(self, spec.name), spec.metadata["choices"]
            expected, accepts = spec.metadata["limits"]
            if choices and value not in choices:
                raise UsageError(f"--{spec.name}: expected one of {', '.join(choices)}; found {value!r}")
            if not accepts(value):
                raise UsageError(f"--{spec.name}: expected {expected}, found {value}")


def parse_numbers(name: str, text: str, *, example: str) -> tuple[float, ...]:
    """Parse comma-separated numbers above 0; the name of the option and an example are for the message.

    Raises:
      UsageError: the text holds anything else.

    Example:
      >>> parse_numbers("aspect_ratios", "0.5,1,2", example="1")
      (0.5, 1.0, 2.0)
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < math.inf for value in values):
        raise UsageError(f"--{name}: expected numbers above 0 such as {example}; found {text!r}")
    return values


def parse_image_numbers(text: str) -> tuple[int, ...]:
    """Parse the comma-separated numbers of images of a learning curve; return them rising.

    Raises:
      UsageError: one is no whole number above 0, or is given twice.

    Example:
      >>> parse_image_numbers("50,10")
      (10, 50)
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    numbers = sorted({int(part) for part in parts if re.fullmatch(r"0*[1-9]\d*", part)})
    if len(numbers) < len(parts):
        raise UsageError(f"--curve_images: expected different whole numbers above 0 such as 10,50; found {text!r}")
    return tuple(numbers)


def parse_hosts(text: str) -> tuple[str, ...]:
    """Parse the comma-separated host:port of several machines.

    Raises:
      UsageError: one has no port, or is given twice.

    Example:
      >>> parse_hosts("a:7000, b:7000")
      ('a:7000', 'b:7000')
    """
    hosts = tuple(part.strip() for part in text.split(",") if part.strip())
    for host in hosts:
        if not re.fullmatch(r".+:\d+", host):
            raise UsageError(f"--worker_hosts: expected host:port, found {host!r}")
    if len(set(hosts)) != len(hosts):
        raise UsageError(f"--worker_hosts: expected each host once, found {text}")
    return hosts


def parse_export_formats(text: str) -> tuple[str, ...]:
    """Parse the formats of an export; return those beside the SavedModel.

    Raises:
      UsageError: the first is not savedmodel, or another is unknown or given twice.

    Example:
      >>> parse_export_formats("savedmodel,tflite")
      ('tflite',)
    """
    first, *others = (part.strip() for part in text.split(","))
    if first != "savedmodel" or not set(others) <= set(PORTABLE_FORMATS) or len(set(others)) < len(others):
        raise UsageError(
            f"--export_formats: expected savedmodel, and with commas any of {', '.join(PORTABLE_FORMATS)};"
            f" found {text!r}"
        )
    return tuple(others)


def parse_image_size(text: str) -> tuple[int, int] | int:
    """Parse ``HEIGHTxWIDTH`` into a pair, or one number for the longest side.

    Raises:
      UsageError: the text is neither, or a side is not a multiple of 32.

    Example:
      >>> parse_image_size("320x640"), parse_image_size("320")
      ((320, 640), 320)
    """
    # An empty match is reported like a wrong multiple: the message says what is expected.
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    sides = tuple(int(side) for side in match.groups() if side) if match else ()
    if not sides or any(side < CANVAS_MULTIPLE or side % CANVAS_MULTIPLE for side in sides):
        raise UsageError(
            f"--image_size: expected a number or HEIGHTxWIDTH, multiples of {CANVAS_MULTIPLE}; found {text!r}"
        )
    return (sides[0], sides[1]) if len(sides) == 2 else sides[0]


def canvas_size(image_size: str, aspect_min: float, aspect_max: float) -> tuple[int, int]:
    """Return the canvas (height, width) in pixels on which every image fits with the given longest side.

    Args:
      image_size: the option of that name.
      aspect_min: minimum of width / height over the images of the data set.
      aspect_max: maximum of width / height.

    Example:
      >>> canvas_size("320", aspect_min=4 / 3, aspect_max=4 / 3)
      (256, 320)
    """
    size = parse_image_size(image_size)
    if isinstance(size, tuple):
        return size

    def shorter(fraction: float) -> int:
        return min(size, CANVAS_MULTIPLE * max(1, -(-round(size * fraction) // CANVAS_MULTIPLE)))

    # An upright image fills the height, a wide one the width; if there are both, both sides have full length.
    height = size if aspect_min < 1 else shorter(1 / aspect_min)
    width = size if aspect_max > 1 else shorter(aspect_max)
    return height, width
