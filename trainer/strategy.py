"""Where the steps run. The only module that knows TPU, GPU and CPU."""

import tensorflow as tf

from detection.errors import UsageError


def make_strategy(*, use_tpu: bool, tpu: str) -> tf.distribute.Strategy:
    """TPU when asked for; else every GPU found, mirrored; else the CPU.

    Raises:
      UsageError: the TPU cannot be reached.
    """
    if use_tpu:
        return _tpu_strategy(tpu)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Otherwise TensorFlow takes all memory of the card at once, also from a neighbour's run.
        tf.config.experimental.set_memory_growth(gpu, True)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.OneDeviceStrategy("/GPU:0" if gpus else "/CPU:0")


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
