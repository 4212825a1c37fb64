"""Trains RetinaNet on a prepared data set, evaluates it and exports a SavedModel.

On a CPU, from random weights, in minutes:

  python -m trainer --mode=train_and_eval --preset=tiny --dataset=DATASET --model_dir=MODEL

On a TPU VM (tensorflow-tpu installed):

  python -m trainer --mode=train_and_eval --preset=retinanet_r50 --use_tpu \\
      --dataset=gs://BUCKET/dataset --model_dir=gs://BUCKET/model

A command line of tensorflow/tpu's retinanet_main.py is understood too (trainer.legacy_flags). Before a long run:

  python -m trainer --mode=doctor --dataset=DATASET --model_dir=MODEL

MODEL holds checkpoints/, tensorboard/, eval.json, eval.html and export/ (SavedModel and model.json). A run that was
stopped goes on from its newest checkpoint when started again with the same --model_dir.
"""

import json
import logging
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retinanet_odm.cli.program import Ending, explain_request, run_main
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.reports.evaluation_page import evaluation_report
from trainer import gcs
from trainer.config import TrainConfig
from trainer.flags import TrainRequest, help_text, parse_request
from trainer.legacy_flags import DatasetExpectations, check_expectations
from trainer.loop.recovery import PreemptedError

if TYPE_CHECKING:
    import tensorflow as tf

    from retinanet_odm.dataset.manifest import DatasetManifest
    from trainer.evaluate import Evaluator
    from trainer.network.build import Network

_LOGGER = logging.getLogger(__name__)
_GOES_ON = "start again with the same --model_dir to go on"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trainer; returns the exit status (see retinanet_odm.cli.program)."""
    return run_main(_run, argv, explain=_explain)


def _run(argv: Sequence[str]) -> int:
    if {"-h", "--help"} & set(argv):
        print(f"{__doc__}\nflags (default; preset):\n{help_text()}")  # noqa: T201 - help goes to standard output
        return 0
    # TensorFlow's notes and warnings are about its own internals. Set before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return _carry_out(parse_request(argv, read_text=_read_text))


def _explain(error: BaseException) -> Ending | None:
    """Explains what can end a run that goes on from its last checkpoint when it is started again."""
    if isinstance(error, gcs.storage_fault_classes()):
        fault = gcs.describe_storage_fault(error)
        return Ending(status=1, line=f"error: {fault}: {_GOES_ON}") if fault else None
    if isinstance(error, PreemptedError):
        return Ending(status=0, line=f"{error}: {_GOES_ON}")
    ending = explain_request(error)
    if ending and ending.status == 130:
        return Ending(status=130, line=f"{ending.line}: {_GOES_ON}")
    return ending


def _read_text(path: str) -> str:
    from trainer import files  # here, because TensorFlow, which opens gs://, takes seconds to import

    return files.read_text_file(path)


def _carry_out(request: TrainRequest) -> int:
    for notice in request.notices:
        _LOGGER.info("note: %s", notice)
    if request.config.run.mode == "doctor":
        from trainer import doctor

        return doctor.doctor_report(request.config)
    if request.config.run.mode == "tpu_fit":
        from trainer.tpu import fit

        config = request.config
        manifest = (
            _read_manifest(config, request.claims)
            if config.data.dataset
            else fit.synthetic_manifest(config.data.num_classes)
        )
        return fit.report_fit(config, manifest)
    run(request.config, request.claims)
    return 0


def _read_manifest(config: TrainConfig, claims: DatasetExpectations) -> "DatasetManifest":
    from trainer.data import records

    try:
        manifest = records.read_dataset_manifest(config.data.dataset)
    except ContractError as error:
        if not claims.patterns:
            raise
        # Records of another tool have no manifest, and nothing but the photographs can make one.
        raise UsageError(
            f"{error}, where the file patterns point; make one from the photographs and their annotations:"
            " python -m beam_jobs prepare"
        ) from error
    check_expectations(claims, manifest)
    if config.data.num_classes not in (0, manifest.num_classes):
        raise UsageError(
            f"num_classes={config.data.num_classes}, but the largest id of the data set's label map is"
            f" {manifest.num_classes}, background not counted: leave it out"
        )
    return manifest


def run(config: TrainConfig, claims: DatasetExpectations | None = None) -> None:
    """Trains, evaluates and exports, as the configuration's mode says; the claims must agree with the data set."""
    for name in ("dataset", "model_dir"):
        if not config.to_json()[name]:
            raise UsageError(f"--{name}: required, see --help")
    config = gcs.resolve_dataset_location(config)
    # Imported here, so that --help and a bad flag answer at once.
    from trainer import anchor_tuning, evaluate, files, strategy
    from trainer.export import saved_model, tflite_onnx
    from trainer.loop import train
    from trainer.network import build

    manifest = _read_manifest(config, claims or DatasetExpectations())
    if config.run.mode in ("eval", "train_and_eval"):
        manifest.split(config.evaluation.eval_split)  # an empty one must not come to light after hours of training
    if config.run.mode in ("export", "train_and_eval"):
        saved_model.check_folder(config.run.model_dir)
        tflite_onnx.check_installed(config.evaluation.portable_formats())
    where = strategy.make_strategy(
        use_tpu=config.run.use_tpu, tpu=config.run.tpu, hosts=config.run.hosts(), task_index=config.run.task_index
    )
    chief = strategy.is_chief(where)
    if chief:
        files.make_model_folder(config.run.model_dir)
    else:
        _LOGGER.info("the host %s tells how it goes", config.run.hosts()[0])
        logging.getLogger("trainer").setLevel(logging.WARNING)
    config = anchor_tuning.resolve_anchors(config, manifest)
    with where.scope():
        net = build.build_network(config, manifest)
    _announce(config, manifest, net, where)
    evaluates = config.run.mode in ("eval", "train_and_eval")
    evaluator = evaluate.make_evaluator(config, manifest, net, where) if evaluates else None
    if config.run.mode in ("train", "train_and_eval"):
        train.train(config, manifest, net, where, evaluator)
    if config.run.mode != "train" and chief:
        if strategy.has_hosts(where):  # they train together, and one of them does the rest alone
            alone = strategy.one_device()
            with alone.scope():
                net = build.build_network(config, manifest)
            evaluator = evaluate.make_evaluator(config, manifest, net, alone) if evaluates else None
            _finish(config, manifest, net, alone, evaluator)
        else:
            _finish(config, manifest, net, where, evaluator)
    strategy.any_host(where, False)  # a host that left would end the others


def _finish(
    config: TrainConfig,
    manifest: "DatasetManifest",
    net: "Network",
    where: "tf.distribute.Strategy",
    evaluator: "Evaluator | None",
) -> None:
    """Evaluates and exports what has been trained, as the configuration's mode says."""
    from trainer import evaluate, files
    from trainer.export import saved_model
    from trainer.loop import train

    step = train.restore(config, net, where)
    if not step:
        raise UsageError(f"--model_dir: no checkpoint in {config.run.model_dir}: train first")
    folder = config.run.folder
    metrics = evaluate.stored_metrics(f"{folder}/eval.json", step) if config.run.mode == "export" else {}
    if evaluator:
        evaluation = evaluator.full()
        metrics = {"step": step, **evaluation.metrics}
        files.write_text_file(f"{folder}/eval.html", evaluation_report(metrics, evaluation.gallery))
        files.write_text_file(f"{folder}/eval.json", json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
        _log_metrics(config, metrics)
    if config.run.mode in ("export", "train_and_eval"):
        exported = saved_model.export_model(config, manifest, net, metrics=metrics, step=step)
        _LOGGER.info("model: %s", exported)
        _LOGGER.info("next: python -m inference score --images IMAGES --model %s --output OUT", shlex.quote(exported))


def _announce(
    config: TrainConfig, manifest: "DatasetManifest", net: "Network", where: "tf.distribute.Strategy"
) -> None:
    sizes = ", ".join(f"{name} {split.examples}" for name, split in manifest.splits.items())
    _LOGGER.info("data set: %s (images: %s; classes: %d)", config.data.dataset, sizes, manifest.num_classes)
    _LOGGER.info(
        "model: %s backbone, canvas %dx%d (height x width), %d anchors, %.2f M parameters, %d replica(s) of %s",
        config.network.backbone,
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
        config.evaluation.eval_split,
        metrics["images"],
        shown(metrics["AP50"]),
        shown(metrics["AP"]),
    )
    for name, values in metrics["per_class"].items():
        _LOGGER.info(
            "  AP50 %s  AP %s  %5d boxes  %s", shown(values["AP50"]), shown(values["AP"]), values["ground_truth"], name
        )
    _LOGGER.info("evaluation: %s/eval.html", config.run.folder)
