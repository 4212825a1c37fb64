"""More AP in half the time: ours against YOLO26n of Ultralytics, from random weights, on the same images.

    python -m benchmarks.yolo BCCD [--env DIR] [--minutes 16]

BCCD is a folder that holds images/ and annotations/ (Pascal VOC); `prepare` splits it. The records are written out as
Ultralytics reads them, and YOLO26n trains from random weights for --minutes. Ours trains for half of that: the preset
small from weights of ImageNet, then the preset tiny from random weights. All run one after the other on one core, for
320 pixels; start-up counts for ours, and not for YOLO. The last weights of each are evaluated on the validation images
by the same code, pycocotools in retinanet_odm.evaluation; of YOLO all detections from a score of 0.001 count.

Ultralytics is licensed under the AGPL. Nothing here imports it: its command `yolo` is installed by pip in a separate
environment (--env keeps it for the next time; several GB) and runs there. Needs the extra [imagenet]. Exits with 1 if
an AP of ours is not higher.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.equal_time import train_for
from benchmarks.measures import Result, make_environment, print_results, run
from benchmarks.training import prepared
from retinanet_odm.dataset.examples import DetectionExample, decode_example
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.evaluation.coco_metrics import coco_metrics
from retinanet_odm.storage.tfrecord import read_frames

PINS = ("ultralytics==8.4.190", "torch==2.15.0", "torchvision==0.29.2")
NETWORK, SIDE, BATCH = "yolo26n", 320, 8
MIN_SCORE = 0.001
EPOCHS = 10_000  # more than fit into the time
PROBE_STEPS = (5, 20)  # between which our speed is measured
SIDES = {"small, from ImageNet": "--preset=small", "tiny, from random weights": "--preset=tiny"}


# --- the data set as Ultralytics reads it ---


def write_yolo(dataset: Path, folder: Path) -> Path:
    """Write images and labels of both splits; image names are source ids. Return the path of data.yaml."""
    manifest = DatasetManifest.from_json((dataset / DatasetManifest.FILE).read_text(), source="dataset.json")
    numbers = {label_id: number for number, (label_id, _) in enumerate(manifest.labels.items)}
    for split in ("train", "val"):
        for name in ("images", "labels"):
            (folder / name / split).mkdir(parents=True)
        for shard in manifest.splits[split].shards:
            with (dataset / shard.name).open("rb") as file:
                for example in (decode_example(record) for _, record in read_frames(file)):
                    stem = str(example.source_id)
                    (folder / "images" / split / f"{stem}.{example.format}").write_bytes(example.encoded)
                    (folder / "labels" / split / f"{stem}.txt").write_text(yolo_lines(example, numbers))
    names = {number: name for number, (_, name) in enumerate(manifest.labels.items)}
    data = {"path": str(folder.resolve()), "train": "images/train", "val": "images/val", "names": names}
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return folder / "data.yaml"


def yolo_lines(example: DetectionExample, numbers: dict[int, int]) -> str:
    """Return a line for each object: class number, x and y of the centre, width, height, as fractions of the image."""
    lines = []
    for item in example.objects:
        ymin, xmin, ymax, xmax = item.box
        box = ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin)
        lines.append(" ".join([str(numbers[item.label_id]), *(f"{value:.6f}" for value in box)]))
    return "".join(f"{line}\n" for line in lines)


def read_results(file: Path, dataset: Path) -> list[dict[str, Any]]:
    """Return COCO results of Ultralytics' predictions.json, whose categories are numbers from 1, with our ids."""
    truth = json.loads((dataset / "val.json").read_text())
    label_ids = sorted(category["id"] for category in truth["categories"])
    return [
        {**{key: row[key] for key in ("image_id", "bbox", "score")}, "category_id": label_ids[row["category_id"] - 1]}
        for row in json.loads(file.read_text())
    ]


# --- both sides ---


def train_yolo(command: Path, dataset: Path, work: Path, minutes: float) -> dict[str, Any]:
    """Train YOLO for a time; return AP, AP50, epochs and the seconds of the whole command."""
    data = write_yolo(dataset, work / "data")
    common = (f"data={data}", f"imgsz={SIDE}", f"batch={BATCH}", "device=cpu", "workers=0", "plots=False")
    # Its configuration and its search for updates stay in the folder.
    environment = {"YOLO_CONFIG_DIR": str(work), "YOLO_OFFLINE": "true", "OMP_NUM_THREADS": "1"}
    project = (f"project={work}", "exist_ok=True")
    begin = time.perf_counter()
    weights = (f"model={NETWORK}.yaml", "pretrained=False", f"time={minutes / 60}", f"epochs={EPOCHS}", "val=False")
    run(str(command), "detect", "train", *weights, *common, *project, "name=train", **environment)
    seconds = time.perf_counter() - begin
    trained = work / "train"
    scores = (f"conf={MIN_SCORE}", "save_json=True", f"model={trained}/weights/last.pt")
    run(str(command), "detect", "val", *scores, *common, *project, "name=val", **environment)
    truth = json.loads((dataset / "val.json").read_text())
    metrics = coco_metrics(truth, read_results(work / "val" / "predictions.json", dataset))
    epochs = len((trained / "results.csv").read_text().splitlines()) - 1
    return {"AP": metrics["AP"], "AP50": metrics["AP50"], "epochs": epochs, "seconds": seconds}


def compare(data: Path, command: Path, minutes: float, work: Path) -> Iterator[Result]:
    dataset = prepared(work, data)
    images = json.loads((dataset / "dataset.json").read_text())["splits"]["val"]["examples"]
    (work / "yolo").mkdir()
    theirs = train_yolo(command, dataset, work / "yolo", minutes)
    yield Result(title=f"{NETWORK}, from random weights: {images} held-out images", value=describe(theirs))
    for title, preset in SIDES.items():
        folder = work / preset.rpartition("=")[2]
        ours = train_for(dataset, folder, preset, minutes=minutes / 2, steps=PROBE_STEPS)
        yield Result(title=f"{title} (AP > {theirs['AP']:.3f})", value=describe(ours), good=ours["AP"] > theirs["AP"])


def describe(found: dict[str, Any]) -> str:
    return (
        f"AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}, {found['epochs']} epochs in {found['seconds'] / 60:.1f} min"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds images/ and annotations/, such as BCCD")
    parser.add_argument("--env", type=Path, help="environment to keep; default: a temporary one")
    parser.add_argument("--minutes", type=float, default=16, help="of YOLO's training; ours have half of it")
    flags = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this process, and so of the programs that it starts
    with tempfile.TemporaryDirectory() as work:
        interpreter = Path(make_environment(flags.env or Path(work) / "env", PINS))
        return 0 if print_results(compare(flags.data, interpreter.parent / "yolo", flags.minutes, Path(work))) else 1


if __name__ == "__main__":
    sys.exit(main())
