"""The sections of a run and its evaluation: what to do, where, and what of the results is kept.

As trainer.config.sections, which begins with what a field is.
"""

from dataclasses import dataclass
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.xla import RUNTIMES, TENSORFLOW, XLA
from trainer.config.options import (
    FRACTION,
    NOT_NEGATIVE,
    PORTABLE_FORMATS,
    POSITIVE,
    ConfigSection,
    option,
    parse_export_formats,
    parse_hosts,
    parse_image_numbers,
)


@dataclass(frozen=True, kw_only=True)
class RunConfig(ConfigSection):
    """What to do, where to write, and on which devices (trainer.main, trainer.strategy, trainer.loop)."""

    mode: str = option(
        "train_and_eval",
        "task",
        choices=(
            "train",
            "eval",
            "train_and_eval",
            "export",
            "learning_curve",
            "folds",
            "doctor",
            "inspect",
            "tpu_fit",
        ),
    )
    model_dir: str = option(
        "", "output folder for checkpoints, TensorBoard events, eval.json and export/; local or gs://"
    )
    curve_images: str = option(
        "10,50,150", "--mode=learning_curve: numbers of training images, besides that of all images"
    )
    folds: int = option(
        3, "--mode=folds: parts of the training images, each scored by a model that is trained on the others"
    )
    seed: int = option(0, "seed of the weights, the order of the records and the augmentation")
    use_tpu: bool = option(False, "train on a TPU; otherwise on all GPUs, otherwise on the CPU")
    tpu: str = option("local", "TPU to connect to: local on a TPU VM, or its name or address; implies --use_tpu")
    runtime: str = option(
        TENSORFLOW,
        "what runs the training steps: tensorflow, or xla (extra [xla]): the same step on the TPUs, GPUs or CPU of this"
        " machine, where TensorFlow needs no support for them",
        choices=RUNTIMES,
    )
    tpu_topology: str = option(
        "v5e:2x2", "--mode=tpu_fit: chips to compile for, such as v4:2x2x1, v5e:2x4, v5p:2x2x1, v6e:2x2, tpu7x:2x2x1"
    )
    worker_hosts: str = option(
        "", "train on several machines: comma-separated host:port of each, the same list on all machines"
    )
    task_index: int = option(0, "index of this machine in --worker_hosts, counted from 0; 0 writes --model_dir")
    steps_per_loop: int = option(20, "training steps on the device between two log lines", POSITIVE)
    checkpoint_minutes: float = option(5.0, "minutes between checkpoints; the last step is always saved", POSITIVE)
    max_rollbacks: int = option(3, "how often a diverging run returns to a checkpoint before it fails", NOT_NEGATIVE)
    ignore_memory: bool = option(False, "train although a step is estimated to take more memory than is free")

    def __post_init__(self) -> None:
        super().__post_init__()
        if set("[*?") & set(self.model_dir):
            # TensorFlow would save checkpoints there, but takes the name for a pattern when it restores them.
            raise UsageError(f"--model_dir: expected a name without [, * and ?, found {self.model_dir}")
        self.curve_image_numbers()
        if self.folds < 2:
            raise UsageError(f"--folds: expected 2 or more, found {self.folds}")
        hosts = self.hosts()
        if not 0 <= self.task_index < max(len(hosts), 1):
            raise UsageError(f"--task_index: expected an index into --worker_hosts, found {self.task_index}")
        if hosts and self.use_tpu:
            raise UsageError(
                "--worker_hosts: for CPUs and GPUs only; a TPU of several hosts is one --tpu: remove --worker_hosts"
            )

        if self.runtime == XLA and (hosts or self.use_tpu):
            other = "--worker_hosts" if hosts else "--use_tpu and --tpu"
            raise UsageError(f"--runtime=xla: uses the devices of this machine, TPUs first: remove {other}")

    @property
    def trains(self) -> bool:
        """Whether the mode trains the network."""
        return self.mode in ("train", "train_and_eval")

    @property
    def evaluates(self) -> bool:
        """Whether the mode evaluates the network."""
        return self.mode in ("eval", "train_and_eval", "learning_curve")

    @property
    def exports(self) -> bool:
        """Whether the mode writes an export."""
        return self.mode in ("export", "train_and_eval")

    @property
    def folder(self) -> str:
        """The model folder without a slash at its end."""
        return self.model_dir.rstrip("/")

    def curve_image_numbers(self) -> tuple[int, ...]:
        """Return the numbers of images of a learning curve, rising."""
        return parse_image_numbers(self.curve_images)

    def hosts(self) -> tuple[str, ...]:
        """Return host:port of each machine to train on; empty if this machine trains alone."""
        return parse_hosts(self.worker_hosts)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(ConfigSection):
    """Evaluation, and what an exported model reports (trainer.evaluate, trainer.export)."""

    eval_split: str = option("val", "split to evaluate; test needs --mode=eval, and keeps the thresholds of the model")
    eval_every_epochs: int = option(
        10, "--mode=train_and_eval: epochs between evaluations; 0: after the last step only", NOT_NEGATIVE
    )
    patience: int = option(
        0, "stop after this many evaluations in training in a row without a higher AP; 0: never", NOT_NEGATIVE
    )
    eval_batch_size: int = option(8, "images per evaluation step, over all replicas", POSITIVE)
    weights: str = option(
        "best",
        "weights to evaluate and export: those with the highest AP of all evaluations in training, or the last ones",
        choices=("best", "last"),
    )
    score_threshold: float = option(0.05, "minimum score of a reported detection", FRACTION)
    nms_iou: float = option(0.5, "IoU threshold for non-maximum suppression (per class)", FRACTION)
    max_detections: int = option(100, "maximum number of detections of an image", POSITIVE)
    reference_images: int = option(500, "training images with which score compares images; 0: none", NOT_NEGATIVE)
    export_formats: str = option(
        "savedmodel", f"formats of the export, comma-separated: savedmodel, and any of {', '.join(PORTABLE_FORMATS)}"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.portable_formats()

    def suppression(self) -> dict[str, Any]:
        """Return the settings of non-maximum suppression, as arguments of `trainer.network.postprocess.suppress`."""
        names = ("score_threshold", "nms_iou", "max_detections")
        return {name: getattr(self, name) for name in names}

    def portable_formats(self) -> tuple[str, ...]:
        """Return the formats of an export beside the SavedModel."""
        return parse_export_formats(self.export_formats)
