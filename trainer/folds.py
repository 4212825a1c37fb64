"""--mode=folds: detections of every training image by a model that has not seen it.

Begin with `run_folds`. The training images are divided into folds; for each, a model is trained on the other folds, and
then finds the objects of this one. The training of fold k has a folder of its own, MODEL_DIR/folds/fold-k, with
``fold.json``, written last, so that a finished fold is not trained again. MODEL_DIR/folds/predictions holds the rows of
all folds, as `inference score` writes them: for `inference label_errors` and `inference evaluate`.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

import retinanet_odm
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.splits import TRAIN_SPLIT, GroupRule
from retinanet_odm.dataset.subsets import assign_folds, join_groups
from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import class_thresholds
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE, finished_files
from retinanet_odm.predictions.rows import Detection, PredictionRow
from retinanet_odm.storage import files
from trainer import run, subsets
from trainer.config import TrainConfig
from trainer.data import records
from trainer.finish import restore_weights
from trainer.legacy_flags import DatasetExpectations
from trainer.subsets import Train

_LOGGER = logging.getLogger(__name__)
HELD_OUT = "held_out"  # the split of a fold's data set that its model has not seen
_FOLD, _ROWS = "fold.json", "rows.jsonl"


class Detections(NamedTuple):
    """COCO entries of images, and results of these images."""

    images: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]]


Detect = Callable[[TrainConfig], Detections]


def run_folds(
    config: TrainConfig,
    expectations: DatasetExpectations | None,
    *,
    train: Train | None = None,
    detect: Detect | None = None,
) -> None:
    """Train a model without each fold, and write what it finds in that fold.

    Args:
      config: From the command line.
      expectations: What an old command line states about the data set; None for a command line of this trainer.
      train: Carries out a run of a mode (`trainer.run.run`); replaced in tests.
      detect: Runs the weights of a run on the split to evaluate; replaced in tests.

    Raises:
      UsageError: The request cannot be carried out, or a folder holds a training on other images.
      PreemptedError: SIGTERM stopped a training; a checkpoint was saved.
    """
    if config.run.hosts():
        raise UsageError("--mode=folds: trains one fold after another on one machine: remove --worker_hosts")
    if config.data.tile:
        raise UsageError("--mode=folds: finds objects in whole images: remove --tile")
    config = run.locate_dataset(config)
    manifest = run.read_manifest(config, expectations)
    run.check_outputs(config, manifest)
    images = subsets.image_digests(config, manifest)
    fold_of = _assign(config.run.folds, manifest, images)
    files.make_folder(config.run.model_dir, flag="--model_dir")
    rows, requests = [], []
    for number in range(config.run.folds):
        _LOGGER.info("fold %d of %d: %d images held out", number + 1, config.run.folds, fold_of.count(number))
        held_out = [name for name, fold in zip(images, fold_of, strict=True) if fold == number]
        seen = [name for name, fold in zip(images, fold_of, strict=True) if fold != number]
        fold = _Fold(config, manifest, f"{config.run.folder}/folds/fold-{number}", seen, held_out)
        rows += fold.run(train or (lambda settings: run.run(settings, None)), detect or _detect)
        requests.append(fold.request)
    output = f"{config.run.folder}/folds/predictions"
    _write(output, rows, _header(config, manifest, requests))
    _LOGGER.info("%d images, each scored by the model that has not seen it: %s", len(rows), output)
    _LOGGER.info("next: python -m inference label_errors %s --annotations ANNOTATIONS", output)


def _assign(folds: int, manifest: DatasetManifest, images: Mapping[str, bytes]) -> list[int]:
    """Return the fold of each image: whole groups of the split rule, if there is one, and equal images together."""
    rule, deployments = manifest.options.get("split_group"), manifest.options.get("deployment", "")
    groups = list(images)
    if rule:
        group_rule = GroupRule(rule, DeploymentRule(deployments or ""))
        groups = [group_rule.group_of(name) for name in images]
    joined = join_groups(groups, list(images.values()))
    if (found := len(set(joined))) < folds:
        kind = "groups of images that belong together" if rule else "different training images"
        raise UsageError(f"--folds={folds}: expected at least as many {kind}, found {found}")
    return assign_folds(joined, folds)


class _Fold:
    """The training without a fold.

    Args:
      config: Of all folds.
      manifest: Of the data set.
      folder: Of the training.
      seen, held_out: Names of the images that it is trained on, and of those that it is not.
    """

    def __init__(
        self, config: TrainConfig, manifest: DatasetManifest, folder: str, seen: Sequence[str], held_out: Sequence[str]
    ) -> None:
        self._config, self._manifest, self._folder = config, manifest, folder
        self._seen, self._held_out = seen, held_out
        self.request = subsets.describe_request(config, manifest, seen)

    def run(self, train: Train, detect: Detect) -> list[PredictionRow]:
        """Train and detect, or read what an earlier run has written; return the rows of the held-out images."""
        path, rows_path = f"{self._folder}/{_FOLD}", f"{self._folder}/{_ROWS}"
        if files.is_file(path) and files.read_json(path) == {**self.request, "rows": files.find_digest(rows_path)}:
            _LOGGER.info("%s is finished, and is left as it is", self._folder)
            lines = files.read_bytes(rows_path).splitlines()
            return [PredictionRow.from_json(line, source=rows_path) for line in lines]
        dataset = f"{self._folder}/dataset"
        parts = {TRAIN_SPLIT: self._seen, HELD_OUT: self._held_out}
        subset = subsets.write_subset(self._config, self._manifest, dataset, parts)
        subsets.check_checkpoints(self._folder, subset)
        own = self._config.replace(model_dir=self._folder, dataset=dataset, local_copy="")
        train(own.replace(mode="train"))
        # The last weights: the best ones would be chosen on the images that they are to judge.
        found = detect(own.replace(mode="eval", weights="last", eval_split=HELD_OUT))
        keras.backend.clear_session()
        rows = _to_rows(found, self._manifest)
        files.write_text(rows_path, "".join(f"{row.to_json()}\n" for row in rows))
        # Last: it marks a finished fold.
        done = {**self.request, "rows": files.find_digest(rows_path)}
        files.write_text(path, json.dumps(done, indent=2, ensure_ascii=False) + "\n")
        return rows


def _detect(config: TrainConfig) -> Detections:
    """Run the trained weights on the images of the split to evaluate."""
    resolved = run.resolve(config, None)
    model = run.build(resolved, resolved.devices)
    assert model.evaluator is not None  # of a mode that evaluates  # noqa: S101
    restore_weights(resolved.config, model.network, resolved.devices)
    with records.reading_shards(model.evaluator.split.paths):
        return Detections(model.evaluator.ground_truth["images"], model.evaluator.detect())


def _to_rows(found: Detections, manifest: DatasetManifest) -> list[PredictionRow]:
    by_image: dict[int, list[Mapping[str, Any]]] = {entry["id"]: [] for entry in found.images}
    for result in found.results:
        by_image[result["image_id"]].append(result)
    return [
        PredictionRow(
            image=entry["file_name"],
            width=entry["width"],
            height=entry["height"],
            detections=tuple(_to_detection(result, manifest) for result in by_image[entry["id"]]),
        )
        for entry in sorted(found.images, key=lambda entry: str(entry["file_name"]))
    ]


def _to_detection(result: Mapping[str, Any], manifest: DatasetManifest) -> Detection:
    x, y, width, height = result["bbox"]
    label_id = result["category_id"]
    box = (x, y, x + width, y + height)
    return Detection(
        label=manifest.labels.name_by_id[label_id], label_id=label_id, score=float(result["score"]), box=box
    )


def _header(config: TrainConfig, manifest: DatasetManifest, requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries of summary.json besides counts and files."""
    settings = config.evaluation
    classes = class_thresholds(manifest.labels.name_by_id.values(), {}, settings.score_threshold)
    split = records.find_split(config.data.dataset, manifest, TRAIN_SPLIT)
    images = list(split.paths)
    return {
        # Several models: what they were trained on and how stands for their weights.
        "model_hash": hashlib.sha256(json.dumps(requests, sort_keys=True).encode()).hexdigest(),
        "labels": manifest.labels.to_json(),
        "thresholds": {
            "score": settings.score_threshold,
            "nms_iou": settings.nms_iou,
            "classes": classes,
            "from": "default",
            "best": {},
        },
        "max_detections": settings.max_detections,
        "tiling": None,
        "code_version": retinanet_odm.__version__,
        "model": {"folds": config.run.folds},
        "options": {"images": images},
        "sources": [{"images": images, "passed_over": {}}],
        "passed_over": {},
    }


def _write(output: str, rows: Sequence[PredictionRow], header: Mapping[str, Any]) -> None:
    """Write the rows of all folds, unless they are there: files that were derived from them stay valid."""
    contents = finished_files(rows, header)
    shards = {name: content for name, content in contents.items() if name.endswith(".jsonl")}
    if all(
        files.find_digest(files.join(output, name)) == hashlib.sha256(content).hexdigest()
        for name, content in shards.items()
    ) and files.is_file(files.join(output, SUMMARY_FILE)):
        return
    files.make_folder(output, flag="--model_dir")
    files.delete([files.join(output, SUMMARY_FILE)])  # first, so that other rows never look complete
    for name, content in contents.items():
        files.write_pieces(files.join(output, name), [content])
