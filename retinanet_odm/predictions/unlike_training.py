"""How many images of a run, and of each deployment, are unlike the training images; counts there are not to be trusted.

Begin with `NoveltySummary`. Rows without a novelty, of failed images and of models without a reference, do not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.wording import plural

# One in a hundred images of the training's kind is above the limit, or more if few were held out: from this share on,
# chance is no explanation; in a deployment, which may have few images, from this number on.
_ALARMING_SHARE, _MIN_ALARMING = 0.1, 3
_MAX_DEPLOYMENTS = 1000  # names that number the images would otherwise make a million of them
_MAX_STORED, _MAX_NAMED = 20, 3  # deployments in summary.json and in a sentence


@dataclass(eq=False)
class NoveltyCounts:
    """Counts over images: those with a novelty, those that are unlike the training images, the sum of the novelties."""

    images: int = 0
    unlike: int = 0
    total: float = 0.0

    @property
    def share(self) -> float:
        """The share of the images that are unlike the training images; 0 without images."""
        return self.unlike / self.images if self.images else 0.0

    @property
    def mean(self) -> float:
        """The mean novelty; 0 without images."""
        return self.total / self.images if self.images else 0.0

    def add(self, novelty: float, *, unlike: bool) -> None:
        """Add an image."""
        self.images += 1
        self.unlike += unlike
        self.total += novelty

    def to_json(self) -> dict[str, Any]:
        """Return the counts as summary.json holds them."""
        return {"images": self.images, "unlike_training": self.unlike, "mean_novelty": round(self.mean, 3)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NoveltyCounts":
        """Return what to_json holds."""
        images = value["images"]
        return cls(images=images, unlike=value["unlike_training"], total=images * value["mean_novelty"])


@dataclass(eq=False)
class NoveltySummary:
    """Counts over the images of a run.

    Attributes:
      all: over all images.
      deployments: over those of each deployment, of the first thousand.
    """

    all: NoveltyCounts = field(default_factory=NoveltyCounts)
    deployments: dict[str, NoveltyCounts] = field(default_factory=dict)

    def add(self, row: PredictionRow) -> None:
        """Add an image; one without a novelty does not count."""
        if row.novelty is None:
            return
        counts, name = [self.all], row.deployment
        if name in self.deployments or len(self.deployments) < _MAX_DEPLOYMENTS:
            counts.append(self.deployments.setdefault(name, NoveltyCounts()))
        for one in counts:
            one.add(row.novelty, unlike=row.is_unlike_training)

    @property
    def alarming(self) -> dict[str, NoveltyCounts]:
        """The deployments with more images unlike the training images than chance explains, the worst first."""
        found = [
            (name, counts)
            for name, counts in self.deployments.items()
            if counts.unlike >= _MIN_ALARMING and counts.share >= _ALARMING_SHARE
        ]
        return dict(sorted(found, key=lambda item: (-item[1].share, item[0])))

    @property
    def is_alarming(self) -> bool:
        """Whether counts are not to be trusted, of all images or of a deployment."""
        return self.all.share >= _ALARMING_SHARE or bool(self.alarming)

    def describe(self) -> str:
        """Return the result in one sentence without its full stop; "" if no image has a novelty."""
        if not self.all.images:
            return ""
        unlike, verb = self.all.unlike, plural("is", self.all.unlike)
        line = f"{unlike:,} of {self.all.images:,} images {verb} unlike the training images"
        if not self.is_alarming:
            return line
        named = ", ".join(
            f"{name} ({counts.unlike:,} of {counts.images:,})"
            for name, counts in list(self.alarming.items())[:_MAX_NAMED]
            if name and counts.images < self.all.images
        )
        return f"{line}: counts there are not trustworthy" + (f"; most of all in {named}" if named else "")

    def to_json(self) -> dict[str, Any]:
        """Return the counts as summary.json holds them: of the deployments only the alarming ones."""
        worst = list(self.alarming.items())[:_MAX_STORED]
        return {**self.all.to_json(), "deployments": {name: counts.to_json() for name, counts in worst}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NoveltySummary":
        """Return what to_json holds."""
        deployments = {name: NoveltyCounts.from_json(counts) for name, counts in value["deployments"].items()}
        return cls(all=NoveltyCounts.from_json(value), deployments=deployments)
