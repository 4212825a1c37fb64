"""Where the steps run. The only module that knows TPU, GPU, CPU, and that there may be several hosts."""

import functools
import logging
from collections.abc import Callable, Sequence

import tensorflow as tf

from retinanet_odm.errors import UsageError

_LOGGER = logging.getLogger(__name__)


def make_strategy(*, use_tpu: bool, tpu: str, hosts: Sequence[str] = (), task_index: int = 0) -> tf.distribute.Strategy:
    """TPU when asked for; else every GPU found, mirrored; else the CPU; over several hosts where they are named.

    Args:
      hosts: host:port of each.
      task_index: this one's place among them.

    Raises:
      UsageError: the TPU or this host's port cannot be had.
    """
    if use_tpu:
        return _tpu_strategy(tpu)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Otherwise TensorFlow takes all memory of the card at once, also from a neighbour's run.
        tf.config.experimental.set_memory_growth(gpu, True)
    if hosts:
        return _multi_worker_strategy(hosts, task_index)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return one_device()


def one_device() -> tf.distribute.Strategy:
    """The first GPU, or the CPU."""
    return tf.distribute.OneDeviceStrategy("/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0")


def _multi_worker_strategy(hosts: Sequence[str], task_index: int) -> tf.distribute.Strategy:
    others = [host for place, host in enumerate(hosts) if place != task_index]
    _LOGGER.info("waiting for the other hosts: %s", ", ".join(others) or "none")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(hosts)}), task_type="worker", task_id=task_index, rpc_layer="grpc"
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--worker_hosts: {hosts[task_index]} cannot join the others: {reason}") from error


def has_hosts(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes train together, each of which runs this program."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes; the only one, or the first host's."""
    return bool(strategy.extended.should_checkpoint)


def any_host(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Whether the flag is set on any host. All must ask, and wait here for each other."""
    if not has_hosts(strategy):
        return flag

    return float(_summing(strategy)(tf.constant(float(flag)))) > 0


@functools.cache
def _summing(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that adds up a number over all replicas."""

    @tf.function
    def total(value: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(tf.identity, args=(value,)), axis=None)

    return total


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        if tpu not in ("", "local"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"--use_tpu: no TPU at {tpu!r} (needs a TPU VM with tensorflow-tpu installed): {reason}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check_batch(name: str, batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises UsageError when a batch cannot be dealt out evenly to the replicas."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UsageError(f"--{name}: must be a multiple of the {replicas} replicas, found {batch_size}")
