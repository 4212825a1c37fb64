"""One run: settle what it uses, build the network, train, evaluate, export. Begin with `run`.

`resolve` is the one place where the configuration changes after the command line was parsed.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.splits import TEST_SPLIT, TRAIN_SPLIT
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.systems import shell_word
from trainer import anchor_tuning, evaluate, memory, strategy
from trainer.config import TrainConfig
from trainer.data import records, tiles
from trainer.evaluate import Evaluator
from trainer.export import saved_model, tflite_onnx
from trainer.finish import finish_run
from trainer.legacy_flags import DatasetExpectations, check_expectations
from trainer.loop.plan import has_steps_left
from trainer.loop.train import TrainingRun
from trainer.network.build import Network, build_network

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ResolvedRun:
    """What a run uses.

    Attributes:
      config: With the folder from which records are read, and with the network's anchors.
      manifest: Of these records.
      devices: Where all hosts train together.
      source_config: As config, with the folder of the data set itself; differs with --tile.
      source_manifest: Of the data set itself.
    """

    config: TrainConfig
    manifest: DatasetManifest
    devices: tf.distribute.Strategy
    source_config: TrainConfig
    source_manifest: DatasetManifest


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network on some devices, with the evaluator of the run's split; None if the mode does not evaluate."""

    network: Network
    devices: tf.distribute.Strategy
    evaluator: Evaluator | None


def run(config: TrainConfig, expectations: DatasetExpectations | None, argv: Sequence[str] = ()) -> None:
    """Train, evaluate and export, depending on the mode.

    Args:
      config: From the command line.
      expectations: What an old command line states about the data set; None for a command line of this trainer.
      argv: The command line, for the command that is shown at the end.

    Raises:
      UsageError: The request cannot be carried out.
      PreemptedError: SIGTERM stopped the training; a checkpoint was saved.
    """
    resolved = resolve(config, expectations)
    config, devices = resolved.config, resolved.devices
    # The evaluator shares the network: evaluations on the way see the weights of the moment.
    model = build(resolved, devices)
    _log_start(resolved, model.network)
    if config.run.trains:
        # A finished run that is started again trains no step: it is only evaluated and exported.
        if has_steps_left(config, resolved.manifest):
            _LOGGER.info("%s", memory.check_step_memory(config, model.network, devices))
        TrainingRun(config, resolved.manifest, model.network, devices, model.evaluator).run()
    if config.run.mode != "train" and strategy.is_chief(devices):
        if strategy.has_hosts(devices):  # they train together; the chief evaluates and exports alone
            model = build(resolved, strategy.one_device())
        finish_run(resolved.source_config, resolved.source_manifest, model.network, model.evaluator, model.devices)
        for line in _describe_test_split(resolved, argv):
            _LOGGER.info("%s", line)
    strategy.any_host(devices, False)  # waits: a host that exits early would end the others


def resolve(config: TrainConfig, expectations: DatasetExpectations | None) -> ResolvedRun:
    """Settle what a run uses, and find faults that would otherwise surface after hours of training.

    Raises:
      UsageError: The request cannot be carried out.
    """
    config = locate_dataset(config)
    manifest = read_manifest(config, expectations)
    check_outputs(config, manifest)
    # The order matters: hosts must be connected before the first operation of TensorFlow, and anchors read records.
    devices = strategy.make_strategy(
        use_tpu=config.run.use_tpu,
        tpu=config.run.tpu,
        hosts=config.run.hosts(),
        task_index=config.run.task_index,
        runtime=config.run.runtime,
    )
    # Hosts may share the folder: one of them writes, the others are silent.
    if strategy.is_chief(devices):
        files.make_folder(config.run.model_dir, flag="--model_dir")
    else:
        _LOGGER.info("progress is logged on host %s only", config.run.hosts()[0])
        logging.getLogger("trainer").setLevel(logging.WARNING)
    tiled, tiled_manifest = _cut_tiles(config, manifest, devices) if config.data.tile else (config, manifest)
    tiled = anchor_tuning.resolve_anchors(tiled, tiled_manifest)
    return ResolvedRun(
        config=tiled,
        manifest=tiled_manifest,
        devices=devices,
        source_config=tiled.replace(dataset=config.data.dataset),
        source_manifest=manifest,
    )


def _cut_tiles(
    config: TrainConfig, manifest: DatasetManifest, devices: tf.distribute.Strategy
) -> tuple[TrainConfig, DatasetManifest]:
    """Cut the splits that the mode reads into tiles; return the configuration and the manifest of these."""
    run, chosen = config.run, []
    if run.trains:
        chosen.append(TRAIN_SPLIT)
    if run.evaluates:
        chosen.append(config.evaluation.eval_split)
    splits = list(dict.fromkeys(chosen))  # --eval_split may be train
    if side := manifest.options.get("max_side"):
        _LOGGER.warning(
            "warning: --tile: the data set was prepared with --max_side=%s: images that score sees are larger", side
        )
    if strategy.is_chief(devices):
        tiles.cut_splits(config, manifest, splits)
    strategy.any_host(devices, False)  # waits: the other hosts read what the chief has written
    folder = tiles.tile_folder(config, manifest)
    return config.replace(dataset=folder), tiles.read_tiles(folder, manifest, splits)


def locate_dataset(config: TrainConfig) -> TrainConfig:
    """Return the configuration with the folder from which the data set is read, and check that both folders are given.

    Raises:
      UsageError: One is missing, or is not accessible.
    """
    for name in ("dataset", "model_dir"):
        if not config.to_json()[name]:
            raise UsageError(f"--{name}: required, see --help")
    if config.uses_gcs or config.data.local_copy:
        # Google's client takes part of a second to import: only runs with such a path wait for it.
        from trainer import gcs

        return gcs.resolve_dataset_location(config)
    return config


def read_manifest(config: TrainConfig, expectations: DatasetExpectations | None) -> DatasetManifest:
    """Read the manifest of the data set, and compare it with the command line.

    Raises:
      UsageError: There is none, or it contradicts the command line.
    """
    try:
        manifest = records.read_dataset_manifest(config.data.dataset)
    except ContractError as error:
        if expectations is None or not expectations.patterns:
            raise
        # Records of another tool have no manifest, and it can be made only from the images.
        raise UsageError(
            f"{error}, where the file patterns point; create one from the images and their annotations:"
            " python -m beam_jobs prepare"
        ) from error
    if expectations is not None:
        check_expectations(expectations, manifest)
    if config.data.num_classes not in (0, manifest.num_classes):
        raise UsageError(
            f"num_classes={config.data.num_classes}, but the largest id of the data set's label map is"
            f" {manifest.num_classes}, background not counted: leave it out"
        )
    # Tiles are squares, whatever the images are.
    return dataclasses.replace(manifest, aspect_ratio_min=1.0, aspect_ratio_max=1.0) if config.data.tile else manifest


def check_outputs(config: TrainConfig, manifest: DatasetManifest) -> None:
    """Check that a run can evaluate and write what its mode asks for.

    Raises:
      UsageError: It would choose on the test split, or replace files of others; or a package is missing.
      ContractError: The split to evaluate is empty.
    """
    # Weights and thresholds are chosen on the split of these modes: it would no longer tell how good the model is.
    if evaluate.is_test(config) and config.run.mode != "eval":
        raise UsageError(
            f"--eval_split={TEST_SPLIT}: expected --mode=eval; to train or export, evaluate on another split, such as"
            " val: nothing is chosen on the test split"
        )
    if config.run.evaluates:
        manifest.split(config.evaluation.eval_split)  # raises if it is empty
    if config.run.exports:
        saved_model.check_folder(config.run.folder)
        tflite_onnx.check_installed(config.evaluation.portable_formats())


def build(resolved: ResolvedRun, devices: tf.distribute.Strategy) -> Model:
    """Build the network, with fresh weights, and its evaluator on some devices."""
    config, manifest = resolved.config, resolved.manifest
    with devices.scope():
        # Under the scope of the strategy, which decides where variables are placed.
        network = build_network(config, manifest, replicas=strategy.count_replicas(devices, config.run.runtime))
    # Of the data set, whichever of its splits this mode has cut into tiles.
    origin = {**network.origin, "dataset_fingerprint": resolved.source_manifest.fingerprint}
    network = dataclasses.replace(network, origin=origin)
    evaluator = evaluate.make_evaluator(config, manifest, network, devices) if config.run.evaluates else None
    return Model(network=network, devices=devices, evaluator=evaluator)


def _describe_test_split(resolved: ResolvedRun, argv: Sequence[str]) -> Iterator[str]:
    """Yield a line on the test split at the end of a training that ends with an export, if there is one."""
    config, split = resolved.config, resolved.source_manifest.splits.get(TEST_SPLIT)
    if not (config.run.trains and config.run.exports and split and split.examples):
        return
    kept = [word for word in argv if not word.lstrip("-").startswith(("mode=", "eval_split="))]
    command = " ".join(map(shell_word, ["python", "-m", "trainer", *kept, "--mode=eval", f"--eval_split={TEST_SPLIT}"]))
    yield (
        f"split {TEST_SPLIT} ({split.examples} images) took no part in this; evaluate on it once, when you have chosen"
        f" this model: {command}"
    )


def _log_start(resolved: ResolvedRun, network: Network) -> None:
    config, manifest, devices = resolved.config, resolved.manifest, resolved.devices
    sizes = ", ".join(f"{name} {split.examples}" for name, split in manifest.splits.items())
    kind = f"tiles of {config.data.tile} px" if config.data.tile else "images"
    folder = resolved.source_config.data.dataset
    _LOGGER.info("data set: %s (%s: %s; classes: %d)", folder, kind, sizes, manifest.num_classes)
    training = manifest.splits.get("train")
    if config.run.trains and training and training.examples and not training.boxes:
        _LOGGER.warning("warning: split 'train' has no objects, only negative images: the model learns to find nothing")
    _LOGGER.info(
        "model: %s backbone, canvas %dx%d (height x width), %d anchors, %.2f M parameters, %s",
        config.network.backbone,
        *network.canvas,
        len(network.anchors),
        network.model.count_params() / 1e6,
        strategy.describe_replicas(devices, config.run.runtime),
    )
