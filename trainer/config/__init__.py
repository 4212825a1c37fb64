"""The configuration of a run. Begin with train_config, which composes the sections.

``sections`` has one dataclass for each room (data, schedule, loss), ``network_sections`` those of the network and its
weights, ``run_sections`` those of the run and its evaluation, ``options`` the declaration and parsing of their fields,
``backbone_names`` the backbones. Nothing here imports TensorFlow.
"""

from trainer.config.options import canvas_size
from trainer.config.train_config import TrainConfig, setting_fields

__all__ = ["TrainConfig", "canvas_size", "setting_fields"]
