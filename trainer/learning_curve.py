"""--mode=learning_curve: the same training on more and more images, and what still more would bring.

Begin with `run_learning_curve`. The training on n images has a folder of its own, MODEL_DIR/learning_curve/images-n: a
model folder like any other, with the evaluation of its last weights, and the records of its images in ``dataset``.
``point.json``, which is written last, keeps its row of the curve, so that a finished point is not trained again.
"""

import dataclasses
import functools
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import keras

from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.dataset.manifest import DatasetManifest, SplitInfo
from retinanet_odm.dataset.splits import DEPLOYMENT, TRAIN_SPLIT, GroupRule
from retinanet_odm.dataset.subsets import RULE, nested_order
from retinanet_odm.errors import UsageError
from retinanet_odm.evaluation.breakdown import name_groups
from retinanet_odm.evaluation.learning_curve import judge_curve
from retinanet_odm.reports.learning_curve_page import learning_curve_report
from retinanet_odm.storage import files
from retinanet_odm.wording import plural
from trainer import run, subsets
from trainer.config import TrainConfig
from trainer.data import records
from trainer.legacy_flags import DatasetExpectations
from trainer.loop.plan import count_steps
from trainer.subsets import Train

_LOGGER = logging.getLogger(__name__)
FILE, PAGE = "learning_curve.json", "learning_curve.html"
_SCHEMA_VERSION = 1
_POINT = "point.json"


def run_learning_curve(
    config: TrainConfig, expectations: DatasetExpectations | None, *, train: Train | None = None
) -> None:
    """Train and evaluate on each number of images; write learning_curve.json and its page after each.

    Args:
      config: From the command line.
      expectations: What an old command line states about the data set; None for a command line of this trainer.
      train: Carries out a run of a mode (`trainer.run.run`); replaced in tests.

    Raises:
      UsageError: The request cannot be carried out, or a folder holds a training on other images.
      PreemptedError: SIGTERM stopped a training; a checkpoint was saved.
    """
    if config.run.hosts():
        raise UsageError("--mode=learning_curve: trains one point after another on one machine: remove --worker_hosts")
    config = run.locate_dataset(config)
    manifest = run.read_manifest(config, expectations)
    run.check_outputs(config, manifest)
    files.make_folder(config.run.model_dir, flag="--model_dir")
    numbers = _numbers(config, manifest)
    names = list(subsets.image_digests(config, manifest))
    groups = _groups(manifest, names)
    order = nested_order(names, groups)
    points: list[dict[str, Any]] = []
    for row, images in enumerate(numbers):
        _LOGGER.info("learning curve: %d images (point %d of %d)", images, row + 1, len(numbers))
        chosen = order[:images]
        point = _Point(config, manifest, [names[index] for index in chosen], len({groups[index] for index in chosen}))
        points.append(point.run(train or (lambda settings: run.run(settings, None))))
        _write(config, manifest, points, numbers[row + 1 :])
    _LOGGER.info("%s", judge_curve(points, held_out=manifest.split(config.evaluation.eval_split).examples).text)
    _LOGGER.info("learning curve: %s/%s", config.run.folder, PAGE)


def _numbers(config: TrainConfig, manifest: DatasetManifest) -> list[int]:
    """Return the numbers of images, rising; the last is that of all."""
    total = manifest.split(TRAIN_SPLIT).examples
    given = config.run.curve_image_numbers()
    if beyond := [str(number) for number in given if number >= total]:
        _LOGGER.info("note: --curve_images: split 'train' has %d images, so %s is left out", total, ", ".join(beyond))
    return [*(number for number in given if number < total), total]


def _groups(manifest: DatasetManifest, names: Sequence[str]) -> tuple[str, ...]:
    """Return the group of each training image: that of its split, or its deployment."""
    rule, deployments = manifest.options.get("split_group"), manifest.options.get("deployment", "")
    return name_groups(tuple(names), GroupRule(rule or DEPLOYMENT, DeploymentRule(deployments or "")))


class _Point:
    """A training on some of the images.

    Args:
      config: Of the curve.
      manifest: Of the data set.
      names: Of the images to train on.
      groups: Number of deployments or split groups among them.
    """

    def __init__(self, config: TrainConfig, manifest: DatasetManifest, names: Sequence[str], groups: int) -> None:
        self._config, self._manifest, self._names, self._groups = config, manifest, names, groups
        self._name = f"learning_curve/images-{len(names)}"
        self._folder = f"{config.run.folder}/{self._name}"

    def run(self, train: Train) -> dict[str, Any]:
        """Train and evaluate, or read what an earlier run has written; return the point of learning_curve.json."""
        request = self._request()
        path = f"{self._folder}/{_POINT}"
        if files.is_file(path) and (there := files.read_json(path))["request"] == request:
            _LOGGER.info("%s is finished, and is left as it is", self._folder)
            return dict(there["point"])
        files.make_folder(self._folder, flag="--model_dir")
        dataset, subset = self._make_dataset()
        subsets.check_checkpoints(self._folder, subset)
        split = records.find_split(dataset, subset, TRAIN_SPLIT)
        # As many steps as on all images: at least, because a run has whole epochs.
        epochs = -(-self._steps * self._config.schedule.train_batch_size // split.examples)
        own = self._config.replace(
            mode="train", model_dir=self._folder, dataset=dataset, local_copy="", num_epochs=epochs
        )
        train(own)
        # The last weights: the best ones would be chosen on the images that judge them.
        train(self._config.replace(mode="eval", model_dir=self._folder, weights="last"))
        keras.backend.clear_session()
        point = self._describe(subset.splits[TRAIN_SPLIT])
        files.write_text(path, json.dumps({"request": request, "point": point}, indent=2, ensure_ascii=False) + "\n")
        return point

    @functools.cached_property
    def _steps(self) -> int:
        config = self._config
        return count_steps(config, records.find_split(config.data.dataset, self._manifest, TRAIN_SPLIT))

    def _request(self) -> dict[str, Any]:
        """Return what decides the numbers of the point."""
        # The number of steps stands for the number of epochs.
        request = subsets.describe_request(self._config, self._manifest, self._names, without=("num_epochs",))
        return {**request, "steps": self._steps}

    def _make_dataset(self) -> tuple[str, DatasetManifest]:
        """Write the records of the images as a data set with a training split alone; return its folder and manifest.

        All images are the data set itself.
        """
        config, manifest = self._config, self._manifest
        if len(self._names) == manifest.split(TRAIN_SPLIT).examples:
            return config.data.dataset, manifest
        folder = f"{self._folder}/dataset"
        return folder, subsets.write_subset(config, manifest, folder, {TRAIN_SPLIT: self._names})

    def _describe(self, split: SplitInfo) -> dict[str, Any]:
        metrics = files.read_json(f"{self._folder}/eval.json")
        # The last interval is over groups of images where there are enough of them.
        interval = metrics["intervals"][-1] if metrics.get("intervals") else None
        return {
            "images": split.examples,
            "groups": self._groups,
            "boxes": split.boxes,
            "boxes_per_class": split.boxes_per_class,
            "steps": metrics["step"],
            "AP": metrics["AP"],
            "AP50": metrics["AP50"],
            "interval": interval and {name: interval[name] for name in ("over", "units", "AP", "AP50")},
            "folder": self._name,
        }


def _write(
    config: TrainConfig, manifest: DatasetManifest, points: Sequence[dict[str, Any]], missing: Sequence[int]
) -> None:
    split = config.evaluation.eval_split
    held_out = manifest.split(split).examples
    curve = {
        "schema_version": _SCHEMA_VERSION,
        "split": split,
        "held_out_images": held_out,
        **({"tile": config.data.tiles} if config.data.tile else {}),
        "dataset_fingerprint": manifest.fingerprint,
        "rule": RULE,
        "points": list(points),
        "missing": list(missing),
        "outlook": dataclasses.asdict(judge_curve(points, held_out=held_out)),
    }
    about = (
        datetime.now(UTC).strftime("%Y-%m-%d"),
        f"folder {config.run.model_dir}",
        f"data set {config.data.dataset}, {held_out:,} {plural('image', held_out)} of split {split}",
    )
    # The order matters: the file for programs is written when the page is there.
    files.write_text(f"{config.run.folder}/{PAGE}", learning_curve_report(curve, about=about))
    files.write_text(f"{config.run.folder}/{FILE}", json.dumps(curve, indent=2, ensure_ascii=False) + "\n")
