"""The request of `export`, validated as far as that needs no file."""

from dataclasses import dataclass
from typing import Any

from retinanet_odm.errors import UsageError

# Values of --format and --images.
COCO, YOLO = "coco", "yolo"
COPY, NONE = "copy", "none"
TITLES = {COCO: "COCO", YOLO: "YOLO"}


@dataclass(frozen=True, kw_only=True)
class DatasetExportOptions:
    """The request.

    Attributes:
      dataset: the folder of the data set, without a trailing slash.
      output: the folder of the export, likewise.
      format: COCO or YOLO.
      images: COPY, or NONE for annotations without the images.
      license: name or address of the licence of the images; "" if it is not known.

    Raises:
      UsageError: a value is empty.
    """

    dataset: str
    output: str
    format: str
    images: str = COPY
    license: str = ""

    def __post_init__(self) -> None:
        for name, value in (("DATASET", self.dataset), ("--output", self.output)):
            if not value:
                raise UsageError(f"{name}: expected a folder, found an empty name")

    def to_json(self) -> dict[str, Any]:
        """Return the options that decide the content of the export, for export.json."""
        return {"format": self.format, "images": self.images, "license": self.license}
