"""Boxes drawn onto photographs: for the pages, and for people who want to see what a model saw."""

import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from retinanet_odm.annotations.types import BoxCorners

# Okabe & Ito (2008), "Color Universal Design", told apart with every common colour blindness; black is left out and
# the lightest come first, since photographs of the deep are dark.
PALETTE = ("#F0E442", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#0072B2")
_SMALLEST_FONT = 13.0
_FONT_SHARE = 1 / 36  # of the longer side's half: 18 px on 1280 px


@dataclass(frozen=True, kw_only=True)
class DrawnBox:
    """One box to draw: (ymin, xmin, ymax, xmax) in pixels of the image; score 0..1, or None for ground truth."""

    box: BoxCorners
    label: str
    label_id: int
    score: float | None = None

    @property
    def caption(self) -> str:
        name = to_ascii(self.label, otherwise=f"class {self.label_id}")
        return name if self.score is None else f"{name} {self.score:.2f}"


def to_ascii(text: str, *, otherwise: str) -> str:
    """The text in ASCII, which is all that Pillow's own font holds: accents fall away, other signs become "?".

    A text of which no letter or digit is left becomes ``otherwise``.
    """
    plain = unicodedata.normalize("NFKD", text.replace("–", "-").replace("ß", "ss"))
    kept = "".join(sign for sign in plain if not unicodedata.combining(sign))
    folded = re.sub(r"\?+", "?", kept.encode("ascii", "replace").decode())
    return folded if any(sign.isalpha() for sign in folded) else otherwise


def colour_of(label_id: int) -> str:
    """The colour of a class as ``#RRGGBB``; colours repeat after seven classes."""
    return PALETTE[(label_id - 1) % len(PALETTE)]


def draw_boxes(image: Image.Image, items: Iterable[DrawnBox]) -> Image.Image:
    """A copy of the image, as RGB, with boxes and a tag on each; the highest score is drawn last, on top."""
    drawn = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen = ImageDraw.Draw(drawn)
    size = max(_SMALLEST_FONT, max(drawn.size) / 2 * _FONT_SHARE)
    font = ImageFont.load_default(size)
    boxes = sorted(items, key=lambda item: -1.0 if item.score is None else item.score)
    for item in boxes:
        _outline(pen, item, width=max(2, round(size / 7)), limits=drawn.size)
    for item in boxes:  # after all outlines: no line may run through a tag
        _tag(pen, item, font, limits=drawn.size)
    return drawn


def draw_thumbnail(encoded: bytes, items: Iterable[DrawnBox], *, longest: int = 640) -> bytes:
    """A small JPEG of encoded image bytes with boxes drawn, for a page.

    Args:
      encoded: bytes that Pillow decodes.
      items: boxes in pixels of the full image.
      longest: the longer side of the result in pixels; a smaller image is not enlarged.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        scale = min(1.0, longest / max(image.size))
        small = image.convert("RGB").resize([max(1, round(side * scale)) for side in image.size])
    shrunk = [dataclasses.replace(item, box=_scaled(item.box, scale)) for item in items]
    buffer = io.BytesIO()
    draw_boxes(small, shrunk).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _scaled(box: BoxCorners, scale: float) -> BoxCorners:
    ymin, xmin, ymax, xmax = box
    return ymin * scale, xmin * scale, ymax * scale, xmax * scale


def _outline(pen: ImageDraw.ImageDraw, item: DrawnBox, *, width: int, limits: tuple[int, int]) -> None:
    """Draws the line just outside the box, so that it hides nothing of a small animal; a dark seam sets it off."""
    ymin, xmin, ymax, xmax = item.box
    left, top = max(xmin - width, 0), max(ymin - width, 0)
    right, bottom = min(xmax + width, limits[0]) - 1, min(ymax + width, limits[1]) - 1
    if left <= right and top <= bottom:
        pen.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline="black")
        pen.rectangle([left, top, right, bottom], outline=colour_of(item.label_id), width=width)


def _tag(
    pen: ImageDraw.ImageDraw,
    item: DrawnBox,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    *,
    limits: tuple[int, int],
) -> None:
    """Writes the caption above the box, or inside its top where there is no room, and never outside the image."""
    left, _, right, _ = pen.textbbox((0, 0), item.caption, font=font)
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
    """Black or white, whichever reads better on the colour (Rec. 601 luma)."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 115 else "white"
