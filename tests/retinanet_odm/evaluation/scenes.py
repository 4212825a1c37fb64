"""Synthetic ground truth and detections in COCO format: few boxes on a small grid, so that many overlap and tie."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from retinanet_odm.evaluation.matching import ScoredSplit

GRID = 8  # pixels of a side: boxes have integer edges, so that an IoU is a ratio of pixel counts
CLASSES = ("crab", "urchin", "sea pig")

Coco = tuple[dict[str, Any], list[dict[str, Any]]]


def coco_truth(objects: list[dict[str, Any]], *, images: int, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Ground truth; an object needs image_id, category_id and bbox."""
    return {
        "images": [
            {"id": number, "file_name": names[number - 1] if names else f"{number}.jpg"}
            for number in range(1, images + 1)
        ],
        "annotations": [
            {"id": number, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3], **entry}
            for number, entry in enumerate(objects, start=1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
    }


def thing(box: list[float], *, label: int = 1, image: int = 1, **more: Any) -> dict[str, Any]:
    """An object, or with a score a detection."""
    return {"image_id": image, "category_id": label, "bbox": box, **more}


def split_of(objects: list[dict[str, Any]], results: list[dict[str, Any]], *, images: int = 1) -> ScoredSplit:
    return ScoredSplit.from_coco(coco_truth(objects, images=images), results)


@st.composite
def _boxes(draw: st.DrawFn) -> list[float]:
    x, y = draw(st.integers(0, GRID - 1)), draw(st.integers(0, GRID - 1))
    return [x, y, draw(st.integers(1, GRID - x)), draw(st.integers(1, GRID - y))]


@st.composite
def scenes(draw: st.DrawFn, *, crowds: bool = True) -> Coco:
    """Up to three images with some objects, crowds among them, and detections of few different scores."""
    images = draw(st.integers(1, 3))
    place = {"image_id": st.integers(1, images), "category_id": st.integers(1, len(CLASSES)), "bbox": _boxes()}
    is_crowd = st.sampled_from([0, 0, 0, 1] if crowds else [0])
    objects = draw(st.lists(st.fixed_dictionaries({**place, "iscrowd": is_crowd}), max_size=8))
    score = st.sampled_from([0.05, 0.2, 0.5, 0.55, 0.9, 1.0])
    results = draw(st.lists(st.fixed_dictionaries({**place, "score": score}), max_size=14))
    return coco_truth(objects, images=images), results


def detector(images: int, *, seed: int, skill: float = 0.7, names: tuple[str, ...] = ()) -> Coco:
    """Makes images of 640 pixels with a few objects each, some of which are detected, and false detections."""
    rng = np.random.default_rng(seed)
    objects, results = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 6)):
            box = [*rng.uniform(0, 500, 2).round(2), *rng.uniform(8, 140, 2).round(2)]
            label = int(rng.integers(1, len(CLASSES) + 1))
            objects.append(thing(box, label=label, image=image))
            if rng.random() < skill:
                near = (np.asarray(box) + rng.normal(0, 4, 4)).round(3).clip(1).tolist()
                results.append(thing(near, label=label, image=image, score=float(rng.beta(5, 2))))
        for _ in range(rng.integers(0, 3)):
            box = [*rng.uniform(0, 500, 2).round(3), *rng.uniform(8, 140, 2).round(3)]
            label = int(rng.integers(1, len(CLASSES) + 1))
            results.append(thing(box, label=label, image=image, score=float(rng.beta(2, 5))))
    return coco_truth(objects, images=images, names=names), results
