"""Real data, end to end: the BCCD blood cell images through prepare, train and score, as a user runs them.

    python benchmarks/bccd.py BCCD [--work DIR] [--num_epochs N]

BCCD is the folder that holds images/ and annotations/ of the public BCCD data set (364 images, Pascal VOC).
Trains from random weights with --preset=tiny and prints a table; exits with 1 if a target is missed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MINUTES = 15
AP50 = 0.70
ZERO_SIZE = {"BloodImage_00338.jpg", "BloodImage_00343.jpg"}


def timed(*command: str) -> float:
    """Run one of our commands; return its wall time in seconds."""
    print("$ python -m", *command, flush=True)
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", *command], check=True)
    return time.monotonic() - start


def run(data: Path, work: Path, epochs: int) -> bool:
    dataset, model, scored = work / "dataset", work / "model", work / "scored"
    for folder in (model, scored):  # a finished model would not be trained again
        shutil.rmtree(folder, ignore_errors=True)
    prepare_s = timed(
        *("beam_jobs", "prepare", "--images", f"{data}/images/*", "--annotations", f"{data}/annotations/*.xml"),
        *("--output", str(dataset), "--splits", "train=0.8,val=0.2"),
    )
    train_s = timed(
        *("trainer", "--mode=train_and_eval", "--preset=tiny", f"--dataset={dataset}", f"--model_dir={model}"),
        *("--vertical_flip", f"--num_epochs={epochs}"),
    )
    score_s = timed(
        "inference", "score", "--images", f"{data}/images", "--model", f"{model}/export", "--output", str(scored)
    )

    manifest = json.loads((dataset / "dataset.json").read_text())
    metrics = json.loads((model / "eval.json").read_text())
    summary = json.loads((scored / "summary.json").read_text())
    rejected = [json.loads(line) for line in (dataset / "rejected.jsonl").read_text().splitlines()]
    dropped = {row["name"] for row in rejected if row["reason"] == "zero_size_box"}
    examples = sum(split["examples"] for split in manifest["splits"].values())
    images = manifest["splits"]["train"]["examples"] * epochs
    total = prepare_s + train_s + score_s
    classes = ", ".join(f"{name} {values['AP50']:.3f}" for name, values in metrics["per_class"].items())
    rows = [
        (
            "images in = examples + rejected",
            f"{manifest['images_in']} = {examples} + {manifest['rejected']}",
            manifest["images_in"] == examples + manifest["rejected"] == 364,
        ),
        ("zero-size boxes dropped, by name", ", ".join(sorted(dropped)), dropped == ZERO_SIZE),
        (f"AP50, {metrics['images']} held-out images (>= {AP50})", f"{metrics['AP50']:.3f}", metrics["AP50"] >= AP50),
        ("  of each class", classes, True),
        ("AP (IoU 0.50-0.95)", f"{metrics['AP']:.3f}", True),
        (
            "rows scored, failed",
            f"{summary['images']}, {sum(summary['failed'].values())}",
            summary["images"] == 364 and not summary["failed"],
        ),
        ("prepare", f"{prepare_s:.0f} s, {364 / prepare_s:.0f} images/s", True),
        (f"train and evaluate, {epochs} epochs", f"{train_s:.0f} s, {images / train_s:.1f} images/s", True),
        ("score", f"{score_s:.0f} s, {364 / score_s:.1f} images/s", True),
        (f"all, start-up included (<= {MINUTES} min)", f"{total / 60:.1f} min", total <= 60 * MINUTES),
    ]
    print()
    for name, value, good in rows:
        print(f"{'ok  ' if good else 'MISS'}  {name:42}  {value}")
    return all(good for _, _, good in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, help="folder to keep; default: a temporary one")
    parser.add_argument("--num_epochs", type=int, default=30)
    flags = parser.parse_args()
    if not (flags.data / "images").is_dir():
        parser.error(f"{flags.data} holds no folder images/")
    if flags.work:
        return 0 if run(flags.data, flags.work, flags.num_epochs) else 1
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(flags.data, Path(work), flags.num_epochs) else 1


if __name__ == "__main__":
    sys.exit(main())
