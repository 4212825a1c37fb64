"""The two commit marks: ``dataset.json`` of a data set and ``model.json`` of an exported model.

Each is written last, so that its presence means that everything it names is whole. Readers go by the manifest, never
by a glob.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from detection.errors import ContractError
from detection.examples import SCHEMA_VERSION
from detection.labels import LabelMap

# Raised when a model.json written before can no longer be read; a field that is new has a default instead.
MODEL_SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One TFRecord file of a split: its name in the data set's folder, number of examples and hex SHA-256."""

    name: str
    examples: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """One split: how many examples and boxes, boxes per class name, and its shards in order."""

    examples: int
    boxes: int
    boxes_per_class: dict[str, int]
    shards: tuple[ShardInfo, ...]


@dataclass(frozen=True, kw_only=True)
class DatasetManifest:
    """Everything a reader of the data set must know.

    Attributes:
      max_boxes_per_image: the largest number of boxes in one image, over all splits.
      aspect_ratio_min, aspect_ratio_max: smallest and largest width / height of an image; 0 when there is none.
      images_in: images found; equals the examples of all splits plus rejected.
      rejected: images that did not become examples; each has a line in rejected.jsonl.
      objects_dropped: boxes left out of images that were kept, by reason; each has a line in rejected.jsonl.
      shapes_ignored: shapes of the annotations that have no box by design, such as points, by kind.
      fingerprint: hex SHA-256 over label map and shard digests: equal fingerprints mean equal data.
    """

    FILE: ClassVar[str] = "dataset.json"

    schema_version: int = SCHEMA_VERSION
    labels: LabelMap
    splits: dict[str, SplitInfo]
    max_boxes_per_image: int
    aspect_ratio_min: float
    aspect_ratio_max: float
    images_in: int
    rejected: int
    rejected_by_reason: dict[str, int]
    objects_dropped: dict[str, int]
    shapes_ignored: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any]
    code_version: str
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        _check_version(self.schema_version, SCHEMA_VERSION, source=self.FILE, remedy="prepare again")
        examples = sum(split.examples for split in self.splits.values())
        if self.images_in != examples + self.rejected:
            raise ContractError(
                f"{self.FILE}: images_in = examples + rejected does not hold:"
                f" {self.images_in} != {examples} + {self.rejected}"
            )
        fingerprint = self._fingerprint()
        if self.fingerprint not in ("", fingerprint):
            raise ContractError(f"{self.FILE}: fingerprint {self.fingerprint} does not belong to its labels and shards")
        object.__setattr__(self, "fingerprint", fingerprint)

    def _fingerprint(self) -> str:
        shards = {name: [shard.sha256 for shard in split.shards] for name, split in sorted(self.splits.items())}
        content = json.dumps([self.labels.to_json(), shards], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def num_classes(self) -> int:
        return self.labels.num_classes

    def split(self, name: str) -> SplitInfo:
        """The split of this name.

        Raises:
          ContractError: there is none, or it holds no examples.
        """
        info = self.splits.get(name)
        if info is None or not info.examples:
            sizes = {key: value.examples for key, value in self.splits.items()}
            raise ContractError(f"{self.FILE}: split {name!r} has no examples; the data set holds {sizes}")
        return info

    def to_json(self) -> str:
        value = dataclasses.asdict(self)
        value["labels"] = self.labels.to_json()
        value["num_classes"] = self.num_classes
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """Reads a manifest; source names the file in messages.

        Raises:
          ContractError: not JSON, a field is missing or unknown, or the content contradicts itself.
        """
        value = _object(text, source)
        # First of all: another version may well have other fields.
        _check_version(value.get("schema_version"), SCHEMA_VERSION, source=source, remedy="prepare again")
        value.pop("num_classes", None)
        try:
            value["labels"] = LabelMap.from_json(value["labels"])
            value["splits"] = {name: _split(split) for name, split in value["splits"].items()}
            return cls(**value)
        except (KeyError, TypeError, AttributeError) as error:
            raise ContractError(f"{source}: not a data set manifest of this version: {error}") from error


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
        _check_version(self.schema_version, MODEL_SCHEMA_VERSION, source=self.FILE, remedy="export again")

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
        value = _object(text, source)
        _check_version(value.get("schema_version"), MODEL_SCHEMA_VERSION, source=source, remedy="export again")
        try:
            value["labels"] = LabelMap.from_json(value["labels"])
            height, width = value["image_size"]
            value["image_size"] = (int(height), int(width))
            return cls(**value)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ContractError(f"{source}: not a model manifest of this version: {error}") from error


def _check_version(found: object, expected: int, *, source: str, remedy: str) -> None:
    if found != expected:
        raise ContractError(f"{source}: schema version {expected} expected, found {found}; {remedy}")


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ContractError(f"{source}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ContractError(f"{source}: expected a JSON object, found {type(value).__name__}")
    return value


def _split(value: dict[str, Any]) -> SplitInfo:
    return SplitInfo(**{**value, "shards": tuple(ShardInfo(**shard) for shard in value["shards"])})
