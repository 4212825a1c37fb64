"""Small animals in large images: what is training on tiles worth, against whole images shrunk to the canvas?

    python -m benchmarks.tiles [--epochs N] [--train N] [--val N] [--new N] [--work DIR]

Frames of 4000 × 3000 pixels with animals of about 24 to 40 pixels are made (benchmarks/small_animals.py) and prepared.
The preset small, from weights of ImageNet, trains twice for as many steps, on the same canvas of 320 pixels, both with
--anchors=auto: with --tile=640, on which an animal has 12 to 20 pixels of the canvas, and on whole frames, on which it
has 2 to 3. Both models then score new frames, which are in no split, by `score` with and without --tile=640, and
`inference evaluate` judges them with the thresholds that each model chose on the validation frames. Needs the extra
[imagenet].

Exits with 1 if the AP of tiles is not higher. --work keeps frames, data set and models.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.equal_time import QUIET
from benchmarks.measures import Result, print_results, python
from benchmarks.small_animals import write_frames

SIDE = 640
BATCH = 8
FLAGS = (
    *("--preset=small", "--image_size=320", f"--train_batch_size={BATCH}", "--warmup_steps=20", "--vertical_flip"),
    *("--anchors=auto", "--eval_every_epochs=0", "--reference_images=0"),
)
WHOLE, TILES = "whole frames", f"tiles of {SIDE} px"
# Trained on, scored on. The second row is what `score --tile` is worth alone.
SIDES = ((WHOLE, WHOLE), (WHOLE, TILES), (TILES, TILES))


def prepare(work: Path, train: int, val: int) -> Path:
    """Write labelled frames, of which the last ones are the split val, and prepare them."""
    names = write_frames(work / "frames", range(train + val))
    rows = ["image,split", *(f"{name},{'train' if row < train else 'val'}" for row, name in enumerate(names))]
    (work / "splits.csv").write_text("".join(f"{row}\n" for row in rows))
    source = ("--images", f"{work}/frames/images", "--annotations", f"{work}/frames/annotations")
    splits = ("--splits", "train=0.8,val=0.2", "--split_from", f"{work}/splits.csv")
    python("-m", "beam_jobs", "prepare", *source, *splits, "--output", f"{work}/dataset")
    return work / "dataset"


def train(dataset: Path, model: Path, *more: str) -> tuple[int, float]:
    """Train, evaluate and export; return the number of steps and the minutes of the whole command."""
    begin = time.perf_counter()
    python("-m", "trainer", *FLAGS, *more, f"--dataset={dataset}", f"--model_dir={model}", **QUIET)
    minutes = (time.perf_counter() - begin) / 60
    return json.loads((model / "export" / "model.json").read_text())["training"]["steps"], minutes


def evaluate(work: Path, model: Path, scored: Path, tile: int) -> dict[str, float]:
    """Score the new frames, and return AP, AP50, and the animals found and true."""
    flags = (f"--tile={tile}", f"--output={scored}")
    python("-m", "inference", "score", "--images", f"{work}/new/images", f"--model={model}/export", *flags)
    python("-m", "inference", "evaluate", str(scored), "--annotations", f"{work}/new/annotations")
    found = json.loads((scored / "evaluation.json").read_text())
    counts = found["details"]["counts"].values()
    totals = {key: sum(count[key] for count in counts) for key in ("found", "true")}
    return {"AP": found["AP"], "AP50": found["AP50"], **totals}


def run(work: Path, epochs: int, frames: tuple[int, int, int]) -> Iterator[Result]:
    labelled, new = frames[0] + frames[1], frames[2]
    write_frames(work / "new", range(labelled, labelled + new))
    dataset = prepare(work, *frames[:2])
    models = {WHOLE: work / "whole", TILES: work / "tiles"}
    steps, minutes = train(dataset, models[TILES], f"--tile={SIDE}", f"--num_epochs={epochs}")
    yield Result(title=f"trained on {TILES}, evaluated and exported", value=f"{steps} steps, {minutes:.1f} min")
    steps, minutes = train(dataset, models[WHOLE], f"--num_epochs={round(steps * BATCH / frames[0])}")
    yield Result(title=f"trained on {WHOLE}, evaluated and exported", value=f"{steps} steps, {minutes:.1f} min")
    scores = {}
    for number, (trained, scored) in enumerate(SIDES):
        tile = SIDE if scored == TILES else 0
        scores[trained, scored] = found = evaluate(work, models[trained], work / f"scored-{number}", tile)
        quality = f"AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}"
        yield Result(
            title=f"trained on {trained}, scored on {scored}: {new} new frames",
            value=f"{quality}, found / true {found['found']:.0f} / {found['true']:.0f}",
        )
    tiled, others = scores[TILES, TILES]["AP"], [scores[side]["AP"] for side in SIDES[:2]]
    yield Result(title="AP of tiles higher than both others", value=f"{tiled:.3f}", good=tiled > max(others))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1, help="of the training on tiles; default: %(default)s")
    parser.add_argument("--train", type=int, default=24, help="frames to train on; default: %(default)s")
    parser.add_argument("--val", type=int, default=4, help="frames to validate on; default: %(default)s")
    parser.add_argument("--new", type=int, default=8, help="frames to score; default: %(default)s")
    parser.add_argument("--work", type=Path, help="folder to keep; default: a temporary one")
    flags = parser.parse_args()
    frames = (flags.train, flags.val, flags.new)
    if flags.work:
        return 0 if print_results(run(flags.work, flags.epochs, frames)) else 1
    with tempfile.TemporaryDirectory() as work:
        return 0 if print_results(run(Path(work), flags.epochs, frames)) else 1


if __name__ == "__main__":
    sys.exit(main())
