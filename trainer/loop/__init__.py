"""The training loop. Begin with `train.TrainingRun`.

train        from the newest checkpoint to the last step, with evaluations on the way
plan         which steps a run has, when it evaluates, which batches it sees
course       the last step, which --max_hours and --patience bring forward
limits       what they need: the state in checkpoints, the clock, the number of steps that fit
steps        one step on a replica, and loops of steps by TensorFlow
runtimes     loops of steps by TensorFlow or by XLA (--runtime)
lowering     translates a step for XLA
xla_program  compiles it (retinanet_odm.xla)
schedule     learning rate and optimizer
recovery     divergence and preemption
tensorboard  log lines, curves and contact sheets
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.loop.recovery import PreemptedError
    from trainer.loop.schedule import build_optimizer
    from trainer.loop.steps import make_loop, train_step
    from trainer.loop.train import TrainingRun

__all__ = ["PreemptedError", "TrainingRun", "build_optimizer", "make_loop", "train_step"]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {
    "PreemptedError": "recovery",
    "TrainingRun": "train",
    "build_optimizer": "schedule",
    "make_loop": "steps",
    "train_step": "steps",
}

__getattr__ = lazy_exports(__name__, _MODULES)
