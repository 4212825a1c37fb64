"""Draws boxes with captions onto images, for the HTML reports and for `detect`.

Begin with `draw_boxes`. Boxes are in pixels of the image that is drawn on.
"""

import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from retinanet_odm.annotations.types import BoxCorners

# Okabe & Ito (2008), "Color Universal Design": colours that remain distinct with every common colour blindness. Black
# is omitted and the lightest come first, because images of the deep sea are dark.
PALETTE = ("#F0E442", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#0072B2")
THUMBNAIL_SIDE = 1024  # pixels of the longer side
CROP_SIDE = 480  # pixels of the longer side
_MARGIN_SHARE, _MIN_MARGIN = 0.6, 24.0  # of the box that is shown, and in pixels
_MIN_FONT_SIZE = 13.0
_FONT_SHARE = 1 / 36  # of half the longer side: 18 px on 1280 px


@dataclass(frozen=True, kw_only=True)
class DrawnBox:
    """One box to draw: (ymin, xmin, ymax, xmax) in pixels of the image; score 0..1, or None for ground truth."""

    box: BoxCorners
    label: str
    label_id: int
    score: float | None = None

    @property
    def caption(self) -> str:
        """The label in ASCII, and the score if there is one."""
        name = to_ascii(self.label, otherwise=f"class {self.label_id}")
        return name if self.score is None else f"{name} {self.score:.2f}"


def drawn_region(box: BoxCorners) -> DrawnBox:
    """Return the box of an area in which nobody has looked for objects."""
    return DrawnBox(box=box, label="ignored", label_id=0)


def to_ascii(text: str, *, otherwise: str) -> str:
    """Convert a text to ASCII, all that Pillow's own font contains: accents are removed, other characters become "?".

    A text without any remaining letter becomes ``otherwise``.

    Example:
      >>> to_ascii("Étoile – 海星", otherwise="class 3")
      'Etoile - ?'
    """
    plain = unicodedata.normalize("NFKD", text.replace("–", "-").replace("ß", "ss"))
    kept = "".join(character for character in plain if not unicodedata.combining(character))
    folded = re.sub(r"\?+", "?", kept.encode("ascii", "replace").decode())
    return folded if any(character.isalpha() for character in folded) else otherwise


def colour_of(label_id: int) -> str:
    """Return the colour of a class as ``#RRGGBB``; colours repeat after seven classes.

    Example:
      >>> colour_of(1), colour_of(8) == colour_of(1)
      ('#F0E442', True)
    """
    return PALETTE[(label_id - 1) % len(PALETTE)]


def draw_boxes(image: Image.Image, items: Iterable[DrawnBox]) -> Image.Image:
    """Return an RGB copy of the image with captioned boxes; the highest score is drawn last, on top."""
    drawn = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen = ImageDraw.Draw(drawn)
    # Captions and lines grow with the image, so that they can be read after it is scaled down.
    size = max(_MIN_FONT_SIZE, max(drawn.size) / 2 * _FONT_SHARE)
    font = ImageFont.load_default(size)
    boxes = sorted(items, key=lambda item: -1.0 if item.score is None else item.score)
    for item in boxes:
        _draw_outline(pen, item, width=max(2, round(size / 7)), limits=drawn.size)
    for item in boxes:  # after all outlines, so that no line crosses a caption
        _draw_caption(pen, item, font, limits=drawn.size)
    return drawn


def draw_thumbnail(encoded: bytes, items: Iterable[DrawnBox], *, longest: int = THUMBNAIL_SIDE) -> bytes:
    """Return a small JPEG of an image with its boxes, for an HTML page; arguments as in draw_small."""
    buffer = io.BytesIO()
    draw_small(encoded, items, longest=longest).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def draw_small(encoded: bytes, items: Iterable[DrawnBox], *, longest: int = THUMBNAIL_SIDE) -> Image.Image:
    """Return a small RGB copy of an image with its boxes, whose captions are readable at that size.

    Args:
      encoded: image bytes that Pillow decodes.
      items: boxes in pixels of the full image.
      longest: the maximum length of the longer side in pixels; a smaller image is not enlarged.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        scale = min(1.0, longest / max(image.size))
        small = image.convert("RGB").resize([max(1, round(side * scale)) for side in image.size])
    return draw_boxes(small, [dataclasses.replace(item, box=_scaled(item.box, scale)) for item in items])


def draw_crop(encoded: bytes, items: Iterable[DrawnBox], *, around: BoxCorners, side: int = CROP_SIDE) -> bytes:
    """Return a JPEG of the part of an image around a box, with boxes and some surroundings; small parts are enlarged.

    Args:
      encoded: image bytes that Pillow decodes.
      items: boxes in pixels of the full image; only those that reach into the part are drawn.
      around: what the part shows.
      side: the length of the longer side of the picture in pixels.
    """
    ymin, xmin, ymax, xmax = around
    margin = max(_MIN_MARGIN, max(ymax - ymin, xmax - xmin) * _MARGIN_SHARE)
    with Image.open(io.BytesIO(encoded)) as image:
        left, top = max(int(xmin - margin), 0), max(int(ymin - margin), 0)
        right, bottom = min(int(xmax + margin) + 1, image.width), min(int(ymax + margin) + 1, image.height)
        part = image.convert("RGB").crop((left, top, right, bottom))
    scale = side / max(part.size)
    part = part.resize([max(1, round(length * scale)) for length in part.size])
    moved = (
        dataclasses.replace(item, box=_scaled((y0 - top, x0 - left, y1 - top, x1 - left), scale))
        for item in items
        for y0, x0, y1, x1 in [item.box]
        if x0 < right and x1 > left and y0 < bottom and y1 > top
    )
    buffer = io.BytesIO()
    draw_boxes(part, moved).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _scaled(box: BoxCorners, scale: float) -> BoxCorners:
    ymin, xmin, ymax, xmax = box
    return ymin * scale, xmin * scale, ymax * scale, xmax * scale


def _draw_outline(pen: ImageDraw.ImageDraw, item: DrawnBox, *, width: int, limits: tuple[int, int]) -> None:
    """Draw the line just outside the box, so that it hides nothing of a small object, with a dark border."""
    ymin, xmin, ymax, xmax = item.box
    left, top = max(xmin - width, 0), max(ymin - width, 0)
    right, bottom = min(xmax + width, limits[0]) - 1, min(ymax + width, limits[1]) - 1
    if left <= right and top <= bottom:
        pen.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline="black")
        pen.rectangle([left, top, right, bottom], outline=colour_of(item.label_id), width=width)


def _draw_caption(
    pen: ImageDraw.ImageDraw,
    item: DrawnBox,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    *,
    limits: tuple[int, int],
) -> None:
    """Write the caption above the box, or inside its top if there is no room, and never outside the image."""
    left, _, right, _ = pen.textbbox((0, 0), item.caption, font=font)
    # Of letters with and without a descender: all captions are equally high.
    _, top, _, bottom = pen.textbbox((0, 0), "Ag", font=font)
    pad = (bottom - top) // 4 + 1
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    ymin, xmin = (round(edge) for edge in item.box[:2])
    x = max(0, min(xmin - pad, limits[0] - width))
    y = max(0, min(ymin - height if ymin >= height else ymin, limits[1] - height))
    colour = colour_of(item.label_id)
    pen.rectangle([x, y, x + width - 1, y + height - 1], fill=colour)
    pen.text((x + pad - left, y + pad - top), item.caption, fill=_ink_on(colour), font=font)


def _ink_on(colour: str) -> str:
    """Return black or white, whichever has more contrast with the colour (Rec. 601 luma)."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 115 else "white"
