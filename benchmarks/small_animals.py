"""Made-up frames of 4000 × 3000 pixels with animals of about 24 to 40 pixels. Begin with `write_frames`.

Every frame has a seafloor of its own, at the scale of the sample: its pebbles and burrows are as large as the animals.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.samples.seafloor import Site, make_site
from retinanet_odm.samples.sprites import SPECIES, FloatPixels, draw_animal

WIDTH, HEIGHT = 4000, 3000
LENGTHS = (30, 42)  # of an animal; its box is somewhat smaller
COUNTS = (20, 60)  # of a frame
_CELL = 64  # one animal at most in each square of this side, so that none hides another
_QUALITY = 90


def make_frame(number: int) -> tuple[bytes, ImageAnnotation]:
    """Return a frame as a JPEG, and its annotation; equal numbers give equal ones."""
    rng = np.random.default_rng([4000, number])
    site = make_site(rng)
    ground = _enlarged_ground(site)
    objects = tuple(_draw_animals(rng, ground))
    lit = ground * _enlarged(site.light) + _enlarged(np.broadcast_to(site.haze, site.light.shape))
    lit += rng.standard_normal((HEIGHT, WIDTH, 1), np.float32) * np.float32(site.noise)
    buffer = io.BytesIO()
    Image.fromarray((np.clip(lit, 0, 1) * 255).astype(np.uint8)).save(buffer, "JPEG", quality=_QUALITY)
    name = f"frame_{number:03d}.jpg"
    annotation = ImageAnnotation(
        filename=name, width=WIDTH, height=HEIGHT, objects=objects, source=f"{name} (synthetic)"
    )
    return buffer.getvalue(), annotation


def _enlarged_ground(site: Site) -> FloatPixels:
    """Return the ground [HEIGHT, WIDTH, 3] of a site, continued by its mirror images, which leaves no seams."""
    height, width, _ = site.ground.shape
    return np.pad(site.ground, ((0, HEIGHT - height), (0, WIDTH - width), (0, 0)), mode="symmetric")


def _enlarged(smooth: FloatPixels) -> FloatPixels:
    """Resize [h, w, 3] to [HEIGHT, WIDTH, 3]."""
    channels = (Image.fromarray(np.ascontiguousarray(smooth[..., channel])) for channel in range(3))
    return np.stack([np.asarray(one.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)) for one in channels], axis=-1)


def _draw_animals(rng: np.random.Generator, ground: FloatPixels) -> Iterator[ObjectAnnotation]:
    """Draw animals onto the ground; yield them with their boxes."""
    columns = WIDTH // _CELL
    for cell in rng.choice(HEIGHT // _CELL * columns, rng.integers(*COUNTS), replace=False).tolist():
        label = str(rng.choice(list(SPECIES)))
        sprite = draw_animal(rng, label, rng.uniform(*LENGTHS))
        side = len(sprite.alpha)
        y, x = (int(origin * _CELL + rng.integers(0, _CELL - side + 1)) for origin in divmod(cell, columns))
        part = ground[y : y + side, x : x + side]
        part += sprite.alpha[..., None] * (sprite.colour - part)
        ymin, xmin, ymax, xmax = (edge + corner for edge, corner in zip(sprite.box, (y, x, y, x), strict=True))
        yield ObjectAnnotation(label=label, box=(ymin, xmin, ymax, xmax))


def write_frames(folder: Path, numbers: range) -> list[str]:
    """Write images/ and annotations/ of frames; return the names of the images."""
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = []
    for data, annotation in map(make_frame, numbers):
        (folder / "images" / annotation.filename).write_bytes(data)
        (folder / "annotations" / annotation.filename).with_suffix(".xml").write_bytes(format_voc(annotation))
        names.append(annotation.filename)
    return names
