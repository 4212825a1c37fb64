"""Shared with `benchmarks.doors`: readers of what `export` writes, and how long it takes to write it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measures import Result, in_turns, median_ratio
from benchmarks.prepare_sources import LARGE, Cost, cost, prepare, write_source

PINS = (
    *("torch==2.15.0", "torchvision==0.29.2", "ultralytics==8.4.190"),
    *("datumaro==1.13.12", "pycocotools==2.0.11"),
)
IMAGES, ROUNDS, QUALITY = 2000, 3, 72

# Functions like those of benchmarks.doors.READ: images, boxes in fractions of the image, faults.
READ = """
def fractions(name, label, x, y, right, bottom):
    return name, label, None, x / width, y / height, right / width, bottom / height
def by_coco():
    from pycocotools.coco import COCO
    images, boxes = [], []
    for path in (folder / "EXPORT/coco/annotations").iterdir():
        truth = COCO(str(path))
        names = {number: entry["file_name"] for number, entry in truth.imgs.items()}
        images += names.values()
        for entry in truth.loadAnns(truth.getAnnIds()):
            (x, y, w, h), label = entry["bbox"], truth.cats[entry["category_id"]]["name"]
            boxes.append(fractions(names[entry["image_id"]], label, x, y, x + w, y + h))
    return images, boxes, []
def by_torchvision():
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
    images, boxes, faults = [], [], []
    for path in (folder / "EXPORT/coco/annotations").iterdir():
        plain = CocoDetection(folder / "EXPORT/coco/images", path)
        wrapped = wrap_dataset_for_transforms_v2(plain, target_keys=("image_id", "boxes", "labels"))
        for image, target in wrapped:
            images.append(plain.coco.imgs[target["image_id"]]["file_name"])
            if image.size != (width, height):
                faults.append(f"{images[-1]}: {image.size}")
            for box, label in zip(target.get("boxes", ()), target.get("labels", ())):
                boxes.append(fractions(images[-1], plain.coco.cats[int(label)]["name"], *box.tolist()))
    return images, boxes, faults
def by_datumaro():
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset
    dataset = Dataset.import_from(str(folder / "EXPORT/coco"), "coco_instances")
    labels = dataset.categories()[AnnotationType.label]
    images, boxes, faults = [], [], []
    for item in dataset:
        images.append(str(pathlib.Path(item.media.path).relative_to(folder / "EXPORT/coco/images")))
        if item.media.data.shape[:2] != (height, width):
            faults.append(f"{images[-1]}: {item.media.data.shape}")
        for found in item.annotations:
            x, y, w, h = found.get_bbox()
            boxes.append(fractions(images[-1], labels[found.label].name, x, y, x + w, y + h))
    return images, boxes, faults
def by_ultralytics():
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset
    data = check_det_dataset(str(folder / "EXPORT/yolo/data.yaml"), autodownload=False)
    images, boxes, faults = [], [], []
    for split in ("train", "val"):
        dataset = YOLODataset(img_path=data[split], data=data, task="detect", augment=False)
        for number, entry in enumerate(dataset.labels):
            images.append(str(pathlib.Path(entry["im_file"]).relative_to(data[split])))
            if entry["shape"] != (height, width) or dataset.load_image(number)[1] != (height, width):
                faults.append(f"{images[-1]}: {entry['shape']}")
            for label, (x, y, w, h) in zip(entry["cls"][:, 0], entry["bboxes"].tolist()):
                name = data["names"][int(label)]
                boxes.append((images[-1], name, None, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return images, boxes, faults
"""


def measure_speed(work: Path) -> Iterator[Result]:
    """Compare `export` with `prepare --verify=header` of the same images, in turns."""
    source = work / "source"
    write_source(source, IMAGES, LARGE, QUALITY)
    prepare(source, "--verify=header")
    for form in ("coco", "yolo"):
        flags = ("-m", "beam_jobs", "export", f"{source}/out", f"--format={form}")
        ours, theirs = in_turns(
            ROUNDS,
            lambda flags=flags: _seconds(work, lambda folder: cost(*flags, f"--output={folder}")),
            lambda: _seconds(work, lambda folder: prepare(source, "--verify=header", f"--output={folder}")),
        )
        ratio = median_ratio(theirs, ours)
        value = f"{min(ours):.1f} s, {min(theirs):.1f} s: {ratio:.2f}x as fast (target: >= 1)"
        title = f"export --format={form} of {IMAGES:,} images; prepare --verify=header of them"
        yield Result(title=title, value=value, good=ratio >= 1)


def _seconds(work: Path, run: Callable[[Path], Cost]) -> float:
    """Run a program into a new folder, which is deleted afterwards."""
    folder = work / "written"
    found = run(folder).seconds
    shutil.rmtree(folder)
    return found
