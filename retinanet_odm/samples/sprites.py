"""Sprites of seafloor animals for the sample data: colour, opacity and a tight box.

Begin with `draw_animal`; `SPECIES` lists what can be drawn. Shapes are defined in a unit frame (the animal is about 1
long, its centre is the origin), rotated and foreshortened, drawn by Pillow at twice the final resolution and lit from
one side.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from retinanet_odm.annotations.types import BoxCorners

FloatPixels = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
Points = Sequence[tuple[float, float]]

_SUPERSAMPLING = 2
_MARGIN = 1.4  # side of a sprite over the length of its animal: arms and spines extend beyond the unit frame
_OPAQUE = 255


@dataclass(frozen=True)
class Sprite:
    """One animal: colour [h, w, 3] and alpha [h, w] in 0..1, box (ymin, xmin, ymax, xmax) in pixels of the sprite.

    The box encloses the drawn pixels tightly, to half a pixel.
    """

    colour: FloatPixels
    alpha: FloatPixels
    box: BoxCorners


class _Canvas:
    """Draws in the unit frame: x to the right and y down, before rotation and foreshortening."""

    def __init__(self, length: float, angle: float, squash: float) -> None:
        # Pixels of the canvas for one unit, before it is reduced at the end.
        self.scale = length * _SUPERSAMPLING
        self.side = math.ceil(length * _MARGIN) * _SUPERSAMPLING
        self._rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        self._squash = np.array([1.0, squash])
        self.colour = Image.new("RGB", (self.side, self.side))
        self.alpha = Image.new("L", (self.side, self.side))
        self._pens = ImageDraw.Draw(self.colour), ImageDraw.Draw(self.alpha)

    def _inked(self, colour: Colour, opacity: int) -> list[tuple[ImageDraw.ImageDraw, int | tuple[int, int, int]]]:
        return [(self._pens[0], _ink(colour)), (self._pens[1], opacity)]

    def to_canvas(self, points: Points) -> list[tuple[float, float]]:
        """Convert points from the unit frame to pixels of the canvas."""
        # Rotation before foreshortening: the camera looks down at an angle, whatever way the animal lies.
        placed = (np.asarray(points) @ self._rotation.T) * self._squash * self.scale + self.side / 2
        return [(float(x), float(y)) for x, y in placed]

    def polygon(self, points: Points, colour: Colour, opacity: int = _OPAQUE) -> None:
        placed = self.to_canvas(points)
        for pen, ink in self._inked(colour, opacity):
            pen.polygon(placed, fill=ink)

    def stroke(self, points: Points, widths: tuple[float, float], colours: Sequence[Colour], opacity: int) -> None:
        """Draw a line that tapers from the first width to the second; its segments alternate the colours."""
        placed = self.to_canvas(points)
        taper = np.linspace(*widths, num=len(placed)) * self.scale
        for number, (start, end) in enumerate(itertools.pairwise(placed)):
            width = max(1, round(float(taper[number])))
            for pen, ink in self._inked(colours[number % len(colours)], opacity):
                pen.line([start, end], fill=ink, width=width)
                _dot(pen, end, width / 2, ink)

    def disc(self, centre: tuple[float, float], radius: float, colour: Colour, opacity: int = _OPAQUE) -> None:
        around = [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in _angles(28)]
        self.polygon(around, colour, opacity)


def _angles(count: int) -> list[float]:
    return [2 * math.pi * number / count for number in range(count)]


def _ink(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(min(max(channel, 0.0), 1.0) * 255) for channel in colour)
    return red, green, blue


def _dot(pen: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, ink: int | tuple[int, int, int]) -> None:
    if radius >= 1:
        x, y = centre
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=ink)


def _varied(rng: np.random.Generator, colour: Colour, spread: float = 0.06) -> Colour:
    """Vary a colour at random: brightness and hue differ between animals of one class."""
    brightness = rng.uniform(0.85, 1.12)
    red, green, blue = (float(channel * brightness + rng.uniform(-spread, spread) / 2) for channel in colour)
    return red, green, blue


def _cucumber(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw a translucent sea cucumber: bent body, veil, papillae and tube feet along both sides, dark gut."""
    skin = _varied(rng, (0.92, 0.62, 0.80))
    bend, fat = rng.uniform(-0.18, 0.18), rng.uniform(0.13, 0.17)
    # The body follows a parabola; half is its half width along the spine.
    along = np.linspace(-0.42, 0.42, 20)
    spine = [(float(x), float(bend * (1 - (x / 0.42) ** 2))) for x in along]
    half = [fat * math.sqrt(max(1 - (x / 0.45) ** 2, 0.05)) * (1.1 - 0.3 * x) for x in along]
    # Legs first: the body is drawn over their inner ends.
    for number in range(1, 19, 3):
        x, y = spine[number]
        for side in (-1, 1):
            reach = side * (half[number] + rng.uniform(0.05, 0.09))
            tip = (x + rng.uniform(-0.03, 0.03), y + reach)
            canvas.stroke([(x, y), tip], (0.05, 0.03), [skin], 215)
    for turn in (-0.9, -0.3, 0.3, 0.9):  # the veil: a fan of long papillae at the head
        tip = (spine[0][0] - 0.16 * math.cos(turn), spine[0][1] + 0.2 * math.sin(turn))
        canvas.stroke([spine[1], tip], (0.08, 0.04), [skin], 205)
    upper = [(x, y - h) for (x, y), h in zip(spine, half, strict=True)]
    lower = [(x, y + h) for (x, y), h in zip(spine, half, strict=True)]
    # The outline: along the upper side to the tail, and back along the lower one.
    canvas.polygon(upper + lower[::-1], skin, 225)
    red, green, blue = skin
    canvas.stroke(spine[3:17], (0.05, 0.03), [(red * 0.55, green * 0.4, blue * 0.5)], 240)


def _brittle_star(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw a brittle star: five thin, curved, banded arms around a small disc."""
    arm = _varied(rng, (0.86, 0.60, 0.36))
    band = (arm[0] * 0.66, arm[1] * 0.6, arm[2] * 0.6)
    reach = rng.uniform(0.46, 0.52)
    along = np.linspace(0.0, 1.0, 14)
    for start in _angles(5):
        curl, wave = rng.uniform(-0.9, 0.9), rng.uniform(-0.25, 0.25)
        turns = start + rng.uniform(-0.15, 0.15) + curl * along**1.5 + wave * np.sin(6 * along)
        points = [
            (reach * float(r) * math.cos(t), reach * float(r) * math.sin(t)) for r, t in zip(along, turns, strict=True)
        ]
        canvas.stroke(points, (0.09, 0.035), [arm, arm, band], _OPAQUE)
    canvas.disc((0, 0), 0.125, (arm[0] * 0.85, arm[1] * 0.8, arm[2] * 0.8))
    for start in _angles(5):
        canvas.disc((0.06 * math.cos(start), 0.06 * math.sin(start)), 0.025, arm)


def _anemone(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw an anemone: a round crown of thick tentacles around a pale disc with a dark mouth."""
    flesh = _varied(rng, (0.93, 0.40, 0.26))
    pale = (flesh[0] * 1.05, flesh[1] * 1.5, flesh[2] * 1.6)
    # The outer ring first, so that the inner one lies on it.
    for ring, reach, colour in ((26, 0.5, flesh), (17, 0.36, (flesh[0] * 1.1, flesh[1] * 1.3, flesh[2] * 1.3))):
        for start in _angles(ring):
            turn = start + rng.uniform(-0.1, 0.1)
            bent, far = turn + rng.uniform(-0.3, 0.3), reach * rng.uniform(0.84, 1.0)
            middle = (0.27 * math.cos(turn), 0.27 * math.sin(turn))
            tip = (far * math.cos(bent), far * math.sin(bent))
            canvas.stroke([(0, 0), middle, tip], (0.07, 0.035), [colour], _OPAQUE)
    canvas.disc((0, 0), 0.19, pale)
    canvas.disc((0, 0), 0.07, (flesh[0] * 0.45, flesh[1] * 0.3, flesh[2] * 0.3))


def _urchin(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw an urchin: a dark round shell with thin spines and five paler rows of plates."""
    shell = _varied(rng, (0.26, 0.13, 0.22), spread=0.03)
    spine = (shell[0] * 1.25, shell[1] * 1.25, shell[2] * 1.25)
    # Spines first: the shell hides where they meet.
    for start in _angles(44):
        turn, far = start + rng.uniform(-0.06, 0.06), rng.uniform(0.42, 0.5)
        canvas.stroke([(0, 0), (far * math.cos(turn), far * math.sin(turn))], (0.03, 0.012), [spine], 235)
    canvas.disc((0, 0), 0.34, shell)
    for start in _angles(5):
        for radius in (0.1, 0.17, 0.24):
            centre = (radius * math.cos(start), radius * math.sin(start))
            canvas.disc(centre, 0.026, (shell[0] * 2.0, shell[1] * 2.1, shell[2] * 2.0))


@dataclass(frozen=True)
class Species:
    """How to draw one class: its function and the range of lengths in pixels of a 640x360 image."""

    paint: Callable[[_Canvas, np.random.Generator], None]
    min_length: float
    max_length: float


# Names as annotators write them, with blanks and full stops, because no program may assume that they are identifiers.
SPECIES: Mapping[str, Species] = MappingProxyType(
    {
        "Actiniaria": Species(_anemone, 56, 104),
        "Cystechinus loveni": Species(_urchin, 60, 104),
        "Ophiuroidea": Species(_brittle_star, 68, 124),
        "Peniagone sp. A": Species(_cucumber, 76, 128),
    }
)


def draw_animal(rng: np.random.Generator, label: str, length: float) -> Sprite:
    """Draw one animal of a class at a random orientation.

    Args:
      rng: the random generator; equal states give equal sprites.
      label: a key of SPECIES.
      length: of the animal in pixels.

    Raises:
      KeyError: no class has this label.
    """
    canvas = _Canvas(length, angle=rng.uniform(0, 2 * math.pi), squash=rng.uniform(0.78, 1.0))
    SPECIES[label].paint(canvas, rng)
    # Measured before the sprite is made smaller: the box is exact to half a pixel of the image.
    box = _extent(np.asarray(canvas.alpha))
    small = (canvas.side // _SUPERSAMPLING,) * 2
    # Averaging blocks of pixels smooths the edges.
    alpha = np.asarray(canvas.alpha.resize(small, Image.Resampling.BOX), np.float32) / np.float32(255)
    # Divide by the coverage, so that the black around the animal does not darken its edge.
    covered = canvas.alpha.point(lambda value: 255 * (value > 0)).resize(small, Image.Resampling.BOX)
    weight = np.maximum(np.asarray(covered, np.float32) / 255, 1 / 255)[..., None]
    colour = np.asarray(canvas.colour.resize(small, Image.Resampling.BOX), np.float32) / 255 / weight
    relief = _relief(canvas.alpha.resize(small), length)[..., None]
    return Sprite(np.asarray(np.clip(colour * relief, 0, 1), np.float32), alpha, box)


def _extent(drawn: npt.NDArray[np.uint8]) -> BoxCorners:
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    edges = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / _SUPERSAMPLING
    ymin, xmin, ymax, xmax = (float(edge) for edge in edges)
    return ymin, xmin, ymax, xmax


def _relief(alpha: Image.Image, length: float) -> FloatPixels:
    """Shade a rounded body that is lit from the upper left, by the slope of its blurred silhouette."""
    height = np.asarray(alpha.filter(ImageFilter.GaussianBlur(length * 0.035)), np.float32) / 255
    slope_y, slope_x = np.gradient(height)
    return np.asarray(np.clip(1 + (slope_x + slope_y) * length * 0.05, 0.55, 1.5), np.float32)
