"""``dataset.json``, the manifest of a data set.

It is written last: if it exists, every file that it names is complete. Readers find the shards by the manifest, never
by a glob. Field names of these classes are the keys of the JSON file; renaming one changes the format.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from retinanet_odm.dataset.example_keys import PARTIAL_SCHEMA_VERSION, SCHEMA_VERSION, SCHEMA_VERSIONS
from retinanet_odm.errors import ContractError
from retinanet_odm.json_documents import check_schema_version, parse_json_object
from retinanet_odm.labels.label_map import LabelMap


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One TFRecord file of a split: its name in the data set's folder, its number of examples and hex SHA-256."""

    name: str
    examples: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """One split.

    Attributes:
      examples: number of images.
      boxes: number of boxes.
      boxes_per_class: boxes by class name.
      shards: in order.
      not_exhaustive: images by the name of a class of which they may show objects without a box.
      ignored_regions: number of areas in which nobody has looked for objects.
    """

    examples: int
    boxes: int
    boxes_per_class: dict[str, int]
    shards: tuple[ShardInfo, ...]
    not_exhaustive: dict[str, int] = field(default_factory=dict)
    ignored_regions: int = 0

    @property
    def is_partial(self) -> bool:
        """Whether something is not known of some image."""
        return bool(self.not_exhaustive or self.ignored_regions)


@dataclass(frozen=True, kw_only=True)
class DatasetManifest:
    """Everything that a reader of the data set must know.

    Attributes:
      schema_version: of the records and of this file: PARTIAL_SCHEMA_VERSION if something is not known of some image.
      labels: the label map.
      splits: by name.
      max_boxes_per_image: the largest number of boxes in one image, over all splits, plus the largest number of ignored
        regions in one.
      aspect_ratio_min, aspect_ratio_max: the smallest and largest width / height of an image; 0 if there is none.
      images_in: the number of images found; equals the examples of all splits plus rejected.
      rejected: the number of images that did not become examples; each has a line in rejected.jsonl.
      rejected_by_reason: the same by reason.
      objects_dropped: boxes that were dropped from images that were kept, by reason; each has a line in rejected.jsonl.
      shapes_ignored: shapes of the annotations that have no box by design, such as points, by kind.
      options: the flags that determine the content.
      code_version: the version of the program.
      files: hex SHA-256 of the files beside the shards, by name; empty in data sets of earlier versions.
      fingerprint: hex SHA-256 over the label map and the digests of the shards: equal fingerprints mean equal data.
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
    files: dict[str, str] = field(default_factory=dict)
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        check_schema_version(self.schema_version, *SCHEMA_VERSIONS, source=self.FILE, remedy="prepare again")
        # A reader of the first version would learn what is not known as background.
        if not self.is_partial and any(split.is_partial for split in self.splits.values()):
            raise ContractError(f"{self.FILE}: partial labels need schema version {PARTIAL_SCHEMA_VERSION}")
        # Every image that was found is accounted for: it is an example, or it was rejected.
        examples = sum(split.examples for split in self.splits.values())
        if self.images_in != examples + self.rejected:
            raise ContractError(
                f"{self.FILE}: images_in = examples + rejected does not hold:"
                f" {self.images_in} != {examples} + {self.rejected}"
            )
        fingerprint = self._fingerprint()
        if self.fingerprint not in ("", fingerprint):
            raise ContractError(f"{self.FILE}: fingerprint {self.fingerprint} does not belong to its labels and shards")
        object.__setattr__(self, "fingerprint", fingerprint)  # the class is frozen

    def _fingerprint(self) -> str:
        # Options and paths are not part of it: equal data from other folders has the same fingerprint.
        shards = {name: [shard.sha256 for shard in split.shards] for name, split in sorted(self.splits.items())}
        content = json.dumps([self.labels.to_json(), shards], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def is_partial(self) -> bool:
        """Whether records may name classes that are not exhaustive, and ignored regions."""
        return self.schema_version == PARTIAL_SCHEMA_VERSION

    @property
    def num_classes(self) -> int:
        """The largest id of the label map."""
        return self.labels.num_classes

    def split(self, name: str) -> SplitInfo:
        """Return the split of this name.

        Raises:
          ContractError: there is none, or it has no examples.
        """
        info = self.splits.get(name)
        # An empty split and a missing one are the same to a reader; the message lists what there is.
        if info is None or not info.examples:
            sizes = {key: value.examples for key, value in self.splits.items()}
            raise ContractError(f"{self.FILE}: split {name!r} has no examples; the data set holds {sizes}")
        return info

    def to_json(self) -> str:
        """Format the manifest as the content of dataset.json; equal manifests give equal text."""
        value = dataclasses.asdict(self)
        if not self.is_partial:  # the first version has no such fields
            for split in value["splits"].values():
                del split["not_exhaustive"], split["ignored_regions"]
        value["labels"] = self.labels.to_json()
        value["num_classes"] = self.num_classes
        # Sorted keys, so that a diff of two manifests shows only what differs.
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """Parse a manifest.

        Args:
          text: the content of dataset.json.
          source: the file's name, for messages.

        Raises:
          ContractError: the text is not JSON, a field is missing or unknown, or the content is inconsistent.
        """
        value = parse_json_object(text, source=source)
        # Check the version first, because another version may have other fields.
        check_schema_version(value.get("schema_version"), *SCHEMA_VERSIONS, source=source, remedy="prepare again")
        if not isinstance(found := value.get("files", {}), dict):
            raise ContractError(f"{source}: files: expected digests by name, found a {type(found).__name__}")
        value.pop("num_classes", None)  # for other readers; derived from the labels
        try:
            value["labels"] = LabelMap.from_json(value["labels"])
            value["splits"] = {name: _split(split) for name, split in value["splits"].items()}
            return cls(**value)
        except (KeyError, TypeError, AttributeError) as error:
            raise ContractError(f"{source}: not a data set manifest of this version: {error}") from error


def _split(value: dict[str, Any]) -> SplitInfo:
    return SplitInfo(**{**value, "shards": tuple(ShardInfo(**shard) for shard in value["shards"])})
