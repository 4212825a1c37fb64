"""Made-up data like a first project of 200 images: one class, an animal in each image, all of different sizes.

Begin with `write_project`. The names of the files tell place and time, as those of camera traps do, and every image has
a ground of its own.
"""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.samples.files import make_zip
from retinanet_odm.samples.seafloor import SCENE_HEIGHT, SCENE_WIDTH, make_site
from retinanet_odm.samples.sprites import draw_animal

LABEL = "Peniagone sp. A"
# By the hashes of these names, Orchard is val and Camp is test; all others are train.
PLACES = ("Creek", "Den", "Dock", "Ford", "Gate", "Glade", "Orchard", "Camp")
NEW_PLACES = ("Pond", "Woods")
LENGTHS = (60, 250)  # of the animal in a scene, pixels; with its arms it has to fit
SCALES = (0.65, 1.6)  # of an image, relative to a scene
_START = datetime(2024, 5, 3, 21, 15)  # by the camera's clock
_QUALITY = 88

Labelled = tuple[ImageAnnotation, bytes]


def one_animal(place: str, number: int) -> Labelled:
    """Return one image as a JPEG, and its annotation; equal arguments give equal ones."""
    rng = np.random.default_rng([*place.encode(), number])
    site = make_site(rng)
    sprite = draw_animal(rng, LABEL, rng.uniform(*LENGTHS))
    side = len(sprite.alpha)
    y, x = (int(rng.integers(0, limit - side + 1)) for limit in (SCENE_HEIGHT, SCENE_WIDTH))
    ground = site.ground[y : y + side, x : x + side]
    ground += sprite.alpha[..., None] * (sprite.colour - ground)
    scene = np.clip((site.ground * site.light + site.haze) * 255, 0, 255).astype(np.uint8)
    scale = rng.uniform(*SCALES)
    image = Image.fromarray(scene).resize((round(SCENE_WIDTH * scale), round(SCENE_HEIGHT * scale)))
    ymin, xmin, ymax, xmax = ((edge + corner) * scale for edge, corner in zip(sprite.box, (y, x, y, x), strict=True))
    name = f"{place}_{_START + timedelta(hours=7 * number):%Y%m%d_%H%M%S}.jpg"
    item = ObjectAnnotation(label=LABEL, box=(ymin, xmin, ymax, xmax))
    annotation = ImageAnnotation(
        filename=name, width=image.width, height=image.height, objects=(item,), source=f"{name} (made up)"
    )
    return annotation, _jpeg(image)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def write_project(folder: Path, *, images: int = 200, archive_images: int = 40) -> None:
    """Write images/, annotations/, archive.zip and archive_truth/ as the sample has them, and exports/PLACE.zip."""
    for place, labelled in _by_place(PLACES, images):
        for annotation, data in labelled:
            _write(folder / "images" / annotation.filename, data)
            _write(folder / "annotations" / Path(annotation.filename).with_suffix(".xml"), format_voc(annotation))
        document = format_cvat([annotation for annotation, _ in labelled], labels=[LABEL], task=place)
        members = [(f"images/{annotation.filename}", data) for annotation, data in labelled]
        _write(folder / "exports" / f"{place}.zip", make_zip(iter([("annotations.xml", document), *members])))
    unseen = [pair for _, labelled in _by_place(NEW_PLACES, archive_images) for pair in labelled]
    _write(folder / "archive.zip", make_zip((annotation.filename, data) for annotation, data in unseen))
    for annotation, _ in unseen:
        _write(folder / "archive_truth" / Path(annotation.filename).with_suffix(".xml"), format_voc(annotation))


def _by_place(places: Sequence[str], count: int) -> Iterator[tuple[str, list[Labelled]]]:
    for turn, place in enumerate(places):
        yield place, [one_animal(place, number) for number in range(len(range(turn, count, len(places))))]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
