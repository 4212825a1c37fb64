"""What a learning curve says about more labels: AP on the same held-out images after training on more and more images.

Begin with `judge_curve`. It states a gain only if the curve supports one, and otherwise says why it does not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinanet_odm.evaluation.intervals import FEW_IMAGES

_MIN_POINTS = 3  # two steps, so that one sees whether the gain becomes smaller
_Point = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What more labels would bring.

    Attributes:
      text: In one or two sentences.
      doubling: Lowest and highest gain of AP that twice as many images would bring; None where nothing can be said.
    """

    text: str
    doubling: tuple[float, float] | None = None


def judge_curve(points: Sequence[_Point], *, held_out: int) -> Outlook:
    """Judge a curve by its last two steps; gains are counted per doubling of the images.

    Args:
      points: By number of images: ``images``, ``AP`` (None without a value) and ``interval``, with ``AP`` (low, high),
        or None.
      held_out: Number of images on which AP was measured.

    Example:
      >>> points = [{"images": n, "AP": ap, "interval": {"AP": (ap - 0.04, ap + 0.04)}}
      ...           for n, ap in ((50, 0.2), (100, 0.4), (200, 0.5))]
      >>> judge_curve(points, held_out=80).doubling
      (0.05, 0.1)
    """
    if reason := _find_weakness(points, held_out):
        return Outlook(text=f"What more labels would bring cannot be said: {reason}.")
    before, last = points[-2:]
    earlier, gain = _gain(*points[-3:-1]), _gain(before, last)
    step = f"from {before['images']:,} to {last['images']:,} images AP went from {before['AP']:.3f} to {last['AP']:.3f}"
    if last["AP"] <= _high(before):
        return Outlook(
            text=f"What more labels would bring cannot be said: {step}, which is within the 95 % interval of the"
            " smaller number, so it may be chance. If there is a gain, it is small for these held-out images: look at"
            " the errors of the last point before labelling more of the same kind."
        )
    if gain >= earlier:
        return Outlook(
            text=f"More labels would bring more: {step}, and the gain per doubling has not become smaller yet. How much"
            " more cannot be said from a curve that does not bend."
        )
    # Between a gain that shrinks with the next doubling as it did with the last, and one that stays.
    room = 1 - last["AP"]
    low, high = (round(min(value, room), 4) for value in (gain * gain / earlier, gain))
    return Outlook(
        text=f"Twice as many labelled images ({2 * last['images']:,}) would bring about +{low:.2f} to +{high:.2f} AP,"
        f" if they are of the same kind and the curve goes on as it does: {step}.",
        doubling=(low, high),
    )


def _find_weakness(points: Sequence[_Point], held_out: int) -> str:
    """Return why nothing can be concluded from a curve; "" if something can."""
    if len(points) < _MIN_POINTS:
        return f"it takes {_MIN_POINTS} numbers of images, and there are {len(points)}"
    if any(point["AP"] is None for point in points[-_MIN_POINTS:]):
        return "the held-out split has no objects"
    if held_out < FEW_IMAGES:
        return f"the held-out split has {held_out} images, and fewer than {FEW_IMAGES} say little"
    if any(not point["interval"] for point in points[-_MIN_POINTS:]):
        return "there are no intervals of AP"
    first, before, last = points[-_MIN_POINTS:]
    if before["AP"] <= first["AP"]:
        return (
            f"AP did not rise from {first['images']:,} to {before['images']:,} images ({first['AP']:.3f} to"
            f" {before['AP']:.3f}), so the points scatter too much"
        )
    if last["AP"] < before["AP"]:
        return (
            f"AP did not rise from {before['images']:,} to {last['images']:,} images ({before['AP']:.3f} to"
            f" {last['AP']:.3f})"
        )
    return ""


def _gain(before: _Point, after: _Point) -> float:
    """Return the gain of AP per doubling of the images."""
    gain: float = (after["AP"] - before["AP"]) / math.log2(after["images"] / before["images"])
    return gain


def _high(point: _Point) -> float:
    return float(point["interval"]["AP"][1])
