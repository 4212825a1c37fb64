"""Translates command lines of tensorflow/tpu's retinanet_main.py; ignores no flag silently.

Begin with `translate_legacy_flags`. Pure: flags and hparams in; settings, notices and expectations of the data set out.
Names, defaults and meanings are those of its retinanet_main.py.
"""

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.storage.file_names import parent_folder
from trainer import legacy_hparams
from trainer.config import TrainConfig
from trainer.presets import RATE_BATCH, make_config

PRESET, RECIPE = "retinanet_r50", "legacy"  # of trainer.presets
_SCHEDULE = {"learning_rate": 0.08, "lr_warmup_epoch": 1.0, "first_lr_drop_epoch": 8.0, "second_lr_drop_epoch": 11.0}

_THIS_TPU = "the TPU is that of this machine, or the one that --tpu names"
_ONE_CORE = "a replica is one core, and no image is divided among cores"
_INPUT_THREADS = "tf.data chooses the number of its threads"
_NO_PROFILER = "there is no profiler server"
_ONE_EVALUATION = "the newest checkpoint is evaluated, once; --mode=eval does so at any time"
_NO_WARMUP_REQUESTS = "the export holds no warm-up requests"

_DROPS = ("first_lr_drop_epoch", "second_lr_drop_epoch")

# Flags without effect, and the reason.
_IGNORED = {
    "gcp_project": _THIS_TPU,
    "tpu_zone": _THIS_TPU,
    "eval_master": "the machine that trains also evaluates",
    "use_xla": "for a TPU, TensorFlow always compiles with XLA",
    "num_cores": "every core of the TPU is used",
    "num_cores_per_replica": _ONE_CORE,
    "use_spatial_partition": _ONE_CORE,
    "input_partition_dims": _ONE_CORE,
    "eval_samples": "every image of --eval_split is evaluated, once",
    "num_steps_per_eval": _ONE_EVALUATION,
    "min_eval_interval": _ONE_EVALUATION,
    "eval_timeout": _ONE_EVALUATION,
    "val_json_file": "the true boxes are those of the records",
    "start_profiler_server": _NO_PROFILER,
    "profiler_port_number": _NO_PROFILER,
    "distribution_strategy": "all GPUs that TensorFlow sees are used, mirrored, and all hosts of --worker_hosts",
    "num_gpus": "all GPUs that TensorFlow sees are used; select them with CUDA_VISIBLE_DEVICES",
    "all_reduce_alg": "TensorFlow chooses how replicas are summed",
    "dataset_private_threadpool_size": _INPUT_THREADS,
    "dataset_max_intra_op_parallelism": _INPUT_THREADS,
    "auto_mixed_precision": "--precision=mixed_bfloat16 is the 16-bit type here",
    "add_warmup_requests": _NO_WARMUP_REQUESTS,
    "model_name": _NO_WARMUP_REQUESTS,
    "inference_batch_size": "the exported model takes batches of any size",
}
_PATTERNS = ("training_file_pattern", "validation_file_pattern")
# All flags of the old tool that are not fields of TrainConfig, and the types of their values.
FLAGS: dict[str, type] = {
    **dict.fromkeys((*_IGNORED, *_PATTERNS, "hparams", "config_file"), str),
    **dict.fromkeys(("iterations_per_loop", "num_examples_per_epoch"), int),
    **dict.fromkeys(("use_xla", "use_spatial_partition", "eval_after_training"), bool),
    **dict.fromkeys(("start_profiler_server", "auto_mixed_precision", "add_warmup_requests"), bool),
}


@dataclass(frozen=True, kw_only=True)
class DatasetExpectations:
    """What a command line states about its data; dataset.json must agree (`check_expectations`).

    Attributes:
      num_examples: Of the split train; None if not given.
      patterns: A split and the glob that should match its shards, by flag.
    """

    num_examples: int | None = None
    patterns: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LegacyTranslation:
    """A translated command line.

    Attributes:
      settings: Of TrainConfig, by name.
      expectations: Of the data set.
      notices: A line for each flag whose effect differs from the old tool's.
    """

    settings: Mapping[str, Any]
    expectations: DatasetExpectations
    notices: tuple[str, ...]


def translate_legacy_flags(
    old: Mapping[str, Any], hparams: Mapping[str, Any], given: Mapping[str, Any], *, preset: str, recipe: str
) -> LegacyTranslation:
    """Translate old flags to settings of this trainer.

    Args:
      old: The given ones of FLAGS, by name.
      hparams: From --config_file and --hparams.
      given: Settings of this trainer; they override hparams.
      preset: Defaults.
      recipe: Defaults; "" for none.

    Raises:
      UsageError: An hparam is unknown, a value cannot be parsed or is not implemented, or two of them contradict each
        other.
    """
    _check_features(old, given)
    patterns = _patterns(old)
    # The order matters: later entries override earlier ones, so that flags of this trainer override hparams.
    settings = {
        **legacy_hparams.hparam_settings(hparams),
        **_schedule(old, hparams, recipe=recipe, config=make_config(preset, dict(given), recipe=recipe)),
        **_data_settings(old, given, patterns),
        **given,
        **_mode(old, given),
    }
    if "iterations_per_loop" in old:
        settings.setdefault("steps_per_loop", old["iterations_per_loop"])
    return LegacyTranslation(
        settings=settings,
        expectations=DatasetExpectations(num_examples=old.get("num_examples_per_epoch"), patterns=patterns),
        notices=(*_notices(old, hparams, settings, given), *legacy_hparams.hparam_notices(hparams)),
    )


def check_expectations(expectations: DatasetExpectations, manifest: DatasetManifest) -> None:
    """Compare what a command line states about the data with the data set.

    Raises:
      UsageError: They contradict each other.
    """
    if expectations.num_examples is not None and expectations.num_examples != manifest.split("train").examples:
        raise UsageError(
            f"--num_examples_per_epoch={expectations.num_examples}, but the data set's split train has"
            f" {manifest.split('train').examples} examples: leave the flag out"
        )
    # Over all splits: a pattern such as *.tfrecord would also take the files of another split.
    names = {shard.name for split in manifest.splits.values() for shard in split.shards}
    for flag, (split, pattern) in expectations.patterns.items():
        shards = {shard.name for shard in manifest.split(split).shards}
        if {name for name in names if fnmatch.fnmatchcase(name, pattern)} != shards:
            raise UsageError(
                f"--{flag}: {pattern} does not name the files of the split {split}, {split}-*:"
                " give --dataset=FOLDER in its place"
            )


def _check_features(old: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if old.get("use_spatial_partition"):
        raise UsageError(f"--use_spatial_partition is not implemented: {_ONE_CORE}; lower --image_size")
    if old.get("distribution_strategy") == "multi_worker_mirrored" and not given.get("worker_hosts"):
        raise UsageError("--distribution_strategy=multi_worker_mirrored: needs --worker_hosts and --task_index")


def _patterns(old: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return (split, glob) by flag. Shards are named after their split: ``val-00000-of-00001.tfrecord``."""
    found = {}
    for flag in _PATTERNS:
        if glob := posixpath.basename(old.get(flag, "")):
            # The split is the name before the first hyphen or wildcard.
            split = "train" if flag == "training_file_pattern" else re.split(r"[-*?\[]", glob)[0] or "val"
            found[flag] = (split, glob)
    return found


def _data_settings(
    old: Mapping[str, Any], given: Mapping[str, Any], patterns: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    """Return the data set's folder, which must be the same in all flags, and the split to evaluate."""
    # A pattern names files in one folder; the data set is that folder.
    folders = {flag: parent_folder(old[flag]) for flag in patterns}
    named = {**folders, **({"dataset": given["dataset"]} if "dataset" in given else {})}
    if len({posixpath.normpath(folder) for folder in named.values()}) > 1:
        found = ", ".join(f"--{flag} in {folder}" for flag, folder in named.items())
        raise UsageError(f"expected one data set, found {found}")
    settings = {"dataset": next(iter(folders.values()))} if folders else {}
    if "validation_file_pattern" in patterns:
        settings["eval_split"] = patterns["validation_file_pattern"][0]
    return settings


def _schedule(
    old: Mapping[str, Any], hparams: Mapping[str, Any], *, recipe: str, config: TrainConfig
) -> dict[str, float | int | str]:
    """Convert the schedule: the rate is scaled with the batch; warm-up and drops are given in epochs.

    As update_learning_rate_schedule_parameters in retinanet_model.py.
    """
    # Of the settings as they will be used: the preset, the recipe and the user's flags.
    batch_size, epochs = config.schedule.train_batch_size, config.schedule.num_epochs
    # With another recipe, only what the command line states replaces the recipe's schedule.
    values = {**_SCHEDULE, **hparams} if recipe == RECIPE else hparams
    settings: dict[str, float | int | str] = {}
    if "learning_rate" in values:
        settings["learning_rate"] = _number(values, "learning_rate") * batch_size / RATE_BATCH
    if "lr_warmup_epoch" in values and "num_examples_per_epoch" in old:
        examples = _number(values, "lr_warmup_epoch") * old["num_examples_per_epoch"]
        settings["warmup_steps"] = round(examples / batch_size)
    drops = [f"{_number(values, name) / epochs:g}" for name in _DROPS if name in values]
    return {**settings, "lr_schedule": "step", "lr_drops": ",".join(drops)} if drops else settings


def _number(hparams: Mapping[str, Any], name: str) -> float:
    return legacy_hparams.parse_float(name, hparams[name])


def _mode(old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    wanted = old.get("eval_after_training") and given.get("mode") == "train"
    return {"mode": "train_and_eval"} if wanted else {}


def _notices(
    old: Mapping[str, Any], hparams: Mapping[str, Any], settings: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[str]:
    for name in old:
        if name in _IGNORED:
            yield f"--{name} has no effect: {_IGNORED[name]}"
    if "learning_rate" in settings and "learning_rate" not in given:
        yield f"learning rate {settings['learning_rate']:g}, scaled in proportion to the batch size"
    if "lr_warmup_epoch" in hparams and "num_examples_per_epoch" not in old:
        yield "hparams: lr_warmup_epoch has no effect without --num_examples_per_epoch: use --warmup_steps"
    if "dataset" not in given and "dataset" in settings:
        yield f"data set {settings['dataset']}, from the file patterns; use --dataset instead"
    if settings.get("mode") == "train":
        yield "--mode=train writes no export; --mode=export exports the newest checkpoint"
    if settings.get("mode") != given.get("mode"):
        yield "--eval_after_training: using --mode=train_and_eval, which evaluates and exports"
