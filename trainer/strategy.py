"""Devices: the only module that distinguishes TPU, GPU and CPU, one host and several. Begin with `make_strategy`."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from retinanet_odm import xla
from retinanet_odm.errors import UsageError
from retinanet_odm.xla import TENSORFLOW, XLA
from trainer.tf_errors import first_line

_LOGGER = logging.getLogger(__name__)


def make_strategy(
    *, use_tpu: bool, tpu: str, hosts: Sequence[str] = (), task_index: int = 0, runtime: str = TENSORFLOW
) -> tf.distribute.Strategy:
    """Make a strategy for a TPU if requested, otherwise for all GPUs, otherwise for the CPU; over all hosts if given.

    Args:
      use_tpu: Whether to use a TPU.
      tpu: Its name or address; ``local`` for the TPU of this machine.
      hosts: host:port of each.
      task_index: Index of this host.
      runtime: Of the steps. TensorFlow does the rest on the CPU if it is another.

    Raises:
      UsageError: There is no such TPU, or this host cannot use its port; or as `xla_devices`.
    """
    if runtime == XLA:
        xla_devices()
        return tf.distribute.OneDeviceStrategy("/CPU:0")
    if use_tpu:
        return _tpu_strategy(tpu)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Otherwise TensorFlow allocates all memory of the GPU at once, also that of other programs.
        tf.config.experimental.set_memory_growth(gpu, True)
    if hosts:
        return _multi_worker_strategy(hosts, task_index)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return one_device()


def one_device() -> tf.distribute.Strategy:
    """Make a strategy for the first GPU, or the CPU."""
    return tf.distribute.OneDeviceStrategy("/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0")


def _multi_worker_strategy(hosts: Sequence[str], task_index: int) -> tf.distribute.Strategy:
    others = [host for index, host in enumerate(hosts) if index != task_index]
    _LOGGER.info("waiting for the other hosts: %s", ", ".join(others) or "none")
    # All hosts are workers; the first one is the chief.
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(hosts)}), task_type="worker", task_id=task_index, rpc_layer="grpc"
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        host = hosts[task_index]
        raise UsageError(f"--worker_hosts: {host} cannot join the others: {first_line(error)}") from error


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        # A TPU of another machine is reached over the network; that of this machine is not a cluster.
        if tpu not in ("", "local"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError) as error:
        raise UsageError(
            f"--use_tpu: no TPU at {tpu!r} (needs a TPU VM with tensorflow-tpu installed): {first_line(error)}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def xla_devices() -> list[Any]:
    """Return the devices of this machine that XLA has: its TPUs, otherwise its GPUs, otherwise the CPU.

    Raises:
      UsageError: jax is not installed or cannot use them, or they are a part of those of several machines.
    """
    devices = xla.list_devices()
    machines = {device.process_index for device in devices}
    if len(machines) > 1:
        raise UsageError(f"--runtime=xla: trains on the devices of one machine, found those of {len(machines)}")
    return devices


def count_replicas(strategy: tf.distribute.Strategy, runtime: str) -> int:
    """Return the number of replicas that share the batch of a training step."""
    return len(xla_devices()) if runtime == XLA else int(strategy.num_replicas_in_sync)


def has_accelerator(*, use_tpu: bool, runtime: str) -> bool:
    """Return whether steps run on something other than the CPU."""
    if runtime == XLA:
        return bool(xla_devices()[0].platform != "cpu")
    return use_tpu or bool(tf.config.list_logical_devices("GPU"))


def describe_replicas(strategy: tf.distribute.Strategy, runtime: str) -> str:
    """Name the replicas of a training step: their number and what they are."""
    kind = f"XLA ({xla_devices()[0].device_kind})" if runtime == XLA else type(strategy).__name__
    return f"{count_replicas(strategy, runtime)} replica(s) of {kind}"


def check_batch(name: str, batch_size: int, replicas: int) -> None:
    """Raise UsageError if a batch cannot be divided evenly among the replicas; name is the flag of its size."""
    # Static shapes: every replica gets a batch of the same size.
    if batch_size % replicas:
        raise UsageError(f"--{name}: must be a multiple of the {replicas} replicas, found {batch_size}")


def run_batches(
    strategy: tf.distribute.Strategy, compute: Callable[[dict[str, Any]], dict[str, Any]], batches: tf.data.Dataset
) -> Iterator[dict[str, tf.Tensor]]:
    """Yield what a function of a part of a batch returns, put together from the replicas of this host: [B, ...] each.

    Args:
      strategy: Divides the batches among the replicas.
      compute: Called on each replica with its part, [B / replicas, ...] each.
      batches: Of B images.
    """
    for batch in strategy.experimental_distribute_dataset(batches):
        values = strategy.run(compute, args=(batch,))
        yield {name: tf.concat(strategy.experimental_local_results(value), axis=0) for name, value in values.items()}


# --- Several hosts, each of which runs this program ---


def has_hosts(strategy: tf.distribute.Strategy) -> bool:
    """Return whether several hosts train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes the files: the only one, or that of the first host."""
    return bool(strategy.extended.should_checkpoint)


def any_host(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Return whether the flag is set on any host. All hosts must call it, and wait for each other."""
    if not has_hosts(strategy):
        return flag
    return float(_make_sum(strategy)(tf.constant(float(flag)))) > 0


def of_chief(strategy: tf.distribute.Strategy, value: float) -> float:
    """Return the chief's value on every host, as float32. All hosts must call it, and wait for each other."""
    if not has_hosts(strategy):
        return value
    # Every replica of a host adds the host's value: the quotient is the value, however many there are.
    chief, total = float(is_chief(strategy)), _make_sum(strategy)
    return float(total(tf.constant(chief * value))) / float(total(tf.constant(chief)))


@functools.cache
def _make_sum(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a function that sums a scalar over all replicas."""

    @tf.function
    def total(value: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(tf.identity, args=(value,)), axis=None)

    return total
