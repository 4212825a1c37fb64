"""How a run goes: lines for people, curves and pictures for TensorBoard."""

import logging
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from retinanet_odm.labels.label_map import LabelMap
from trainer.config import TrainConfig
from trainer.data import contact_sheets

_LOGGER = logging.getLogger(__name__)


class TrainingProgress:
    """A line and a TensorBoard point per loop; of several hosts, the chief's alone are kept."""

    def __init__(
        self, config: TrainConfig, *, labels: LabelMap, total_steps: int, examples: int, is_chief: bool = True
    ) -> None:
        self._labels = labels
        self._batch_size = config.schedule.train_batch_size
        self._examples = examples
        self._total_steps = total_steps
        self._max_instances = config.data.max_instances
        self._graph_built = False
        folder = f"{config.run.folder}/tensorboard"
        self._writer = tf.summary.create_file_writer(folder) if is_chief else tf.summary.create_noop_writer()

    def start(self, step: int) -> None:
        """Begins to measure speed, at a step that has been done."""
        self._first_step = self._last_step = step
        self._start = self._last_time = time.monotonic()

    def report(self, step: int, values: dict[str, float], optimizer: keras.optimizers.Optimizer) -> None:
        now = time.monotonic()
        speed = (step - self._last_step) * self._batch_size / (now - self._last_time)
        left = (now - self._start) / (step - self._first_step) * (self._total_steps - step)
        if not self._graph_built:  # the first loop built it: no measure of the others
            self._graph_built = True
            self._first_step, self._start = step, now
        self._last_step, self._last_time = step, now
        if values["left_out"]:
            _LOGGER.warning(
                "warning: %d boxes beyond --max_instances=%d of an image were left out, and are trained as background",
                values["left_out"],
                self._max_instances,
            )
        _LOGGER.info(
            "step %d/%d  epoch %.1f  loss %.3f (class %.3f, box %.3f)  %.1f images/s  %d:%02d left",
            step,
            self._total_steps,
            step * self._batch_size / self._examples,
            values["loss"],
            values["class_loss"],
            values["box_loss"],
            speed,
            *divmod(round(left), 60),
        )
        scalars = {**values, "learning_rate": float(optimizer.learning_rate), "images_per_second": speed}
        self._scalars(step, scalars)

    def evaluated(self, step: int, metrics: dict[str, Any], sheet: np.ndarray, *, is_best: bool) -> None:
        """The numbers and the sheet of an evaluation (trainer.evaluate)."""
        per_class = {f"AP50 {name}": values["AP50"] for name, values in metrics["per_class"].items()}
        known = {**{name: metrics[name] for name in ("AP", "AP50", "AP75", "AR100")}, **per_class}
        self._scalars(step, {f"evaluation/{name}": value for name, value in known.items() if value is not None})
        self._picture(step, "detections", sheet)
        shown = [f"{name} {'-' if metrics[name] is None else format(metrics[name], '.3f')}" for name in ("AP50", "AP")]
        _LOGGER.info("evaluation at step %d: %s%s", step, "  ".join(shown), "  (the best so far)" if is_best else "")

    def show(self, step: int, batches: tf.data.Dataset) -> None:
        """What the network is to learn from next: the first of these batches, as a picture."""
        batch = next(batches.as_numpy_iterator())
        self._picture(step, "training images", contact_sheets.training_sheet(batch, self._labels))

    def _picture(self, step: int, name: str, sheet: np.ndarray) -> None:
        with self._writer.as_default(step=step):
            tf.summary.image(name, sheet)
        self._writer.flush()

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
