"""Numbers of boxes for other formats from which `prepare` makes exactly the float32 box of a record again.

Each number has as few digits as that takes, so that a box drawn at 10.25 pixels is written as 10.25. Begin with
`exact_pixels`. Boxes that were drawn on an image which --max_side then reduced may have no such number; they get the
nearest, which is one float32 step away at most.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from retinanet_odm import boxes as box_ops

Numbers = npt.NDArray[np.float64]

# Digits after the point that are tried, in this order.
_PIXEL_DIGITS = (2, 3, 4, 5, 6, 9)
_FRACTION_DIGITS = (6, 7, 8, 9, 10, 12, 15)


def exact_pixels(relative: box_ops.Boxes, height: npt.ArrayLike, width: npt.ArrayLike) -> Numbers:
    """Return relative boxes [N, 4] in pixels, [N, 4] float64; `boxes.to_relative` makes the same boxes of them.

    Height and width are those of one image, or arrays [N] for boxes of several.

    Example:
      >>> drawn = box_ops.as_boxes([(10.25, 20.1, 30.7, 90.33)])
      >>> exact_pixels(box_ops.to_relative(drawn, 480, 640), 480, 640).tolist()
      [[10.25, 20.1, 30.7, 90.33]]
    """
    product = relative.astype(np.float64) * _sides(height, width)
    # The nearest float32, and those beside it: where fractions are denser than pixels, only one of the three is right.
    near = product.astype(np.float32)
    beside = [np.nextafter(near, np.float32(limit)) for limit in (-np.inf, np.inf)]

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


def exact_yolo_boxes(pixels: Numbers, height: npt.ArrayLike, width: npt.ArrayLike) -> Numbers:
    """Return boxes of `exact_pixels` as YOLO's centre x, centre y, width, height in fractions of the image, [N, 4].

    Example:
      >>> exact_yolo_boxes(np.array([(120, 64, 360, 320)]), 480, 640).tolist()
      [[0.3, 0.5, 0.4, 0.5]]
    """
    sides = _sides(height, width)
    relative = pixels / sides
    start, end = relative[:, :2], relative[:, 2:]
    expected = pixels.astype(np.float32)

    def is_exact(found: Numbers) -> npt.NDArray[np.bool_]:
        centre, half = found[..., :2], found[..., 2:] / 2
        corners = np.concatenate([centre - half, centre + half], axis=-1)
        same = (corners * sides).astype(np.float32) == expected
        # Centre and size of an axis make both of its edges, so both numbers are exact or none is.
        both = same[..., :2] & same[..., 2:]
        return np.concatenate([both, both], axis=-1)

    centred = _shortest(np.concatenate([(start + end) / 2, end - start], axis=1), _FRACTION_DIGITS, is_exact)
    return centred[:, [1, 0, 3, 2]]


def _sides(height: npt.ArrayLike, width: npt.ArrayLike) -> Numbers:
    return np.asarray([height, width, height, width], np.float64).T


def _shortest(
    exact: Numbers,
    digits: Sequence[int],
    is_exact: Callable[[Numbers], npt.NDArray[np.bool_]],
    others: Sequence[box_ops.Boxes] = (),
) -> Numbers:
    """Return numbers [N, K] rounded as far as they stay exact, or the first of others that is; else those given.

    Args:
      exact: the numbers.
      digits: after the point, in the order of preference.
      is_exact: says of candidates [C, N, K] which may be written instead of the numbers.
      others: further candidates, [N, K] each.
    """
    # All at once: an image has few boxes, for which the number of calls to NumPy is what takes the time.
    scale = 10.0 ** np.asarray(digits)[:, None, None]
    candidates = np.concatenate([np.rint(exact * scale) / scale, *(other[None] for other in others), exact[None]])
    good = is_exact(candidates)
    good[-1] = True
    found: Numbers = np.take_along_axis(candidates, good.argmax(axis=0)[None], axis=0)[0]
    return found
