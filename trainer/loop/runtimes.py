"""Runs steps on the devices: by TensorFlow, or by XLA alone (--runtime). Begin with `make_runtime`."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from retinanet_odm.errors import UsageError
from retinanet_odm.xla import XLA, ChipMemoryError, keep_compiled
from trainer import strategy
from trainer.config import TrainConfig
from trainer.loop import lowering, steps, xla_program
from trainer.network.build import Network

_TRUNCATED = "boxes_truncated"  # a part of a batch that is counted on the host
_AHEAD = 2  # steps whose batches wait on the devices


class Runtime(Protocol):
    """Runs steps; the network's and the optimizer's variables are those of TensorFlow, whatever the devices hold."""

    def distribute(self, batches: tf.data.Dataset) -> Any:
        """Return an iterator over batches for `run`."""

    def run(self, batches: Any, count: int) -> dict[str, float]:
        """Run so many steps; return what `trainer.loop.steps.make_loop` describes."""

    def fetch(self) -> None:
        """Copy what the devices have computed to the variables. Must be called before these are read."""

    def load(self) -> None:
        """Make the next step begin with the variables. Must be called when these were set, for example restored."""


def make_runtime(
    config: TrainConfig, network: Network, optimizer: keras.optimizers.Optimizer, devices: tf.distribute.Strategy
) -> Runtime:
    """Make the runtime of a configuration.

    Args:
      config: Its sections loss, schedule and run are used.
      network: Of the run.
      optimizer: Built for its variables.
      devices: Of TensorFlow, where the variables are.

    Raises:
      UsageError: As `trainer.strategy.xla_devices`.
    """
    if config.run.runtime == XLA:
        return XlaRuntime(config, network, optimizer, strategy.xla_devices())
    return TensorFlowRuntime(config, network, optimizer, devices)


class TensorFlowRuntime:
    """Runs steps by tf.distribute, which computes with the variables themselves."""

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        optimizer: keras.optimizers.Optimizer,
        devices: tf.distribute.Strategy,
    ) -> None:
        self._devices = devices
        self._run_steps = steps.make_loop(config, network, optimizer, devices)

    def distribute(self, batches: tf.data.Dataset) -> Any:
        """Return an iterator over batches that divides each among the replicas."""
        return iter(self._devices.experimental_distribute_dataset(batches))

    def run(self, batches: Any, count: int) -> dict[str, float]:
        """Run so many steps as one function of TensorFlow."""
        # Converting waits for the devices.
        return {name: float(value) for name, value in self._run_steps(batches, tf.constant(count)).items()}

    def fetch(self) -> None:
        """Do nothing: the variables are current."""

    def load(self) -> None:
        """Do nothing: the variables are used."""


class XlaRuntime:
    """Runs steps by XLA on devices that TensorFlow need not know: the state stays on them between the steps.

    The step is translated and compiled when the first batch is there, for its shapes.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        optimizer: keras.optimizers.Optimizer,
        devices: Sequence[Any],
    ) -> None:
        keep_compiled()
        self._config, self._network, self._optimizer = config, network, optimizer
        self._replicas = len(devices)
        self._layout = xla_program.place_on(devices)
        self._step: _CompiledStep | None = None
        self._state: list[Any] | None = None  # of the variables that a step changes; None: as the variables are
        self._kept: list[Any] = []  # of those that it only reads
        self._is_fetched = True

    def distribute(self, batches: tf.data.Dataset) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Return an iterator over batches as arrays."""
        return iter(batches.as_numpy_iterator())

    def run(self, batches: Iterator[dict[str, npt.NDArray[Any]]], count: int) -> dict[str, float]:
        """Run so many steps. While the devices compute, the next batches are read and shipped."""
        import jax

        found: list[list[Any]] = []
        truncated = 0
        for number in range(count):
            batch = next(batches)
            truncated += int(batch.pop(_TRUNCATED).sum())
            step = self._step = self._step or self._compile(batch)
            if number == 0:
                self._send(step)
            parts = jax.device_put([batch[name] for name in step.lowered.batch], self._layout.split)
            # The order matters: the call returns at once, and takes the memory of the old state.
            self._state, metrics = step.call(parts, self._state, self._kept)
            found.append(metrics)
            if number >= _AHEAD:
                jax.block_until_ready(found[number - _AHEAD])
        self._is_fetched = False
        values = np.array(jax.device_get(found), np.float64)  # [count, metric]
        self._fetch(step, [self._optimizer.iterations.value])  # the curve of the learning rate depends on it
        return _summarise(values, step.lowered.metrics, truncated)

    def fetch(self) -> None:
        """Copy the state to the variables, if it has changed."""
        if self._step and not self._is_fetched:
            self._fetch(self._step, self._step.changed)
            self._is_fetched = True

    def load(self) -> None:
        """Forget the state: the next step begins with the variables."""
        self._state, self._is_fetched = None, True

    def _compile(self, batch: dict[str, npt.NDArray[Any]]) -> "_CompiledStep":
        specs = {
            name: tf.TensorSpec((array.shape[0] // self._replicas, *array.shape[1:]), array.dtype)
            for name, array in batch.items()
        }
        lowered = lowering.lower_step(self._config, self._network, self._optimizer, specs, replicas=self._replicas)
        try:
            call = xla_program.compile_step(lowered, self._layout)
        except ChipMemoryError as error:
            raise UsageError(f"--runtime=xla: {error}: give a smaller --train_batch_size or --image_size") from error
        return _CompiledStep(lowered, call)

    def _send(self, step: "_CompiledStep") -> None:
        """Send to the devices what they do not have: all variables, or those that the host sets between the steps."""
        import jax

        if self._state is None:
            # Copies: on the CPU, arrays of jax and TensorFlow would otherwise share memory, which a step writes to.
            self._state = jax.device_put([np.array(variable.numpy()) for variable in step.changed], self._layout.whole)
            self._kept = jax.device_put([np.array(variable.numpy()) for variable in step.kept], self._layout.whole)
            return
        # Those that are not the model's: the factor and the pace of the learning rate.
        weights = {id(variable.value) for variable in self._network.model.variables}
        self._kept = [
            old if id(variable) in weights else jax.device_put(np.array(variable.numpy()), self._layout.whole)
            for variable, old in zip(step.kept, self._kept, strict=True)
        ]

    def _fetch(self, step: "_CompiledStep", wanted: Sequence[tf.Variable]) -> None:
        import jax

        ids = {id(variable) for variable in wanted}
        pairs = [
            (variable, array)
            for variable, array in zip(step.changed, self._state or [], strict=True)
            if id(variable) in ids
        ]
        for (variable, _), value in zip(pairs, jax.device_get([array for _, array in pairs]), strict=True):
            variable.assign(np.array(value))  # a copy, as in _send


class _CompiledStep:
    """A step that is ready to run, with its variables."""

    def __init__(self, lowered: lowering.LoweredStep, call: Any) -> None:
        self.lowered, self.call = lowered, call
        self.changed = [lowered.variables[index] for index in lowered.changed]
        self.kept = [lowered.variables[index] for index in lowered.kept]


def _summarise(values: npt.NDArray[np.float64], metrics: Sequence[str], truncated: int) -> dict[str, float]:
    """Return what a loop of steps reports, from the metrics [step, metric]."""
    means = dict(zip(metrics, values.mean(axis=0).tolist(), strict=True))
    # A sum that is not finite stays so: no step is counted from the first such one on.
    finite_steps = np.isfinite(np.cumsum(values[:, metrics.index("loss")])).sum()
    return {**means, _TRUNCATED: float(truncated), "finite_steps": float(finite_steps)}
