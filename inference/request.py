"""One run of ``score``, once all that can be checked at once has been checked."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import retinanet_odm
from inference.image_sources.listing import ImageSource
from inference.model.third_party import SignatureMap
from inference.model.thresholds import ScoreThresholds, describe_thresholds
from inference.options import ScoreOptions
from inference.rows import resume
from inference.rows.output_folder import Commit
from retinanet_odm.exported_model import ModelManifest


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """What was asked for, and what was found.

    Attributes:
      options: as given, but for a batch size that fits the model.
      manifest: of the model.
      signature_map: of a model of another program; None for one of ours.
      thresholds: from which detections are kept.
      sources: of the images.
    """

    options: ScoreOptions
    manifest: ModelManifest
    signature_map: SignatureMap | None
    thresholds: ScoreThresholds
    sources: tuple[ImageSource, ...]

    @property
    def run_key(self) -> str:
        return resume.run_key(self._about())

    @property
    def commit(self) -> Commit:
        """The last step."""
        header = {**self._about(), "options": dataclasses.asdict(self.options)}
        return Commit(output=self.options.output, header=header, exports=self.options.exports)

    def num_shards(self, images: int) -> int:
        """How many prediction files there are for so many images."""
        return min(self.options.num_shards, images)

    def _about(self) -> dict[str, Any]:
        """What summary.json says of the run besides its options: all that decides what a row says."""
        manifest, tiling = self.manifest, self.options.asking.tiling
        return {
            "model_hash": manifest.model_hash,
            "labels": manifest.labels.to_json(),
            "thresholds": describe_thresholds(self.thresholds, manifest),
            "max_detections": manifest.max_detections or None,
            "tiling": tiling and dataclasses.asdict(tiling),
            "code_version": retinanet_odm.__version__,
        }
