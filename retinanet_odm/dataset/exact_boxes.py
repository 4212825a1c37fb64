"""Numbers of boxes for other formats from which `prepare` makes exactly the float32 box of a record again.

Each number has as few digits as that takes, so that a box drawn at 10.25 pixels is written as 10.25. Begin with
`exact_pixels`. Boxes that were drawn on an image which --max_side then reduced may have no such number; they get the
nearest, which is one float32 step away at most.
"""

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from retinanet_odm import boxes as box_ops

Numbers = npt.NDArray[np.float64]

# Digits after the point that are tried, in this order.
_PIXEL_DIGITS = (2, 3, 4, 5, 6, 9)
_FRACTION_DIGITS = (6, 7, 8, 9, 10, 12, 15)


def exact_pixels(relative: box_ops.Boxes, height: int, width: int) -> Numbers:
    """Return relative boxes [N, 4] in pixels, [N, 4] float64; `boxes.to_relative` makes the same boxes of them.

    Example:
      >>> drawn = box_ops.as_boxes([(10.25, 20.1, 30.7, 90.33)])
      >>> exact_pixels(box_ops.to_relative(drawn, 480, 640), 480, 640).tolist()
      [[10.25, 20.1, 30.7, 90.33]]
    """
    product = relative.astype(np.float64) * _sides(height, width)
    # The nearest float32, and those beside it: where fractions are denser than pixels, only one of the three is right.
    near = product.astype(np.float32)
    beside = (np.nextafter(near, np.float32(limit)) for limit in (-np.inf, np.inf))

    def is_exact(found: Numbers) -> npt.NDArray[np.bool_]:
        back = box_ops.to_relative(found.astype(np.float32), height, width)
        return np.asarray(back == relative)

    return _shortest(product, _PIXEL_DIGITS, is_exact, (near, *beside))


def exact_coco_boxes(pixels: Numbers) -> Numbers:
    """Return boxes of `exact_pixels` as COCO's x, y, width, height, [N, 4]; x + width is the right edge again.

    Example:
      >>> exact_coco_boxes(np.array([(10.25, 20.1, 30.7, 90.33)])).tolist()
      [[20.1, 10.25, 70.23, 20.45]]
    """
    start, end = pixels[:, :2], pixels[:, 2:]

    def is_exact(found: Numbers) -> npt.NDArray[np.bool_]:
        return np.asarray((start + found).astype(np.float32) == end.astype(np.float32))

    sides = _shortest(end - start, _PIXEL_DIGITS, is_exact)
    return np.concatenate([start[:, ::-1], sides[:, ::-1]], axis=1)


def exact_yolo_boxes(pixels: Numbers, height: int, width: int) -> Numbers:
    """Return boxes of `exact_pixels` as YOLO's centre x, centre y, width, height in fractions of the image, [N, 4].

    Example:
      >>> exact_yolo_boxes(np.array([(120, 64, 360, 320)]), 480, 640).tolist()
      [[0.3, 0.5, 0.4, 0.5]]
    """
    sides = _sides(height, width)
    start, end = np.split(pixels / sides, 2, axis=1)
    expected = pixels.astype(np.float32)

    def is_exact(found: Numbers) -> npt.NDArray[np.bool_]:
        centre, size = np.split(found, 2, axis=1)
        corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        same = (corners * sides).astype(np.float32) == expected
        # Centre and size of an axis make both of its edges, so both numbers are exact or none is.
        return np.tile(same[:, :2] & same[:, 2:], 2)

    centred = _shortest(np.concatenate([(start + end) / 2, end - start], axis=1), _FRACTION_DIGITS, is_exact)
    return centred[:, [1, 0, 3, 2]]


def _sides(height: int, width: int) -> Numbers:
    return np.asarray([height, width, height, width], np.float64)


def _shortest(
    exact: Numbers,
    digits: Iterable[int],
    is_exact: Callable[[Numbers], npt.NDArray[np.bool_]],
    others: Iterable[box_ops.Boxes] = (),
) -> Numbers:
    """Return numbers rounded as far as they stay exact, or the first of others that is; else those that were given."""
    found, is_open = exact.copy(), np.ones(exact.shape, np.bool_)
    rounded = (np.round(exact, count) for count in digits)
    for candidates in itertools.chain(rounded, (other.astype(np.float64) for other in others)):
        good = is_open & is_exact(candidates)
        found[good] = candidates[good]
        is_open &= ~good
        # Most boxes were drawn with two digits.
        if not is_open.any():
            break
    return found
