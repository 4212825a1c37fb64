"""Roll-up: an object whose species is unsure gets the lowest taxon of which the model is sure enough (--taxa).

Begin with `TaxonScores`. The detections of one object are those of classes of one tree whose boxes overlap: they
compete for it, and a class further away in the tree speaks for the taxa that it shares with the others. The scores of
an object add up to at most 1. They add up like probabilities, but scores trained with focal loss are neither exclusive
nor calibrated: `evaluate --taxa` measures what a rank is worth.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.boxes import as_boxes, iou
from retinanet_odm.labels.taxa import Taxonomy
from retinanet_odm.predictions.rows import SCORE_DIGITS, Detection, PredictionRow, ScoringRun, reaches


@dataclass(frozen=True)
class TaxonScores:
    """The classes of a run and the taxa above them.

    Attributes:
      scored: the run that the rows come from; every class has a row in the table (Taxonomy.check_classes).
      taxonomy: the tree.
    """

    scored: ScoringRun
    taxonomy: Taxonomy

    @cached_property
    def run(self) -> ScoringRun:
        """The run with the taxa above its classes as further classes, whose ids follow the classes'.

        A taxon has the highest of the minimum scores of the classes below it: it is never easier to reach than each of
        them.
        """
        below: dict[str, list[int]] = {}
        for label_id, label in self.scored.classes.items():
            for taxon in self.taxonomy.lineage(label):
                below.setdefault(taxon.label, []).append(label_id)
        names = set(self.scored.classes.values())
        # In the order of the table, so that ids do not depend on which class comes first.
        above = [label for label in self.taxonomy.by_label if label in below and label not in names]
        ids = dict(enumerate(above, start=max(self.scored.classes) + 1))
        scores = [
            {**given, **{label_id: max(given[one] for one in below[label]) for label_id, label in ids.items()}}
            for given in (self.scored.thresholds, self.scored.min_scores)
        ]
        return dataclasses.replace(
            self.scored, classes={**self.scored.classes, **ids}, thresholds=scores[0], min_scores=scores[1]
        )

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {label: label_id for label_id, label in self.run.classes.items()}

    def roll_up(self, row: PredictionRow) -> PredictionRow:
        """Return a row with one detection for each object of which some taxon reaches its minimum score.

        Args:
          row: with all detections that the run has, also those below the minimum scores.
        """
        known = (item for item in row.detections if item.label_id in self.scored.classes)
        found = (self._object(group) for group in self._groups(known))
        detections = sorted((item for item in found if item), key=lambda item: -item.score)  # as in every row
        return dataclasses.replace(row, detections=tuple(detections))

    def detections_at(self, row: PredictionRow, rank: str) -> Iterator[Detection]:
        """Yield a detection for each taxon of a rank that an object of a row may be, whatever its score."""
        for group in self._groups(item for item in row.detections if item.label_id in self.scored.classes):
            sums, best = self.sum_scores({item.label: item.score for item in group}), dict[str, Detection]()
            for item in group:
                if taxon := self.taxonomy.at_rank(item.label, rank):
                    best.setdefault(taxon.label, item)
            for label, item in best.items():
                yield dataclasses.replace(item, label=label, label_id=self._ids[label], score=sums[label])

    def _groups(self, detections: Iterable[Detection]) -> Iterator[list[Detection]]:
        """Yield the detections of each object, the one of the best score first."""
        items = sorted(detections, key=lambda item: -item.score)
        boxes, tops = as_boxes([item.corners for item in items]), [self._top(item) for item in items]
        is_near = (iou(boxes, boxes) > self.scored.nms_iou).tolist()  # one call: a call for each group takes longer
        remaining = list(range(len(items)))
        while remaining:
            first, others, remaining = remaining[0], remaining[1:], []
            group = {items[first].label: items[first]}
            for other in others:
                # One of each class: two boxes of one class that suppression has kept are two objects.
                if items[other].label not in group and tops[other] == tops[first] and is_near[first][other]:
                    group[items[other].label] = items[other]
                else:
                    remaining.append(other)
            yield list(group.values())

    def _top(self, item: Detection) -> str:
        return self.taxonomy.lineage(item.label)[-1].label

    def _object(self, group: list[Detection]) -> Detection | None:
        """Return an object with the lowest taxon that reaches its minimum score; None if not even the top does."""
        sums = self.sum_scores({item.label: item.score for item in group})
        candidates = [
            dataclasses.replace(group[0], label=label, label_id=self._ids[label], score=score)
            for label, score in sums.items()
        ]
        sure = [item for item in candidates if reaches(item, self.run.min_scores)]
        above = {taxon.label for item in sure for taxon in self.taxonomy.lineage(item.label)[1:]}
        # Of equal scores the first, which is of the best class.
        return max((item for item in sure if item.label not in above), key=lambda item: item.score, default=None)

    def sum_scores(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the score of every taxon of an object, rounded as in rows; none is above 1.

        Args:
          scores: by class. If they add up to more than 1, each is divided by their sum.
        """
        total, sums = max(1.0, sum(scores.values())), dict[str, float]()
        for label, score in scores.items():
            for taxon in self.taxonomy.lineage(label):
                sums[taxon.label] = sums.get(taxon.label, 0.0) + score / total
        return {label: round(value, SCORE_DIGITS) for label, value in sums.items()}
