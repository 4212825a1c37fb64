"""Scenes of the sample data: animals on the deep seafloor, as a time-lapse camera with one lamp records them.

Begin with `make_scene`. All arrays are float32 in 0..1 (linear enough for the purpose) until the last step; sizes are
(height, width). The order of the random draws determines the bytes of the sample: keep it.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from retinanet_odm.annotations.types import BoxCorners, ObjectAnnotation
from retinanet_odm.samples.sprites import SPECIES, FloatPixels, Sprite, draw_animal

SCENE_WIDTH, SCENE_HEIGHT = 640, 360

# Probabilities of 0, 1 … 7 animals in an image; images without animals are the true negatives.
_ANIMAL_COUNTS = (0.10, 0.16, 0.20, 0.19, 0.14, 0.10, 0.07, 0.04)
_MAX_OVERLAP = 0.2  # fraction of the smaller box
_MIN_VISIBLE = 0.5  # fraction of an animal's pixels inside the image
_MAX_ATTEMPTS = 12


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The look of one deployment.

    Attributes:
      sediment, water: colours, RGB.
      lamp: (y, x) of the centre of its light, 0..1.
      blur: radius in pixels.
      noise: standard deviation, of 1.
    """

    sediment: tuple[float, float, float]
    water: tuple[float, float, float]
    lamp: tuple[float, float]
    blur: float
    noise: float


def make_camera(rng: np.random.Generator) -> Camera:
    """Make a random deployment."""
    warmth, grey = rng.uniform(-0.04, 0.04), rng.uniform(0.5, 0.6)
    return Camera(
        sediment=(grey + warmth, grey * 0.96, grey * 0.84 - warmth),
        water=(rng.uniform(0.78, 0.9), 1.0, rng.uniform(0.9, 1.02)),
        lamp=(rng.uniform(0.48, 0.72), rng.uniform(0.35, 0.65)),
        blur=rng.uniform(0.35, 0.65),
        noise=rng.uniform(0.008, 0.016),
    )


def make_scene(
    seed: int | np.random.Generator, *, camera: Camera | None = None
) -> tuple[Image.Image, tuple[ObjectAnnotation, ...]]:
    """Make one image of 640x360 pixels and the boxes of its animals; equal seeds give equal pixels."""
    rng = np.random.default_rng(seed)
    camera = camera or make_camera(rng)
    # From here on each step draws from one generator: their order is part of the sample's bytes.
    ground = _sediment(rng, camera)
    objects = _animals(rng, ground)
    # Light and water after the animals: they are lit like the ground.
    ground *= _lamp_light(rng, camera)[..., None] * np.asarray(camera.water, np.float32)
    return _exposed(rng, ground, camera), objects


def _octaves(rng: np.random.Generator) -> FloatPixels:
    """Make fractal relief [HEIGHT, WIDTH] of about unit spread: the sum of noise on increasingly finer grids."""
    # Each pass enlarges the relief to the next grid and adds finer noise of less weight.
    relief = Image.fromarray(np.zeros((6, 10), np.float32))
    for columns, weight in ((10, 1.2), (20, 1.0), (40, 0.8), (80, 0.6), (160, 0.42), (320, 0.26), (640, 0.13)):
        rows = math.ceil(columns * SCENE_HEIGHT / SCENE_WIDTH)
        grown = np.asarray(relief.resize((columns, rows), Image.Resampling.BICUBIC))
        relief = Image.fromarray(grown + weight * rng.standard_normal((rows, columns), np.float32))
    return np.array(relief)


def _sediment(rng: np.random.Generator, camera: Camera) -> FloatPixels:
    """Make bare ground [HEIGHT, WIDTH, 3]: fractal relief lit from the left, mounds, burrows and pebbles."""
    relief = _octaves(rng)
    tone = np.ones((SCENE_HEIGHT, SCENE_WIDTH), np.float32)
    for _ in range(rng.integers(3, 9)):  # mounds
        _bump(rng, relief, tone, radius=rng.uniform(10, 36), rise=rng.uniform(3, 12), albedo=1.0)
    for _ in range(rng.integers(2, 8)):  # burrows
        _bump(rng, relief, tone, radius=rng.uniform(2, 6), rise=rng.uniform(-4.0, -1.5), albedo=0.45)
    for _ in range(rng.integers(6, 26)):  # pebbles
        radius = rng.uniform(1.5, 9)
        _bump(rng, relief, tone, radius=radius, rise=radius * rng.uniform(1, 2), albedo=rng.uniform(0.6, 1.2))
    # A lamp from the left lights what rises to the right; rises along y count half.
    slope = np.diff(relief, axis=1, prepend=relief[:, :1]) + 0.5 * np.diff(relief, axis=0, prepend=relief[:1])
    tone *= 1 + 0.05 * _bounded(relief * 0.5) + 0.2 * _bounded(slope)
    return tone[..., None] * np.asarray(camera.sediment, np.float32)


def _bounded(values: FloatPixels) -> FloatPixels:
    """Map values to -1..1, like tanh but faster."""
    return np.asarray(values / (1 + np.abs(values)))


def _bump(
    rng: np.random.Generator, relief: FloatPixels, tone: FloatPixels, *, radius: float, rise: float, albedo: float
) -> None:
    """Add a mound (rise > 0) or a hole (rise < 0) of a radius in pixels, and multiplies its colour by albedo."""
    y, x = rng.uniform(0, SCENE_HEIGHT), rng.uniform(0, SCENE_WIDTH)
    flat, reach = rng.uniform(0.5, 0.95), radius * 2.5
    top, bottom = max(0, int(y - reach)), min(SCENE_HEIGHT, int(y + reach) + 1)
    left, right = max(0, int(x - reach)), min(SCENE_WIDTH, int(x + reach) + 1)
    window = np.s_[top:bottom, left:right]
    rows, columns = np.ogrid[window]
    distance = np.hypot((columns - x) / radius, (rows - y) / (radius * flat))
    relief[window] += rise * np.exp(-(distance**2)).astype(np.float32)
    # A logistic step at the radius: the colour changes over a narrow rim, not at a hard border.
    edge = 1 / (1 + np.exp((distance - 1) * 5))
    tone[window] *= (1 + (albedo - 1) * edge).astype(np.float32)


def _animals(rng: np.random.Generator, ground: FloatPixels) -> tuple[ObjectAnnotation, ...]:
    """Draw animals onto the ground and return their boxes."""
    objects: list[ObjectAnnotation] = []
    for _ in range(int(rng.choice(len(_ANIMAL_COUNTS), p=_ANIMAL_COUNTS))):
        label = str(rng.choice(list(SPECIES)))
        species = SPECIES[label]
        sprite = draw_animal(rng, label, rng.uniform(species.min_length, species.max_length))
        # An animal for which there is no free place is left out: the image then has fewer animals than drawn.
        corner = _free_corner(rng, sprite, [item.box for item in objects])
        if corner is not None:
            _paste(rng, ground, sprite, corner)
            box, truncated = _visible_box(sprite, corner), _is_truncated(sprite, corner)
            objects.append(ObjectAnnotation(label=label, box=box, truncated=truncated))
    return tuple(objects)


def _free_corner(rng: np.random.Generator, sprite: Sprite, taken: list[BoxCorners]) -> tuple[int, int] | None:
    """Return a top left corner (y, x) at which the sprite is visible and covers little of the other boxes."""
    side = sprite.alpha.shape[0]
    for _ in range(_MAX_ATTEMPTS):
        # Up to a third of the sprite may lie outside, so that some animals are truncated.
        y, x = (int(rng.integers(-side // 3, limit - 2 * side // 3)) for limit in (SCENE_HEIGHT, SCENE_WIDTH))
        visible = sprite.alpha[max(-y, 0) : SCENE_HEIGHT - y, max(-x, 0) : SCENE_WIDTH - x].sum() / sprite.alpha.sum()
        box = _visible_box(sprite, (y, x))
        if visible >= _MIN_VISIBLE and all(_overlap(box, other) <= _MAX_OVERLAP for other in taken):
            return y, x
    return None


def _visible_box(sprite: Sprite, corner: tuple[int, int]) -> BoxCorners:
    """Return the sprite's box in the image, clipped at its borders."""
    (y, x), (ymin, xmin, ymax, xmax) = corner, sprite.box
    return max(ymin + y, 0.0), max(xmin + x, 0.0), min(ymax + y, float(SCENE_HEIGHT)), min(xmax + x, float(SCENE_WIDTH))


def _is_truncated(sprite: Sprite, corner: tuple[int, int]) -> bool:
    (y, x), (ymin, xmin, ymax, xmax) = corner, sprite.box
    return y + ymin < 0 or x + xmin < 0 or y + ymax > SCENE_HEIGHT or x + xmax > SCENE_WIDTH


def _overlap(a: BoxCorners, b: BoxCorners) -> float:
    """Return the common area over the area of the smaller box."""
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return shared / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))


def _paste(rng: np.random.Generator, ground: FloatPixels, sprite: Sprite, corner: tuple[int, int]) -> None:
    """Draw the sprite and, away from the lamp, its soft shadow onto the ground."""
    shift = max(2, sprite.alpha.shape[0] // 16)
    shape = Image.fromarray((sprite.alpha * 255).astype(np.uint8))
    shadow = np.asarray(shape.filter(ImageFilter.GaussianBlur(shift)), np.float32) / 255
    # The shadow first: the animal is drawn over its own shadow.
    inside, part = _windows(sprite.alpha.shape, (corner[0] + shift, corner[1] + shift))
    ground[inside] *= 1 - 0.5 * shadow[part][..., None]
    inside, part = _windows(sprite.alpha.shape, corner)
    alpha = sprite.alpha[part][..., None] * rng.uniform(0.88, 1.0)
    ground[inside] += alpha * (sprite.colour[part] * rng.uniform(0.8, 1.05) - ground[inside])


def _windows(shape: tuple[int, ...], corner: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of the image that a patch at this corner covers, and the part of the patch inside the image."""
    y, x = corner
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + shape[0], SCENE_HEIGHT), min(x + shape[1], SCENE_WIDTH)
    return np.s_[top:bottom, left:right], np.s_[top - y : bottom - y, left - x : right - x]


def _lamp_light(rng: np.random.Generator, camera: Camera) -> FloatPixels:
    """Return brightness [HEIGHT, WIDTH]: light that fades to the far edge and the corners, and varies a little."""
    rows = np.linspace(0, 1, SCENE_HEIGHT, dtype=np.float32)[:, None]
    columns = np.linspace(0, 1, SCENE_WIDTH, dtype=np.float32)[None, :]
    pool = np.exp(-(((rows - camera.lamp[0]) / 0.75) ** 2)) * np.exp(-(((columns - camera.lamp[1]) / 0.62) ** 2))
    vignette = 1 - 0.7 * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2)
    return np.asarray((0.24 + 0.92 * pool) * vignette * rng.uniform(0.88, 1.1), np.float32)


def _snow(rng: np.random.Generator) -> Image.Image:
    """Draw marine snow: many small specks, a few larger ones near the lens."""
    layer = Image.new("L", (SCENE_WIDTH, SCENE_HEIGHT))
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.integers(15, 70)):
        x, y, size = rng.uniform(0, SCENE_WIDTH), rng.uniform(0, SCENE_HEIGHT), rng.exponential(0.5) + 0.3
        pen.ellipse([x - size, y - size, x + size, y + size], fill=int(rng.uniform(40, 190)))
    return Image.merge("RGB", [layer.filter(ImageFilter.BoxBlur(0.8))] * 3)


def _exposed(rng: np.random.Generator, lit: FloatPixels, camera: Camera) -> Image.Image:
    """Return what the camera stores: veiling light, snow, lens blur, sensor noise, eight bits. Overwrites lit."""
    # Veiling light: water between camera and ground scatters it, more over the far edge at the top.
    haze = np.linspace(0.05, 0.012, SCENE_HEIGHT, dtype=np.float32)[:, None, None]
    lit += haze * np.asarray([0.55, 0.95, 1.1], np.float32)
    seen = ImageChops.add(_eight_bits(lit * 255), _snow(rng)).filter(ImageFilter.BoxBlur(camera.blur))
    grain = rng.standard_normal((SCENE_HEIGHT, SCENE_WIDTH, 1), np.float32) * np.float32(camera.noise * 255)
    return _eight_bits(np.asarray(seen, np.float32) + grain)


def _eight_bits(pixels: FloatPixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
