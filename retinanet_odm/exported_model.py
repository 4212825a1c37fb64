"""The exported model's contract: three signatures that differ in their input alone; boxes in each image's own pixels.

N is dynamic and may be 0, M is the model's max_detections. Rows beyond an image's num_detections are zero. An image
that cannot be read gets status 1 and no detections; the others of its batch are not affected.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from retinanet_odm.errors import ContractError
from retinanet_odm.json_documents import check_schema_version, parse_json_object
from retinanet_odm.labels.label_map import LabelMap

# Encoded photographs of any sizes.
SERVING = "serving_default"

# JPEG, PNG, GIF or BMP bytes, string [N]. EXIF orientation is ignored: bake it first (retinanet_odm.imaging.images).
IMAGE_BYTES = "image_bytes"

# Records of a data set.
TF_EXAMPLE = "tf_example"

# Serialized tf.train.Example, string [N]; only retinanet_odm.dataset.examples.ENCODED is read.
EXAMPLES = "examples"

# Photographs of one size that are decoded already, such as frames of a video.
IMAGE_TENSOR = "image_tensor"

# RGB, uint8 [N, height, width, 3]; height and width are dynamic.
IMAGES = "images"

# The one input of model.tflite and model.onnx. RGB, uint8 [1, H, W, 3], laid out as by
# trainer.data.preprocess.letterbox. Their outputs are detection_boxes, in pixels of the canvas and not clipped to it, detection_scores, detection_classes
# and num_detections, with N = 1.
CANVAS = "canvas"

# Outputs.
BOXES = "detection_boxes"  # float32 [N, M, 4], (ymin, xmin, ymax, xmax) in pixels of each decoded image
SCORES = "detection_scores"  # float32 [N, M], falling
CLASSES = "detection_classes"  # int32 [N, M], label ids 1..K
COUNT = "num_detections"  # int32 [N]
IMAGE_SIZE = "image_size"  # int32 [N, 2], (height, width) of each decoded image
STATUS = "status"  # int32 [N], one of the two below
STATUS_OK = 0
STATUS_NOT_DECODABLE = 1

# Raised when a model.json written before can no longer be read; a field that is new has a default instead.
MODEL_SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ModelManifest:
    """Everything a user of the exported model must know.

    Attributes:
      image_size: (height, width) of the model's canvas; images of any size are letterboxed into it by the model.
      anchors: the settings of the anchor grid.
      score_threshold, nms_iou, max_detections: what the exported graph was built with.
      thresholds: the score from which a detection of each class, by name, is worth keeping: that of the best F1 in the
        evaluation; empty where there was none.
      dataset_fingerprint: which data it was trained on.
      metrics: evaluation on the validation split, without its tables and curves.
      config: the training configuration.
      files: hex SHA-256 of every file of the SavedModel, by path in the export folder.
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
    metrics: dict[str, Any]
    config: dict[str, Any]
    files: dict[str, str]
    code_version: str

    def __post_init__(self) -> None:
        check_schema_version(self.schema_version, MODEL_SCHEMA_VERSION, source=self.FILE, remedy="export again")

    @property
    def model_hash(self) -> str:
        """Hex SHA-256 over the files' digests: the identity of the model that predictions carry."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        value = dataclasses.asdict(self)
        value["labels"] = self.labels.to_json()
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """Reads a manifest; source names the file in messages.

        Raises:
          ContractError: not JSON, a field is missing or unknown, or the content contradicts itself.
        """
        value = parse_json_object(text, source=source)
        check_schema_version(value.get("schema_version"), MODEL_SCHEMA_VERSION, source=source, remedy="export again")
        try:
            value["labels"] = LabelMap.from_json(value["labels"])
            height, width = value["image_size"]
            value["image_size"] = (int(height), int(width))
            return cls(**value)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ContractError(f"{source}: not a model manifest of this version: {error}") from error
