"""Which steps a run has, when it evaluates, and which batches it sees."""

import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig
from trainer.data import records
from trainer.data.augmentation import Augmentation
from trainer.loop.limits import TrainingState, has_ended
from trainer.weights.checkpoints import newest_run_state


def count_steps(config: TrainConfig, split: records.RecordSplit) -> int:
    """Return the number of steps of a run: at least one, also if the split is smaller than a batch."""
    return max(config.schedule.num_epochs * split.examples // config.schedule.train_batch_size, 1)


def has_steps_left(config: TrainConfig, manifest: DatasetManifest) -> bool:
    """Return whether a run continues behind its newest checkpoint, or has none.

    Raises:
      ContractError: Of the checkpoints none is whole; or the data set has no split for training.
    """
    done, stored = newest_run_state(f"{config.run.folder}/checkpoints")
    if has_ended(TrainingState.from_json(stored), config):
        return False
    return done < count_steps(config, records.find_split(config.data.dataset, manifest, "train"))


def evaluation_steps(config: TrainConfig, split: records.RecordSplit, total_steps: int) -> frozenset[int]:
    """Return the last step, and before it the first one after every --eval_every_epochs."""
    every, batch_size = config.evaluation.eval_every_epochs, config.schedule.train_batch_size
    ends = range(every, config.schedule.num_epochs, every) if every else ()
    steps = (-(-epoch * split.examples // batch_size) for epoch in ends)
    return frozenset({total_steps, *(step for step in steps if step < total_steps)})


def batches_from(
    first_step: int,
    config: TrainConfig,
    manifest: DatasetManifest,
    split: records.RecordSplit,
    canvas: tuple[int, int],
    *,
    skipped_steps: int = 0,
) -> tf.data.Dataset:
    """Make the batches that a run of this configuration sees from a step on; see `records.training_batches`.

    Args:
      first_step: The number of steps done.
      config: Its sections data, schedule and run are used.
      manifest: Of the data set.
      split: The training split.
      canvas: (height, width) in pixels.
      skipped_steps: By which the run is shorter than --num_epochs: its last epochs have no mosaics either.
    """
    data, batch_size = config.data, config.schedule.train_batch_size
    # The last epochs see whole images, as the evaluation does.
    mosaic_epochs = config.schedule.num_epochs - data.mosaic_close_epochs
    return records.training_batches(
        split,
        canvas=canvas,
        batch_size=batch_size,
        max_instances=data.boxes_per_image(manifest.max_boxes_per_image),
        augmentation=Augmentation(
            scale_min=data.scale_min,
            scale_max=data.scale_max,
            horizontal_flip=data.horizontal_flip,
            vertical_flip=data.vertical_flip,
            rot90=data.rot90,
            photometric=data.photometric,
            min_visible=data.min_visible,
            mosaic=data.mosaic,
            mosaic_steps=mosaic_epochs * split.examples // batch_size - skipped_steps,
        ),
        seed=config.run.seed,
        first_step=first_step,
        partial_classes=manifest.num_classes if manifest.is_partial else 0,
    )
