"""Trains RetinaNet on a prepared data set, evaluates it and exports a SavedModel.

On a CPU, from random weights, in minutes:

  python -m trainer --mode=train_and_eval --preset=tiny --dataset=DATASET --model_dir=MODEL

On a TPU VM (tensorflow-tpu installed):

  python -m trainer --mode=train_and_eval --preset=retinanet_r50 --use_tpu \\
      --dataset=gs://BUCKET/dataset --model_dir=gs://BUCKET/model

MODEL holds checkpoints/, tensorboard/, eval.json, eval.html and export/ (SavedModel and model.json). A run that was
stopped goes on from its newest checkpoint when started again with the same --model_dir.
"""

import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from detection.errors import UsageError
from detection.report import evaluation_report
from trainer.config import TrainConfig
from trainer.flags import help_text, parse_config
from trainer.stop import Stopped

if TYPE_CHECKING:
    import tensorflow as tf

    from detection.manifests import DatasetManifest
    from trainer.network import Network

_LOGGER = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trainer; returns the exit status: 0, also after SIGTERM; 2 for a bad request; 130 for Ctrl-C."""
    arguments = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\nflags (default; preset):\n{help_text()}")  # noqa: T201 - help goes to standard output
        return 0
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("trainer").setLevel(logging.INFO)
    try:
        run(parse_config(arguments))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except Stopped as reason:
        print(f"{reason}: start again with the same --model_dir to go on", file=sys.stderr)  # noqa: T201
    except KeyboardInterrupt:
        print("interrupted: start again with the same --model_dir to go on", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def run(config: TrainConfig) -> None:
    """Does what the configuration's mode says."""
    for name in ("dataset", "model_dir"):
        if not getattr(config, name):
            raise UsageError(f"--{name}: required, see --help")
    # TensorFlow's notes and warnings are about its own insides. Set before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Imported here, so that --help and a bad flag answer at once.
    from trainer import checkpoints, evaluate, export, files, network, records, strategy, train

    manifest = records.read_manifest(config.dataset)
    if config.mode in ("eval", "train_and_eval"):
        manifest.split(config.eval_split)  # an empty one must not come to light after hours of training
    if config.mode in ("export", "train_and_eval"):
        export.check_folder(config.model_dir)
    files.make_folder(config.model_dir)
    where = strategy.make_strategy(use_tpu=config.use_tpu, tpu=config.tpu)
    with where.scope():
        net = network.build_network(config, manifest)
    _announce(config, manifest, net, where)
    if config.mode in ("train", "train_and_eval"):
        step = train.train(config, manifest, net, where)
    else:
        step = checkpoints.Checkpoints(config.model_dir, net).restore()
        if not step:
            raise UsageError(f"--model_dir: no checkpoint in {config.model_dir}: train first")
    if config.mode == "train":
        return
    folder = config.model_dir.rstrip("/")
    metrics = evaluate.stored_metrics(f"{folder}/eval.json", step) if config.mode == "export" else {}
    if config.mode in ("eval", "train_and_eval"):
        evaluation = evaluate.evaluate(config, manifest, net, where)
        metrics = {"step": step, **evaluation.metrics}
        files.write_text(f"{folder}/eval.html", evaluation_report(metrics, evaluation.gallery))
        files.write_text(f"{folder}/eval.json", json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
        _log_metrics(config, metrics)
    if config.mode in ("export", "train_and_eval"):
        exported = export.export_model(config, manifest, net, metrics=metrics, step=step)
        _LOGGER.info("model: %s", exported)
        _LOGGER.info("next: python -m inference score --images IMAGES --model %s --output OUT", shlex.quote(exported))


def _announce(
    config: TrainConfig, manifest: "DatasetManifest", net: "Network", where: "tf.distribute.Strategy"
) -> None:
    sizes = ", ".join(f"{name} {split.examples}" for name, split in manifest.splits.items())
    _LOGGER.info("data set: %s (images: %s; classes: %d)", config.dataset, sizes, manifest.num_classes)
    _LOGGER.info(
        "model: %s backbone, canvas %dx%d (height x width), %d anchors, %.2f M parameters, %d replica(s) of %s",
        config.backbone,
        *net.canvas,
        len(net.anchors),
        net.model.count_params() / 1e6,
        where.num_replicas_in_sync,
        type(where).__name__,
    )


def _log_metrics(config: TrainConfig, metrics: dict[str, Any]) -> None:
    def shown(value: float | None) -> str:
        return "  -  " if value is None else f"{value:.3f}"

    _LOGGER.info(
        "%s: %d images  AP50 %s  AP %s",
        config.eval_split,
        metrics["images"],
        shown(metrics["AP50"]),
        shown(metrics["AP"]),
    )
    for name, values in metrics["per_class"].items():
        _LOGGER.info(
            "  AP50 %s  AP %s  %5d boxes  %s", shown(values["AP50"]), shown(values["AP"]), values["ground_truth"], name
        )
    _LOGGER.info("evaluation: %s/eval.html", config.model_dir.rstrip("/"))
