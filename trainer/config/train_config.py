"""The configuration of a run, composed of the sections of its rooms.

Settings have flat, unique names outside: on the command line, in presets and in model.json. Inside, a setting is read
from its section: ``config.schedule.learning_rate``.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from retinanet_odm.errors import UsageError
from trainer.config.backbone_names import KERAS_PREFIX, LITE0, RESNETS, TENSORFLOW
from trainer.config.network_sections import NetworkConfig, WeightsConfig
from trainer.config.run_sections import EvaluationConfig, RunConfig
from trainer.config.sections import DataConfig, LossConfig, ScheduleConfig
from trainer.tf_errors import GCS


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a run.

    Raises:
      UsageError: two settings contradict each other. Each section checks its own.
    """

    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        self._check_mosaic()
        self._check_weights()
        self._check_patience()
        # TFLite and ONNX files hold the network in the type that it computes in.
        formats = self.evaluation.portable_formats()
        if formats and self.network.precision != "float32":
            raise UsageError(
                f"--export_formats: {' and '.join(formats)} would not run in {self.network.precision}: remove the flag,"
                " and export the trained model with --mode=export --precision=float32 and the other flags of the run"
            )

    def _check_mosaic(self) -> None:
        data, schedule = self.data, self.schedule
        if data.mosaic and data.mosaic_close_epochs >= schedule.num_epochs:
            raise UsageError(
                f"--mosaic_close_epochs: expected less than the {schedule.num_epochs} of --num_epochs, or there is no"
                f" mosaic; found {data.mosaic_close_epochs}"
            )
        if data.mosaic and schedule.train_batch_size < 4:
            raise UsageError(f"--mosaic: takes a --train_batch_size of at least 4, found {schedule.train_batch_size}")

    def _check_weights(self) -> None:
        backbone, style = self.network.backbone, self.network.conv_style
        if style != TENSORFLOW and backbone not in RESNETS:
            raise UsageError(f"--conv_style={style}: is for --backbone={' or '.join(RESNETS)}, found {backbone}")
        if self.weights.resnet_checkpoint and backbone not in RESNETS:
            raise UsageError(f"--resnet_checkpoint: is for --backbone={' or '.join(RESNETS)}, found {backbone}")
        if self.weights.backbone_weights and not backbone.startswith((KERAS_PREFIX, LITE0)):
            raise UsageError(f"--backbone_weights: is for --backbone={LITE0} or {KERAS_PREFIX}NAME, found {backbone}")

    def _check_patience(self) -> None:
        # --mode=eval and the like are given the flags of the training, and evaluate without counting.
        without = ("train", "learning_curve", "folds")
        if self.evaluation.patience and (self.run.mode in without or not self.evaluation.eval_every_epochs):
            raise UsageError(
                "--patience: counts evaluations in training: expected --mode=train_and_eval and --eval_every_epochs of"
                f" at least 1, found --mode={self.run.mode} and --eval_every_epochs={self.evaluation.eval_every_epochs}"
            )

    @property
    def uses_gcs(self) -> bool:
        """Whether a setting is a path on gs://."""
        return any(str(value).startswith(GCS) for value in self.to_json().values())

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build a configuration from settings by their flat names; the others keep their defaults.

        Raises:
          TypeError: a name is unknown.
          UsageError: as the class.

        Example:
          >>> TrainConfig.from_settings({"num_epochs": 3}).schedule.num_epochs
          3
        """
        # Dropped silently, a misspelt name in a preset or in model.json would leave the default in force.
        unknown = settings.keys() - {spec.name for spec in setting_fields()}
        if unknown:
            raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
        # Each section gets its own part of the flat names, and checks it.
        sections: dict[str, Any] = {}
        for name, kind in _SECTIONS.items():
            names = [spec.name for spec in dataclasses.fields(kind)]
            sections[name] = kind(**{key: settings[key] for key in names if key in settings})
        return cls(**sections)

    def replace(self, **settings: Any) -> Self:
        """Return a copy with other values of some settings, by their flat names."""
        return self.from_settings({**self.to_json(), **settings})

    def to_json(self) -> dict[str, Any]:
        """Return all settings by their flat names, as ``config`` in model.json holds them."""
        return {
            spec.name: getattr(getattr(self, name), spec.name)
            for name, kind in _SECTIONS.items()
            for spec in dataclasses.fields(kind)
        }


# The order is that of --help.
_SECTIONS: dict[str, Any] = {
    "run": RunConfig,
    "data": DataConfig,
    "network": NetworkConfig,
    "weights": WeightsConfig,
    "schedule": ScheduleConfig,
    "loss": LossConfig,
    "evaluation": EvaluationConfig,
}


def setting_fields(section: str | None = None) -> list["dataclasses.Field[Any]"]:
    """Return the settings of a section, or of all: fields with name, type, default, and help in their metadata."""
    kinds = [_SECTIONS[section]] if section else _SECTIONS.values()
    return [spec for kind in kinds for spec in dataclasses.fields(kind)]
