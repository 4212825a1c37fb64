"""What an exported model promises: the signatures of its SavedModel, and model.json.

Begin with the signatures. The three for images have the same outputs; they differ in their input only. Boxes are in the
pixels of each image. `ModelManifest` holds what the graph does not: labels, thresholds, and what the model was trained
on. The file retinanet_odm.novelty.FILE, which may be missing, has features of training images.

Shapes: N images in a batch, which may be 0; M is the model's max_detections. Rows after the num_detections of an image
are zero. An image that cannot be decoded gets status 1 and no detections; the other images of its batch are not
affected.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from retinanet_odm.errors import ContractError
from retinanet_odm.json_documents import check_schema_version, parse_json_object
from retinanet_odm.labels.label_map import LabelMap

# Signature for encoded images of any size, and its input: JPEG, PNG, GIF or BMP bytes, string [N]. The EXIF orientation
# is ignored, so images must be turned upright first (retinanet_odm.imaging.images).
SERVING = "serving_default"
IMAGE_BYTES = "image_bytes"

# Signature for records of a data set, and its input: serialized tf.train.Example, string [N], of which only
# retinanet_odm.dataset.example_keys.ENCODED is read.
TF_EXAMPLE = "tf_example"
EXAMPLES = "examples"

# Signature for decoded images of one size, such as frames of a video, and its input: RGB, uint8 [N, height, width, 3],
# with dynamic height and width.
IMAGE_TENSOR = "image_tensor"
IMAGES = "images"

# The steps of these signatures, for programs that run the network by other means (--runtime=xla): SERVING returns
# SUPPRESS of PROPOSE of DECODE, IMAGE_TENSOR the same of PLACE. Optional: exports of earlier versions lack them. DECODE
# takes IMAGE_BYTES, PLACE takes IMAGES; both return IMAGE_CANVASES, PLACED, IMAGE_SIZE and STATUS. PROPOSE takes the
# first three, and has only operations that XLA compiles for any device; it returns the three columns of candidates, and
# FEATURES. SUPPRESS takes PLACED, IMAGE_SIZE, STATUS and what PROPOSE returns.
DECODE = "decode"
PLACE = "place"
PROPOSE = "propose"
SUPPRESS = "suppress"
IMAGE_CANVASES = "canvases"  # uint8 [N, H, W, 3], images as the network gets them
PLACED = "placed"  # float32 [N, 2], (height, width) of the image on its canvas
CANDIDATE_BOXES = "candidate_boxes"  # float32 [N, C, 4], (ymin, xmin, ymax, xmax) in canvas pixels, C candidates
CANDIDATE_SCORES = "candidate_scores"  # float32 [N, C], falling
CANDIDATE_CLASSES = "candidate_classes"  # int32 [N, C], label ids 1..K

# All signatures of an export.
SIGNATURES = (SERVING, TF_EXAMPLE, IMAGE_TENSOR, DECODE, PLACE, PROPOSE, SUPPRESS)

# Outputs of the three signatures for images.
BOXES = "detection_boxes"  # float32 [N, M, 4], (ymin, xmin, ymax, xmax) in pixels of each decoded image
SCORES = "detection_scores"  # float32 [N, M], falling
CLASSES = "detection_classes"  # int32 [N, M], label ids 1..K
COUNT = "num_detections"  # int32 [N]
IMAGE_SIZE = "image_size"  # int32 [N, 2], (height, width) of each decoded image
STATUS = "status"  # int32 [N], one of the two below
STATUS_OK = 0
STATUS_NOT_DECODABLE = 1
# Optional: exports of earlier versions lack it. D is a property of the backbone; zero where an image is not decodable.
FEATURES = "features"  # float32 [N, D], means of the backbone's channels over the image (retinanet_odm.novelty)

# The only input of model.tflite and model.onnx: RGB, uint8 [1, H, W, 3], laid out as by
# trainer.data.preprocess.letterbox. The image ends at the last row and column that are not all of the padding's colour.
# Their outputs are BOXES, in pixels of the canvas and clipped to the image on it, SCORES, CLASSES and COUNT, with
# N = 1.
CANVAS = "canvas"

# Minimum score of the detections of a class for which no evaluation has found a better one.
DEFAULT_THRESHOLD = 0.5


def class_thresholds(
    classes: Iterable[str], thresholds: Mapping[str, float], score_threshold: float
) -> dict[str, float]:
    """Return the minimum score of the detections that count, by class name.

    Args:
      classes: names of all classes.
      thresholds: those that an evaluation has found; DEFAULT_THRESHOLD counts where there is none.
      score_threshold: of the exported graph, which itself drops what is below.
    """
    return {name: max(score_threshold, thresholds.get(name, DEFAULT_THRESHOLD)) for name in classes}


_BY_CLASS = ("per_class", "rates_per_class")  # parts of an interval, which are large

# To be increased when the reader below can no longer read an older model.json. A new field gets a default instead.
MODEL_SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ModelManifest:
    """The content of model.json; the attributes are its keys.

    Attributes:
      schema_version: MODEL_SCHEMA_VERSION when it was written.
      labels: the classes.
      image_size: (height, width) of the model's canvas; the model letterboxes images of any size into it.
      anchors: settings of the anchor grid.
      score_threshold, nms_iou, max_detections: settings of the exported graph.
      thresholds: by class name, the minimum score of the detections to keep: that of the best F1 in the evaluation;
        empty if there was no evaluation.
      dataset_fingerprint: identifies the data set of the training.
      dataset: its name, and `splits`: the numbers of images and boxes of each; empty in exports of earlier versions.
      versions: of the packages that trained and exported the model; empty in exports of earlier versions.
      metrics: the evaluation on the validation split, without its tables and curves.
      config: the training configuration.
      tile: `side` in pixels and `overlap` of the tiles of images from which the model has learned
        (retinanet_odm.imaging.tile_grid); empty for whole images, and in exports of earlier versions.
      training: how the training went: `steps`, `planned_steps`, `hours`, `ended_by` (num_epochs, patience or max_hours;
        "" if it was stopped) and `reason`, in words; empty in exports of earlier versions.
      files: hex SHA-256 of every file of the SavedModel, by path in the export folder.
      code_version: version of the program that exported the model.
      signatures: names of those of the SavedModel; empty in exports of earlier versions.
      identity: hex SHA-256 over the weights and over what else decides the detections; empty in exports of earlier
        versions. Unlike the files, which hold names that are drawn at random, it is the same for equal models.
    """

    FILE: ClassVar[str] = "model.json"

    schema_version: int = MODEL_SCHEMA_VERSION
    labels: LabelMap
    image_size: tuple[int, int]
    anchors: dict[str, Any]
    score_threshold: float
    nms_iou: float
    max_detections: int
    thresholds: dict[str, float] = field(default_factory=dict)
    dataset_fingerprint: str
    dataset: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any]
    config: dict[str, Any]
    tile: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str]
    code_version: str
    signatures: list[str] = field(default_factory=list)
    identity: str = ""

    def __post_init__(self) -> None:
        check_schema_version(self.schema_version, MODEL_SCHEMA_VERSION, source=self.FILE, remedy="export again")

    @property
    def model_hash(self) -> str:
        """Hex SHA-256 that identifies the model in prediction rows: the identity, or else over digests of the files."""
        return self.identity or hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    @property
    def operating_thresholds(self) -> dict[str, float]:
        """By class name, the minimum score of the detections that count; DEFAULT_THRESHOLD where there is none."""
        return class_thresholds(self.labels.name_by_id.values(), self.thresholds, self.score_threshold)

    def facts(self) -> dict[str, Any]:
        """Return what reports say about the model, as summary.json holds it; what is not known is missing."""
        interval = (self.metrics.get("intervals") or [{}])[-1]
        rates, classes = self.metrics.get("at_thresholds", {}), self.metrics.get("per_class", {})
        facts = {
            "backbone": self.config.get("backbone"),
            "image_size": list(self.image_size) if any(self.image_size) else None,
            "steps": self.config.get("steps"),
            "code_version": self.code_version,
            "versions": self.versions,
            "dataset": {**self.dataset, "fingerprint": self.dataset_fingerprint} if self.dataset_fingerprint else {},
            "evaluation": self.metrics.get("images")
            and {
                **{name: self.metrics.get(name) for name in ("split", "images", "AP50")},
                **({"tile": self.metrics["tile"]} if self.metrics.get("tile") else {}),  # the images are tiles
                **rates,
                "interval": {name: value for name, value in interval.items() if name not in _BY_CLASS},
                "per_class": {
                    name: {
                        "threshold": values.get("threshold"),
                        "count_ratio": values.get("count_ratio"),
                        "interval": interval.get("rates_per_class", {}).get(name, {}).get("count_ratio"),
                    }
                    for name, values in classes.items()
                },
            },
        }
        return {name: value for name, value in facts.items() if value}

    def to_json(self) -> str:
        """Return the text of model.json."""
        value = dataclasses.asdict(self)
        value["labels"] = self.labels.to_json()
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """Parse the text of model.json.

        Args:
          text: the text.
          source: name of the file, for messages.

        Raises:
          ContractError: it is not JSON, of another schema version, or has missing, unknown or invalid fields.
        """
        value = parse_json_object(text, source=source)
        # The order matters: another version may have other fields, and the message must name the version.
        check_schema_version(value.get("schema_version"), MODEL_SCHEMA_VERSION, source=source, remedy="export again")
        try:
            value["labels"] = LabelMap.from_json(value["labels"])
            height, width = value["image_size"]
            value["image_size"] = (int(height), int(width))
            return cls(**value)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ContractError(f"{source}: not a model manifest of this version: {error}") from error
