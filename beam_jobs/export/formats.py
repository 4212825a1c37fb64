"""How an image and its objects are written in each format, and the files that describe a split or all of them.

What YOLO's text cannot express is counted: crowds, ignored areas and classes that are not exhaustive.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from beam_jobs.export.layout import IMAGES
from retinanet_odm import PROGRAM
from retinanet_odm.dataset.coco import annotation_entries, image_entry, negative_classes_entry, with_categories
from retinanet_odm.dataset.exact_boxes import exact_pixels, exact_yolo_boxes
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files

_WIDE = 1 << 30  # one line for each name
_LICENSE_ID = 1


def count_content(example: DetectionExample) -> Counter[str]:
    """Count what an image has, by the keys of a split in export.json."""
    return Counter(
        images=1,
        boxes=len(example.objects),
        crowds=sum(item.is_crowd for item in example.objects),
        ignored_regions=len(example.ignored_regions),
        partial_images=bool(example.not_exhaustive),
        flagged=sum(item.difficult or item.truncated or item.occluded for item in example.objects),
    )


# --- YOLO ---


def yolo_texts(examples: Sequence[DetectionExample], classes: Mapping[int, int]) -> list[str]:
    """Return the text of each image: class, centre and size of each object that is no crowd, as fractions.

    Args:
      examples: at least one image; several at once take less time.
      classes: YOLO's number of each class, by label id.
    """
    counts = [len(example.objects) for example in examples]
    height = np.repeat([example.height for example in examples], counts)
    width = np.repeat([example.width for example in examples], counts)
    pixels = exact_pixels(np.concatenate([example.boxes for example in examples]), height, width)
    boxes = iter(exact_yolo_boxes(pixels, height, width).tolist())
    return ["".join(_yolo_lines(example, boxes, classes)) for example in examples]


def _yolo_lines(example: DetectionExample, boxes: Iterator[list[float]], classes: Mapping[int, int]) -> Iterator[str]:
    for item in example.objects:
        box = next(boxes)
        # As one object, a crowd would be learned as one. Ultralytics' own converter of COCO leaves crowds out too.
        if not item.is_crowd:
            yield f"{classes[item.label_id]} {' '.join(map(repr, box))}\n"


def yolo_classes(labels: LabelMap) -> dict[int, int]:
    """Return YOLO's number of each class by label id: from 0, without gaps, in the order of the ids."""
    return {label_id: number for number, (label_id, _) in enumerate(sorted(labels.items))}


def data_yaml(manifest: DatasetManifest, license_text: str) -> str:
    """Return data.yaml; without `path`, Ultralytics takes the folder of the file."""
    content: dict[str, Any] = {name: files.join(IMAGES, name) for name, _ in filled_splits(manifest)}
    content["names"] = dict(enumerate(name for _, name in sorted(manifest.labels.items)))
    if license_text:
        content["license"] = license_text
    text: str = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=_WIDE)
    return f"# written by {PROGRAM}\n{text}"


def filled_splits(manifest: DatasetManifest) -> list[tuple[str, int]]:
    """Return name and number of images of the splits that have any."""
    return [(name, split.examples) for name, split in manifest.splits.items() if split.examples]


# --- COCO ---


def coco_entries(
    example: DetectionExample, name: str, manifest: DatasetManifest, license_text: str
) -> tuple[str, list[str]]:
    """Return the entry of an image, and those of its annotations, which still lack their ids, as JSON.

    Args:
      example: the image.
      name: of its file.
      manifest: of the data set.
      license_text: the licence of the images, or "".
    """
    labels = manifest.labels
    image = {
        **image_entry(example),
        "file_name": name,
        **(negative_classes_entry(example, labels) if manifest.is_partial else {}),
        **({"license": _LICENSE_ID} if license_text else {}),
    }
    return _dump(image), [_dump(entry) for entry in with_categories(annotation_entries(example), labels)]


def coco_document(
    manifest: DatasetManifest, license_text: str, images: Iterable[Sequence[str]], annotations: Iterable[Sequence[str]]
) -> Iterator[bytes]:
    """Yield the file of a split in pieces, with an entry in each line.

    Args:
      manifest: of the data set.
      license_text: the licence of the images, or "".
      images, annotations: entries of `coco_entries`, in groups; annotations are numbered from 1.
    """
    is_address = license_text.startswith(("http://", "https://"))
    license_entry = {"id": _LICENSE_ID, "name": license_text, "url": license_text if is_address else ""}
    head = {
        "info": {"description": f"written by {PROGRAM}", "data_set": manifest.fingerprint},
        "licenses": [license_entry] if license_text else [],
        "categories": [{"id": label_id, "name": name} for label_id, name in sorted(manifest.labels.items)],
    }
    yield _dump(head)[:-1].encode()
    yield b', "images": ['
    yield from _lines(images, first=None)
    yield b'], "annotations": ['
    yield from _lines(annotations, first=1)
    yield b"]}\n"


def _lines(groups: Iterable[Sequence[str]], first: int | None) -> Iterator[bytes]:
    """Yield lines of entries with commas between them, a group at a time; numbered from first, unless that is None."""
    comma, done = "", 0
    for group in groups:
        heads = (
            itertools.repeat("{") if first is None else (f'{{"id": {first + done + row}, ' for row in itertools.count())
        )
        lines = [f"\n{head}{entry[1:]}" for head, entry in zip(heads, group, strict=False)]
        if lines:
            yield (comma + ",".join(lines)).encode()
            comma, done = ",", done + len(lines)
    yield b"\n"


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
