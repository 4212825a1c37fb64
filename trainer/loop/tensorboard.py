"""Progress of a training: a bar or log lines for people, curves and contact sheets for TensorBoard."""

import logging
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm.cli.progress import BAR
from retinanet_odm.errors import UsageError
from retinanet_odm.evaluation.rounding import format_metric
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from trainer.config import TrainConfig
from trainer.data import contact_sheets

_LOGGER = logging.getLogger(__name__)
# Tags in TensorBoard that differ from the names in the code; existing runs have curves under them.
_TAGS = {"boxes_truncated": "left_out"}
_EVALUATION_METRICS = ("AP", "AP50", "AP75", "AR100")


class TrainingProgress:
    """Shows the state after each loop of steps and writes it for TensorBoard; of several hosts, only the chief does.

    Attributes:
      total_steps: The last step, which a limit of time may change.
    """

    def __init__(
        self, config: TrainConfig, *, labels: LabelMap, total_steps: int, examples: int, is_chief: bool = True
    ) -> None:
        self._labels = labels
        self._batch_size = config.schedule.train_batch_size
        self._examples = examples
        self.total_steps = total_steps
        self._max_instances = config.data.max_instances
        self._has_reported = False
        folder = f"{config.run.folder}/tensorboard"
        self._writer = tf.summary.create_file_writer(folder) if is_chief else tf.summary.create_noop_writer()
        self._growth = EventGrowth(folder) if is_chief else None

    def start_clock(self, step: int) -> None:
        """Start to measure the speed, after a step."""
        self._first_step = self._last_step = step
        self._start = self._last_time = time.monotonic()

    def report(self, step: int, values: dict[str, float], optimizer: keras.optimizers.Optimizer) -> None:
        """Report the values of `steps.make_loop` for a loop that ended with a step."""
        now = time.monotonic()
        # Of this loop alone, so that a change of speed shows.
        speed = (step - self._last_step) * self._batch_size / (now - self._last_time)
        # From the mean speed since the clock started: single loops vary.
        seconds_left: float | None = (now - self._start) / (step - self._first_step) * (self.total_steps - step)
        if not self._has_reported:  # the first loop also built the graph, so its speed predicts nothing
            self._has_reported, seconds_left = True, None
            self._first_step, self._start = step, now
        self._last_step, self._last_time = step, now
        if values["boxes_truncated"]:
            _LOGGER.warning(
                "warning: dropped %d boxes beyond --max_instances=%d of an image; they are trained as background",
                values["boxes_truncated"],
                self._max_instances,
            )
        self._show(step, values, speed, seconds_left)
        scalars = {_TAGS.get(name, name): value for name, value in values.items()}
        rates = {"learning_rate": float(optimizer.learning_rate), "images_per_second": speed}
        self._write_scalars(step, {**scalars, **rates})

    def _show(self, step: int, values: dict[str, float], speed: float, seconds_left: float | None) -> None:
        """Draw the bar on a terminal; write a line elsewhere."""
        left = "" if seconds_left is None else f"  {round(seconds_left) // 60}:{round(seconds_left) % 60:02d} left"
        speed_and_time = f"{speed:.1f} images/s{left}"
        steps, loss = f"step {step}/{self.total_steps}", f"loss {values['loss']:.3f}"
        # Only the chief draws: other hosts may share its terminal, and are silent.
        if self._growth and BAR.draw(step, self.total_steps, f"{steps}  {loss}  {speed_and_time}"):
            return
        epoch = step * self._batch_size / self._examples
        parts = f"(class {values['class_loss']:.3f}, box {values['box_loss']:.3f})"
        _LOGGER.info("%s", f"{steps}  epoch {epoch:.1f}  {loss} {parts}  {speed_and_time}")

    def close(self) -> None:
        """Remove the bar."""
        BAR.close()

    def report_evaluation(
        self, step: int, metrics: dict[str, Any], sheet: contact_sheets.Sheet, *, is_best: bool
    ) -> None:
        """Report the metrics and the contact sheet of an evaluation (`trainer.evaluate.Evaluator.brief`)."""
        values = {name: metrics[name] for name in _EVALUATION_METRICS}
        # One curve for each class, beside the means.
        values |= {f"AP50 {name}": of_class["AP50"] for name, of_class in metrics["per_class"].items()}
        # Metrics without a value, such as the AP of a class without objects, get no point.
        scalars = {f"evaluation/{name}": value for name, value in values.items() if value is not None}
        self._write_scalars(step, scalars)
        self._write_image(step, "detections", sheet)
        shown = [f"{name} {format_metric(metrics[name])}" for name in ("AP50", "AP")]
        # Without objects there is no AP to compare, and every evaluation is as good as the one before.
        best = "  (the best so far)" if is_best and metrics["AP50"] is not None else ""
        _LOGGER.info("evaluation at step %d: %s%s", step, "  ".join(shown), best)

    def show_batch(self, step: int, batches: tf.data.Dataset) -> None:
        """Write the first of these batches, from which the network learns next, as a contact sheet."""
        batch = next(batches.as_numpy_iterator())
        self._write_image(step, "training images", contact_sheets.training_sheet(batch, self._labels))

    def _write_image(self, step: int, tag: str, sheet: contact_sheets.Sheet) -> None:
        with self._writer.as_default(step=step):
            tf.summary.image(tag, sheet)
        self._flush()

    def _write_scalars(self, step: int, values: dict[str, float]) -> None:
        with self._writer.as_default(step=step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)
        if values:
            self._flush()

    def _flush(self) -> None:
        self._writer.flush()
        if self._growth:
            self._growth.check()


class EventGrowth:
    """Notices that events are lost: TensorFlow does not report it if a disk is full while it writes them.

    Args:
      folder: Of the events; nothing is checked on gs://, where writing is not by parts of a file.
    """

    _PROBE_BYTES = 1 << 16  # more than what is left when a write has failed

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._size = self._measure()

    def check(self) -> None:
        """Check that the events grew since the last call.

        Raises:
          UsageError: They did not.
        """
        before, self._size = self._size, self._measure()
        if "://" in self._folder or self._size != before:
            return
        probe = f"{self._folder}/{files.PROBE}"
        with files.write_atomic(probe) as file:  # its error gives the reason
            file.write(bytes(self._PROBE_BYTES))
        files.delete([probe])
        raise UsageError(f"cannot write the curves to {self._folder}: TensorFlow has lost them without an error")

    def _measure(self) -> int:
        folder = Path(self._folder)
        return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
