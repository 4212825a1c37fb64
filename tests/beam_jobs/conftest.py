"""Tiny labelled photographs, made here so that these tests state all they depend on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc

WIDTH, HEIGHT = 48, 32
LABELS = ("Peniagone sp. A", "Étoile de mer", "Scotoplanes")


class Source:
    """A folder with images/ and annotations/, and the flags that name it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "images"
        self.annotations = root / "annotations"
        for folder in (self.images, self.annotations):
            folder.mkdir(parents=True)

    def add_image(self, name: str, shade: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (shade % 256, 40, 90)).save(path)
        return path

    def add_annotation(self, stem: str, objects: Sequence[tuple[str, tuple[float, float, float, float]]]) -> Path:
        items = tuple(ObjectAnnotation(label=label, box=box) for label, box in objects)
        annotation = ImageAnnotation(filename=stem, width=WIDTH, height=HEIGHT, objects=items, source=stem)
        path = self.annotations / f"{stem}.xml"
        path.write_bytes(format_voc(annotation))
        return path

    def fill(self, count: int) -> "Source":
        """Photographs with none to two animals each."""
        for number in range(count):
            stem = f"StaM_6701_NF_tripod_20161110_14_24_{number:02d}"
            boxes = [(4.0, 5.0, 14.5, 20.0), (10.0, 20.0, 30.0, 40.0)]
            self.add_image(f"{stem}.JPG", shade=number)
            self.add_annotation(
                stem, [(LABELS[(number + row) % 3], box) for row, box in enumerate(boxes[: number % 3])]
            )
        return self

    def flags(self, output: Path, *more: str) -> list[str]:
        patterns = [f"--images={self.images}/*", f"--annotations={self.annotations}/*.xml"]
        return ["prepare", *patterns, f"--output={output}", *more]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "source")


@pytest.fixture
def read_folder() -> Callable[[Path], dict[str, bytes]]:
    """Every file that lies directly in a folder, by name."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
