"""Scenes of the sample data: animals on the deep seafloor, as a time-lapse camera with one lamp records them.

Begin with `make_scene`; the bare ground is made in `retinanet_odm.samples.seafloor`. All arrays are float32 in 0..1
(linear enough for the purpose) until the last step; sizes are (height, width). The order of the random draws determines
the bytes of the sample: keep it.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from retinanet_odm.annotations.types import BoxCorners, ObjectAnnotation
from retinanet_odm.samples.seafloor import SCENE_HEIGHT, SCENE_WIDTH, Site, make_site
from retinanet_odm.samples.sprites import SPECIES, FloatPixels, Sprite, draw_animal

_MAX_ANIMALS = 7  # in an image; more would hide each other
_MAX_OVERLAP = 0.2  # fraction of the smaller box
_MIN_VISIBLE = 0.6  # fraction of an animal's pixels inside the image
_MAX_ATTEMPTS = 12


def make_scene(
    seed: int | np.random.Generator, *, site: Site | None = None
) -> tuple[Image.Image, tuple[ObjectAnnotation, ...]]:
    """Make one image of 640x360 pixels and the boxes of its animals; equal seeds give equal pixels.

    Args:
      seed: of the animals and of everything else that differs between the frames of a deployment.
      site: the deployment; None for one made from the same seed.
    """
    rng = np.random.default_rng(seed)
    site = site or make_site(rng)
    # From here on each step draws from one generator: their order is part of the sample's bytes.
    scene = site.ground.copy()
    objects = _animals(rng, scene, site.animals)
    # Light and water after the animals: they are lit like the ground, by a lamp that is never equally bright.
    scene *= site.light
    scene *= np.float32(rng.uniform(0.9, 1.1))
    scene += site.haze
    return _exposed(rng, scene, site), objects


def _animals(rng: np.random.Generator, ground: FloatPixels, mean: float) -> tuple[ObjectAnnotation, ...]:
    """Draw animals onto the ground and return their boxes; an image may have none."""
    objects: list[ObjectAnnotation] = []
    for _ in range(min(int(rng.poisson(mean)), _MAX_ANIMALS)):
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


def _draw_snow(rng: np.random.Generator, seen: Image.Image, mean: float) -> None:
    """Draw marine snow: many small specks, a few larger ones near the lens."""
    pen = ImageDraw.Draw(seen)
    for _ in range(rng.poisson(mean)):
        x, y, size = rng.uniform(0, SCENE_WIDTH), rng.uniform(0, SCENE_HEIGHT), rng.exponential(0.5) + 0.3
        pen.ellipse([x - size, y - size, x + size, y + size], fill=(int(rng.uniform(130, 230)),) * 3)


def _exposed(rng: np.random.Generator, lit: FloatPixels, site: Site) -> Image.Image:
    """Return what the camera stores: snow, lens blur, sensor noise, eight bits. Overwrites lit."""
    lit *= 255
    seen = _eight_bits(lit)
    _draw_snow(rng, seen, site.snow)
    blurred = np.asarray(seen.filter(ImageFilter.BoxBlur(site.blur)), np.float32)
    grain = rng.standard_normal((SCENE_HEIGHT, SCENE_WIDTH, 1), np.float32) * np.float32(site.noise * 255)
    return _eight_bits(blurred + grain)


def _eight_bits(pixels: FloatPixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
