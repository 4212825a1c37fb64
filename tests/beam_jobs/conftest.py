"""Tiny labelled images, made here so that these tests state everything they depend on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from beam_jobs.dataset_gallery import read_examples
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.dataset.manifest import DatasetManifest

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
        """Images with none to two animals each."""
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


def read_manifest(folder: Path) -> DatasetManifest:
    """Reads dataset.json."""
    return DatasetManifest.from_json((folder / DatasetManifest.FILE).read_text(), source=DatasetManifest.FILE)


def read_dataset(folder: Path) -> list[tuple[str, DetectionExample]]:
    """Reads (split, example) of every record that dataset.json names."""
    splits = read_manifest(folder).splits.items()
    shards = [(name, str(folder / shard.name)) for name, split in splits for shard in split.shards]
    return [(name, example) for name, path in shards for example in read_examples(path)]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "source")


@pytest.fixture
def read_folder() -> Callable[[Path], dict[str, bytes]]:
    """Every file that lies directly in a folder, by name."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
