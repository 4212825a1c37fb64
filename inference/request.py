"""The request of one run of `score`: its options, and what the launcher has found out about model and sources."""

from dataclasses import dataclass
from typing import Any

import retinanet_odm
from inference.image_sources.listing import ImageSource
from inference.model.loading import CheckedModel
from inference.model.thresholds import ScoreThresholds, describe_thresholds
from inference.options import ScoreOptions
from inference.rows.commit import Commit
from inference.rows.finished_run import SUMMARY_SCHEMA_VERSION
from inference.rows.rows import make_run_key
from retinanet_odm.imaging.images import VERIFY_FULL, VERIFY_HEADER, ImageRule


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """A request that has been checked. The job is built from it directly.

    Attributes:
      options: with a batch size that suits the model.
      model: to score with.
      thresholds: minimum scores of the detections in the rows.
      sources: of the images.
    """

    options: ScoreOptions
    model: CheckedModel
    thresholds: ScoreThresholds
    sources: tuple[ImageSource, ...]

    @property
    def run_key(self) -> str:
        """Identifies runs whose rows are interchangeable."""
        return make_run_key([SUMMARY_SCHEMA_VERSION, self._row_settings()])

    @property
    def image_rule(self) -> ImageRule:
        """How images are checked before the model gets them."""
        # An export of the trainer reports images that it cannot decode. A third-party model may accept half an image.
        return ImageRule(verify=VERIFY_HEADER if self.model.signature_map is None else VERIFY_FULL)

    @property
    def commit(self) -> Commit:
        """The last step of the run."""
        header = {**self._row_settings(), "options": self.options.to_json()}
        return Commit(output=self.options.output, header=header, exports=self.options.exports)

    def num_shards(self, images: int) -> int:
        """Returns the number of prediction files for this number of images."""
        return min(self.options.num_shards, images)

    def _row_settings(self) -> dict[str, Any]:
        """Returns everything that can change a row, as summary.json holds it: a change here voids all earlier rows."""
        # Batch sizes, formats and shards are not here: they change no row.
        manifest, tiling = self.model.manifest, self.model.options.tiling
        return {
            "model_hash": manifest.model_hash,
            "labels": manifest.labels.to_json(),
            "thresholds": describe_thresholds(self.thresholds, manifest),
            "max_detections": manifest.max_detections or None,
            "tiling": tiling and tiling.to_json(),
            "code_version": retinanet_odm.__version__,
        }
