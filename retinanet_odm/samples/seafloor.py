"""Bare seafloor of the sample data: what all frames of one deployment share.

Begin with `make_site`. A fixed camera sees the same ground in every frame, so its frames resemble each other far more
than those of another deployment. That is why the splits of the sample keep deployments together.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from retinanet_odm.samples.sprites import FloatPixels

SCENE_WIDTH, SCENE_HEIGHT = 640, 360
_WATER = (0.55, 0.95, 1.1)  # colour of the light that turbid water scatters


@dataclass(frozen=True, kw_only=True)
class Site:
    """One deployment: a camera at a place, for some days.

    Attributes:
      ground: bare ground [HEIGHT, WIDTH, 3], before it is lit.
      light: what the lamp and the colour of the water multiply it by, of the same shape.
      haze: light that the water scatters [HEIGHT, 1, 3], to be added; more over the far edge at the top.
      snow: the mean number of particles in the water.
      blur: radius in pixels.
      noise: standard deviation, of 1.
      animals: their mean number in a frame.
    """

    ground: FloatPixels
    light: FloatPixels
    haze: FloatPixels
    snow: float
    blur: float
    noise: float
    animals: float


def make_site(rng: np.random.Generator) -> Site:
    """Make a random deployment; equal states of the generator give equal ones."""
    # The order of the random draws determines the bytes of the sample: keep it.
    warmth, grey = rng.uniform(-0.05, 0.05), rng.uniform(0.46, 0.6)
    sediment = (grey + warmth, grey * 0.96, grey * 0.84 - warmth)
    water = (rng.uniform(0.75, 0.9), 1.0, rng.uniform(0.88, 1.04))
    turbidity = rng.uniform(0, 1)
    haze = np.linspace(0.03 + 0.07 * turbidity, 0.01 + 0.02 * turbidity, SCENE_HEIGHT, dtype=np.float32)
    return Site(
        ground=_sediment(rng) * np.asarray(sediment, np.float32),
        light=_lamp_light(rng)[..., None] * np.asarray(water, np.float32),
        haze=haze[:, None, None] * np.asarray(_WATER, np.float32),
        snow=15 + 50 * turbidity,
        blur=rng.uniform(0.35, 0.65),
        noise=rng.uniform(0.008, 0.016),
        animals=rng.uniform(2.0, 4.0),
    )


def _octaves(rng: np.random.Generator) -> FloatPixels:
    """Make fractal relief [HEIGHT, WIDTH] of about unit spread: the sum of noise on increasingly finer grids."""
    # Each pass enlarges the relief to the next grid and adds finer noise of less weight.
    relief = Image.fromarray(np.zeros((6, 10), np.float32))
    for columns, weight in ((10, 1.2), (20, 1.0), (40, 0.8), (80, 0.6), (160, 0.42), (320, 0.26), (640, 0.13)):
        rows = math.ceil(columns * SCENE_HEIGHT / SCENE_WIDTH)
        grown = np.asarray(relief.resize((columns, rows), Image.Resampling.BICUBIC))
        relief = Image.fromarray(grown + weight * rng.standard_normal((rows, columns), np.float32))
    return np.array(relief)


def _sediment(rng: np.random.Generator) -> FloatPixels:
    """Make grey ground [HEIGHT, WIDTH, 1]: relief lit from the left, patches, ripples, mounds, burrows and pebbles."""
    relief = _octaves(rng)
    tone = _patches(rng)
    for _ in range(rng.integers(3, 9)):  # mounds
        _bump(rng, relief, tone, radius=rng.uniform(10, 36), rise=rng.uniform(3, 12), albedo=1.0)
    for _ in range(rng.integers(2, 8)):  # burrows
        _bump(rng, relief, tone, radius=rng.uniform(2, 6), rise=rng.uniform(-4.0, -1.5), albedo=0.45)
    for _ in range(rng.integers(6, 26)):  # pebbles
        radius = rng.uniform(1.5, 9)
        _bump(rng, relief, tone, radius=radius, rise=radius * rng.uniform(1, 2), albedo=rng.uniform(0.6, 1.2))
    relief += _ripples(rng)
    # A lamp from the left lights what rises to the right; rises along y count half.
    slope = np.diff(relief, axis=1, prepend=relief[:, :1]) + 0.5 * np.diff(relief, axis=0, prepend=relief[:1])
    tone *= 1 + 0.05 * _bounded(relief * 0.5) + 0.2 * _bounded(slope)
    return tone[..., None]


def _patches(rng: np.random.Generator) -> FloatPixels:
    """Make the brightness [HEIGHT, WIDTH] of patches of fresh and old sediment, about 90 pixels wide."""
    # Coarse enough to differ in the perceptual hash: two sites look less alike than two frames of one.
    coarse = Image.fromarray(rng.standard_normal((5, 8), np.float32))
    return 1 + 0.5 * _bounded(np.asarray(coarse.resize((SCENE_WIDTH, SCENE_HEIGHT), Image.Resampling.BICUBIC)))


def _ripples(rng: np.random.Generator) -> FloatPixels:
    """Make the relief [HEIGHT, WIDTH] of ripples of one direction and length; some grounds have hardly any."""
    direction, length, height = rng.uniform(0, math.pi), rng.uniform(18, 45), rng.uniform(0, 2)
    rows, columns = np.ogrid[:SCENE_HEIGHT, :SCENE_WIDTH]
    phase = (columns * math.cos(direction) + rows * math.sin(direction)) * (2 * math.pi / length)
    return np.float32(height) * np.sin(phase.astype(np.float32))


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


def _lamp_light(rng: np.random.Generator) -> FloatPixels:
    """Return the brightness [HEIGHT, WIDTH] of a lamp: it fades to the far edge and the corners."""
    y, x, strength = rng.uniform(0.4, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.8, 1.1)
    rows = np.linspace(0, 1, SCENE_HEIGHT, dtype=np.float32)[:, None]
    columns = np.linspace(0, 1, SCENE_WIDTH, dtype=np.float32)[None, :]
    pool = np.exp(-(((rows - y) / 0.75) ** 2)) * np.exp(-(((columns - x) / 0.62) ** 2))
    vignette = 1 - 0.7 * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2)
    return np.asarray((0.36 + 0.8 * pool) * vignette * strength, np.float32)
