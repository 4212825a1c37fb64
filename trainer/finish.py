"""Evaluates and exports the trained weights of a run: its last steps. Begin with `finish_run`."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, NamedTuple

import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.evaluation.coco_metrics import describe_limit
from retinanet_odm.evaluation.intervals import describe_few_images
from retinanet_odm.exported_model import ModelManifest, class_thresholds
from retinanet_odm.reports.evaluation_page import evaluation_report
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import parent_folder
from retinanet_odm.systems import shell_word
from trainer import evaluate
from trainer.config import TrainConfig
from trainer.evaluate import Evaluator
from trainer.export import saved_model
from trainer.loop import schedule
from trainer.loop.limits import summarise_training
from trainer.network.build import Network
from trainer.weights.checkpoints import Best, Checkpoints, newest_run_state

_LOGGER = logging.getLogger(__name__)


def finish_run(
    config: TrainConfig,
    manifest: DatasetManifest,
    network: Network,
    evaluator: Evaluator | None,
    devices: tf.distribute.Strategy,
) -> None:
    """Evaluate and export the trained weights, depending on the mode.

    Args:
      config: Of the run.
      manifest: Of the data set itself, not of its tiles.
      network: Takes the weights.
      evaluator: Of the network; None if the mode does not evaluate.
      devices: Of the network.

    Raises:
      UsageError: There are no weights.
    """
    folder = config.run.folder
    step = restore_weights(config, network, devices)
    if not step:
        is_export = files.is_file(files.join(folder, ModelManifest.FILE))
        hint = f"did you mean {parent_folder(folder)}, without its export?" if is_export else "train first"
        raise UsageError(f"--model_dir: no checkpoint in {config.run.model_dir}: {hint}")
    # An export alone does not evaluate; it takes the metrics if eval.json is of the same weights.
    metrics = evaluate.stored_metrics(f"{folder}/eval.json", step) if config.run.mode == "export" else {}
    if evaluator:
        given = _given_thresholds(config, manifest, step) if evaluate.is_test(config) else None
        evaluation = evaluator.full(given and given.by_name)
        tiles = {"tile": config.data.tiles} if config.data.tile else {}
        metrics = {"step": step, **tiles, **evaluation.metrics, **({"thresholds_from": given.origin} if given else {})}
        # The order matters: eval.json is read by later exports, so it is written when the page is there.
        page = evaluation_report(metrics, evaluation.gallery, about=_describe_evaluation(config, step))
        path = evaluate.eval_path(config)
        files.write_text(f"{path}.html", page)
        files.write_text(f"{path}.json", json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
        _log_metrics(config, metrics)
    if config.run.exports:
        last_step, stored = newest_run_state(f"{folder}/checkpoints")
        training = summarise_training(stored, last_step)
        exported = saved_model.export_model(
            config, manifest, network, metrics=metrics, step=step, devices=devices, training=training
        )
        _LOGGER.info("model: %s", exported)
        _LOGGER.info(
            "next: python -m inference score --images IMAGES --model %s --output OUT --formats=counts,report",
            shell_word(exported),
        )


class _GivenThresholds(NamedTuple):
    by_name: dict[str, float]
    origin: str  # as `thresholds_from` of inference.evaluate


def _given_thresholds(config: TrainConfig, manifest: DatasetManifest, step: int) -> _GivenThresholds:
    """Return the thresholds of the model, for the test split, on which none may be chosen."""
    folder = config.run.folder
    found = evaluate.stored_metrics(f"{folder}/eval.json", step).get("thresholds", {})
    if not found:
        _LOGGER.warning(
            "warning: %s/eval.json has no thresholds of step %d: those of a model without an evaluation are used",
            folder,
            step,
        )
    names = manifest.labels.name_by_id.values()
    by_name = class_thresholds(names, found, config.evaluation.score_threshold)
    return _GivenThresholds(by_name, "eval.json" if found else "default")


def _describe_evaluation(config: TrainConfig, step: int) -> tuple[str, ...]:
    """Name the date, the model and the data, for the head of the page."""
    tile = config.data.tile
    return (
        datetime.now(UTC).strftime("%Y-%m-%d"),
        f"model {config.run.model_dir}, step {step:,}",
        f"data set {config.data.dataset}, split {config.evaluation.eval_split}",
        *([f"each image on this page is a tile of {tile} px of an image of the split"] if tile else []),
    )


def restore_weights(config: TrainConfig, network: Network, devices: tf.distribute.Strategy) -> int:
    """Restore the weights to evaluate and export; return their step, or 0 if there are none.

    These are the best weights of all evaluations in training. With --weights=last, or if there was no evaluation, they
    are the last ones; with --ema_decay their moving averages.
    """
    folder = config.run.model_dir
    is_best = config.evaluation.weights == "best"
    step = Best(folder, network, split=config.evaluation.eval_split).restore() if is_best else 0
    if step:
        _LOGGER.info("weights of step %d, the best in an evaluation on the way", step)
        return step
    if not config.schedule.ema_decay:
        return Checkpoints(folder, network).restore()
    with devices.scope():
        # The averages are variables of the optimizer, so it must be restored with the model.
        optimizer, rate_factor = schedule.build_optimizer(config.schedule, network.model, total_steps=1)
        step = Checkpoints(folder, network, optimizer, rate_factor=rate_factor).restore()
        optimizer.finalize_variable_values(network.model.trainable_variables)
    return step


def _log_metrics(config: TrainConfig, metrics: dict[str, Any]) -> None:
    split, images, tile = config.evaluation.eval_split, metrics["images"], config.data.tile
    kind = f"tiles of {tile} px (per tile, not per image)" if tile else "images"
    _LOGGER.info("%s: %d %s  AP50 %s  AP %s", split, images, kind, _digits(metrics["AP50"]), _digits(metrics["AP"]))
    for name, values in metrics["per_class"].items():
        average, boxes = _digits(values["AP50"]), values["ground_truth"]
        _LOGGER.info("  AP50 %s  AP %s  %5d boxes  %s", average, _digits(values["AP"]), boxes, name)
    for line in (*describe_few_images(metrics), *describe_limit(metrics)):
        _LOGGER.info("%s", line)
    _LOGGER.info("evaluation: %s.html", evaluate.eval_path(config))


def _digits(value: float | None) -> str:
    return "  -  " if value is None else f"{value:.3f}"
