"""Do the intervals of `abundance` hold, and what does the detector save?

    python -m benchmarks.abundance [--surveys 500] [--labels 200] [--evaluation EVAL_JSON]

Draws surveys with known counts: 6 deployments of 400 images in 4 periods, animals by the negative binomial distribution
(variance μ + μ² / 2) whose mean differs between deployments (log-normal, σ 0.6) and over time. A detector finds each
animal with a probability, and adds false ones by the Poisson distribution. With drift, both differ between deployments:
the recall by a factor of 0.5 to 1.15, false detections log-normally (σ 0.8). Rare: 0.05 animals per image, others 1.5.
Clumped, as fish in schools: the variance is μ + 10 μ².

With --evaluation, there are real detectors, too: the pairs of true and found counts that an eval.json of the trainer
or an evaluation.json has of each class. A deployment draws its images from them, its mean differs as above (exponential
tilting by the true count), and with drift its detections are thinned and added to.

Each survey is audited as `audit` does, and estimated as `abundance` does. Labels alone are as many labels, drawn by
deployment and time only, without a detector. Exits with 1 if a target is missed: coverage of the survey's and the
deployments' intervals 93 to 97 %, at most 5 % wider than labels alone, and 30 % narrower with the real detector.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.measures import Result, print_results
from retinanet_odm.evaluation.abundance import BY_DEPLOYMENT, PER_IMAGE, SURVEY, AuditedUnits, estimate_abundance
from retinanet_odm.evaluation.audit_design import draw_audit

DEPLOYMENTS, IMAGES, PERIODS = 6, 400, 4
COVERAGE = (0.93, 0.97)
WIDEST, REAL = 1.05, 0.70

Survey = tuple[np.ndarray, np.ndarray]  # true and predicted count of each image


@dataclass(frozen=True)
class Detector:
    """A detector: recall, false detections per image, whether both differ between deployments; animals per image.

    Their variance is μ + μ² / shape.
    """

    recall: float
    false: float
    drift: bool
    mean: float = 1.5
    shape: float = 2.0

    def __call__(self, random: np.random.Generator) -> Survey:
        moment = np.arange(IMAGES) / IMAGES
        means = self.mean * np.exp(random.normal(0, 0.6, (DEPLOYMENTS, 1))) * np.exp(0.5 * np.sin(2 * np.pi * moment))
        truth = random.negative_binomial(self.shape, self.shape / (self.shape + means))
        recall, false = drifted(self, random)
        return truth.ravel(), (random.binomial(truth, recall) + random.poisson(false, truth.shape)).ravel()


@dataclass(frozen=True)
class Real:
    """A detector by pairs [P, 2] of true and found counts, with the number of images of each [P]."""

    pairs: np.ndarray
    images: np.ndarray
    drift: bool

    def __call__(self, random: np.random.Generator) -> Survey:
        spread = max(self.pairs[:, 0].std(), 1.0)
        tilt = np.exp(random.normal(0, 0.6, (DEPLOYMENTS, 1)) * self.pairs[:, 0] / spread) * self.images
        rows = [random.choice(len(self.pairs), IMAGES, p=share / share.sum()) for share in tilt]
        truth, found = np.moveaxis(self.pairs[np.array(rows)], -1, 0)
        if self.drift:
            recall, false = drifted(Detector(0.95, 0.05 * found.mean(), drift=True), random)
            found = random.binomial(found, recall) + random.poisson(false, found.shape)
        return truth.ravel(), found.ravel()


def drifted(detector: Detector, random: np.random.Generator) -> Survey:
    """Return recall and false detections of each deployment [D, 1]."""
    if not detector.drift:
        return np.full((DEPLOYMENTS, 1), detector.recall), np.full((DEPLOYMENTS, 1), detector.false)
    recall = np.minimum(detector.recall * random.uniform(0.5, 1.15, (DEPLOYMENTS, 1)), 1)
    return recall, detector.false * np.exp(random.normal(0, 0.8, (DEPLOYMENTS, 1)))


@dataclass
class Tally:
    """What is known of the intervals of many surveys."""

    covered: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    missing: int = 0

    def add(self, row: dict, truth: float) -> None:
        if row["low"] is None:
            self.missing += 1
            return
        self.covered.append(row["low"] <= truth <= row["high"])
        self.widths.append(2 * row["half_width"])

    @property
    def coverage(self) -> float:
        return float(np.mean(self.covered))

    @property
    def width(self) -> float:
        return float(np.mean(self.widths))


def estimates(truth: np.ndarray, predicted: np.ndarray, labels: int, random: np.random.Generator) -> dict[str, list]:
    """Audit a survey; return the rows of the survey and of its deployments."""
    places, periods = (
        np.repeat(np.arange(DEPLOYMENTS), IMAGES),
        np.tile(np.arange(IMAGES) * PERIODS // IMAGES, DEPLOYMENTS),
    )
    keys = random.integers(0, 2**63, len(truth)).astype(np.uint64)
    design = draw_audit(places, periods, predicted, keys, size=labels)
    units = AuditedUnits(
        deployments=places,
        periods=np.zeros(len(truth), int),
        deployment_names=[str(place) for place in range(DEPLOYMENTS)],
        period_names=[""],
        strata=design.strata,
        audited=design.audited,
        images=np.ones(len(truth)),
    )
    labelled = truth[design.audited, None].astype(float)
    rows = estimate_abundance(units, predicted[:, None].astype(float), labelled, ["animal"], statistic=PER_IMAGE)
    return {scope: [row for row in rows if row["scope"] == scope] for scope in (SURVEY, BY_DEPLOYMENT)}


def measure(title: str, detector: Detector | Real, surveys: int, labels: int) -> Iterator[Result]:
    random = np.random.default_rng(20)
    ours, alone = ({scope: Tally() for scope in (SURVEY, BY_DEPLOYMENT)} for _ in range(2))
    correlations, naive, worth = [], [], []
    for _ in range(surveys):
        truth, predicted = detector(random)
        means = {SURVEY: [truth.mean()], BY_DEPLOYMENT: truth.reshape(DEPLOYMENTS, -1).mean(axis=1).tolist()}
        with np.errstate(invalid="ignore"):  # of a detector that finds nothing
            correlations.append(np.corrcoef(truth, predicted)[0, 1])
        naive.append(predicted.mean() / truth.mean() - 1)
        for tallies, counts in ((ours, predicted), (alone, np.zeros_like(predicted))):
            for scope, rows in estimates(truth, counts, labels, random).items():
                for row, mean in zip(rows, means[scope], strict=True):
                    tallies[scope].add(row, mean)
                if tallies is ours and scope == SURVEY and rows[0]["effective_labels"]:
                    worth.append(rows[0]["effective_labels"])
    limit = REAL if isinstance(detector, Real) and not detector.drift else WIDEST
    about = f"{title}: correlation {np.nanmean(correlations):.2f}, detections alone off by {np.mean(naive):+.0%}"
    yield Result(title=about, value=f"(from {min(naive):+.0%} to {max(naive):+.0%}); labels worth {np.mean(worth):.0f}")
    for scope, most in ((SURVEY, limit), (BY_DEPLOYMENT, WIDEST)):
        tally, other = ours[scope], alone[scope]
        ratio = tally.width / other.width
        missing = f"; {tally.missing} without interval" if tally.missing else ""
        yield Result(
            title=f"    {scope}: coverage, width to that of labels alone (their coverage)",
            value=f"{tally.coverage:.1%}, {ratio:.2f} ({other.coverage:.1%}){missing}",
            good=COVERAGE[0] <= tally.coverage <= COVERAGE[1] and ratio <= most,
        )


def detectors(evaluation: Path | None) -> Iterator[tuple[str, Detector | Real]]:
    counts = json.loads(evaluation.read_text(encoding="utf-8"))["details"]["counts"] if evaluation else {}
    for name, entry in counts.items():
        table = np.array(entry["images"])
        if not np.ptp(table[:, :2], axis=0).all():
            continue  # a count that is the same in all images has no error to judge
        for drift in (False, True):
            yield f"{name}{', drift' if drift else ''}", Real(table[:, :2], table[:, 2], drift)
    for title, recall, false in (("good", 0.9, 0.15), ("fair", 0.7, 0.5), ("bad", 0.4, 1.5), ("blind", 0.0, 1.5)):
        for drift in (False, True):
            yield f"{title}{', drift' if drift else ''}", Detector(recall, false, drift)
    yield "rare, drift", Detector(0.7, 0.02, drift=True, mean=0.05)
    yield "clumped, drift", Detector(0.7, 0.5, drift=True, shape=0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=500)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--evaluation", type=Path, metavar="EVAL_JSON")
    flags = parser.parse_args()
    rows = (
        result
        for title, detector in detectors(flags.evaluation)
        for result in measure(title, detector, flags.surveys, flags.labels)
    )
    return 0 if print_results(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
