"""The sampling frame of an audit: every scored image with its unit, stratum and inclusion probability (audit.csv).

Begin with `gather_images`, from which `audit` draws, and `read_audit_frame`, from which `abundance` estimates.
Shapes: N scored images, K classes, U units.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.rows import finished_run
from retinanet_odm.csv_tables import parse_table
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import ContractError
from retinanet_odm.evaluation.abundance import AuditedUnits
from retinanet_odm.evaluation.audit_design import AuditDesign
from retinanet_odm.evaluation.audit_terms import name_period
from retinanet_odm.evaluation.matching import Floats, Ints
from retinanet_odm.predictions.formats.encoding import csv_line, legible
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun
from retinanet_odm.predictions.sampling import TIME_ORIGIN
from retinanet_odm.storage import files

FRAME_COLUMNS = ("image", "unit", "deployment", "period", "predicted", "stratum", "probability", "audited")
_PROBABILITY_DIGITS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredImages:
    """The scored images of a run, in the order of their names, as arrays: a million rows are too many objects.

    Attributes:
      deployments, periods: int [N], indexes in the sorted names.
      deployment_names, period_names: sorted names.
      seconds: float [N], the time of each image; nan without one.
      counts: float [N, K], its detections that count.
      keys: uint64 [N], pseudo-random numbers by name and seed.
      first_without_time: the first image without a time; "" if there is none.
      failed: number of images that could not be scored, which are not among them.
    """

    deployments: Ints
    periods: Ints
    deployment_names: Sequence[str]
    period_names: Sequence[str]
    seconds: Floats
    counts: Floats
    keys: npt.NDArray[np.uint64]
    first_without_time: str
    failed: int


def gather_images(
    rows: Iterable[PredictionRow], run: ScoringRun, rule: DeploymentRule, *, period: str, seed: int
) -> ScoredImages:
    """Return the scored images of a run.

    Args:
      rows: of the run.
      run: which classes count, and from which score.
      rule: how deployments are found.
      period: the length of periods, as in audit_terms.PERIODS.
      seed: of the keys.
    """
    column = {label_id: number for number, label_id in enumerate(run.classes)}
    deployments, periods = _Names(), _Names()
    seconds, counts, keys = array("d"), array("f"), array("Q")
    failed, first_without_time = 0, ""
    for row in rows:
        if row.status != OK:
            failed += 1
            continue
        frame = finished_run.with_deployment(row, rule).frame
        deployments.add(rule.deployment_of(row.image))
        periods.add(name_period(frame.time if frame else None, period))
        seconds.append((frame.time - TIME_ORIGIN).total_seconds() if frame else float("nan"))
        first_without_time = first_without_time or ("" if frame else row.image)
        found = Counter(column[item.label_id] for item in row.filtered(run.thresholds).detections)
        counts.extend(found[number] for number in range(len(column)))
        keys.append(_key(row.image, seed))
    return ScoredImages(
        deployments=deployments.ranks(),
        periods=periods.ranks(),
        deployment_names=sorted(deployments.known),
        period_names=sorted(periods.known),
        seconds=np.array(seconds),
        counts=np.array(counts, np.float64).reshape(-1, len(column)),
        keys=np.array(keys, np.uint64),
        first_without_time=first_without_time,
        failed=failed,
    )


class _Names:
    """Names of a stream, by numbers in the order in which they come, and at the end by their ranks."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self._numbers = array("q")

    def add(self, name: str) -> None:
        self._numbers.append(self.known.setdefault(name, len(self.known)))

    def ranks(self) -> Ints:
        ranks = np.empty(len(self.known), np.int64)
        ranks[[self.known[name] for name in sorted(self.known)]] = np.arange(len(self.known))
        found: Ints = ranks[np.array(self._numbers, np.int64)]
        return found


def _key(image: str, seed: int) -> int:
    """Return 64 bits that look random, and are the same for an image wherever its row lies."""
    digest = hashlib.sha256(f"{seed}:{image}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")


def frame_lines(
    rows: Iterable[PredictionRow], images: ScoredImages, units: Ints, first_images: Ints, design: AuditDesign
) -> Iterator[bytes]:
    """Yield audit.csv: a header, and a line for each scored image.

    Args:
      rows: of the run, from which `images` were gathered.
      images: the scored images.
      units: int [N], the unit of each image.
      first_images: int [U], the first image of each unit, whose deployment and period are those of the unit.
      design: of the units.
    """
    yield csv_line(FRAME_COLUMNS)
    probabilities = design.probabilities
    scored = (row.image for row in rows if row.status == OK)
    for number, (image, unit) in enumerate(zip(scored, units.tolist(), strict=True)):
        first, stratum = first_images[unit], int(design.strata[unit])
        place, period = images.deployment_names[images.deployments[first]], images.period_names[images.periods[first]]
        predicted, probability = int(images.counts[number].sum()), round(probabilities[stratum], _PROBABILITY_DIGITS)
        yield csv_line((image, unit, place, period, predicted, stratum, probability, int(design.audited[unit])))


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditFrame:
    """What audit.csv says about the scored images, in the order of their names.

    Attributes:
      images: names of the audited images, by index in the frame.
      unit_of_image: int [N], the unit of each image.
      units: the units.
    """

    images: Mapping[int, str]
    unit_of_image: Ints
    units: AuditedUnits


def read_audit_frame(output: str, entry: Mapping[str, Any]) -> AuditFrame:
    """Read audit.csv.

    Args:
      output: the folder.
      entry: of the file in summary.json.

    Raises:
      ContractError: it is not the file that `audit` wrote.
    """
    path = files.join(output, entry["name"])
    lines = finished_run.read_checked_lines(path, entry["sha256"], command="audit")
    text = b"\n".join(lines).decode()
    deployments, periods, images = _Names(), _Names(), {}
    units, numbers, strata, audited = array("q"), dict[int, int](), array("q"), array("b")
    columns = ("image", "unit", "deployment", "period", "stratum", "audited")
    for number, row in enumerate(parse_table(text, columns, source=path)):
        image, unit, deployment, period, stratum, chosen = row.cells
        if int(unit) not in numbers:
            numbers[int(unit)] = len(numbers)
            deployments.add(deployment)
            periods.add(period)
            strata.append(int(stratum))
            audited.append(int(chosen))
        units.append(numbers[int(unit)])
        if int(chosen):
            images[number] = image
    unit_of_image = np.array(units, np.int64)
    return AuditFrame(
        images=images,
        unit_of_image=unit_of_image,
        units=AuditedUnits(
            deployments=deployments.ranks(),
            periods=periods.ranks(),
            deployment_names=sorted(deployments.known),
            period_names=sorted(periods.known),
            strata=np.array(strata, np.int64),
            audited=np.array(audited, bool),
            images=np.bincount(unit_of_image, minlength=len(strata)).astype(float),
        ),
    )


def check_rows(rows: Iterable[PredictionRow], frame: AuditFrame) -> None:
    """Raise ContractError if the scored images are not those of the frame."""
    scored, found = 0, 0
    for row in rows:
        if row.status == OK:
            found += frame.images.get(scored) == legible(row.image)
            scored += 1
    if scored != len(frame.unit_of_image) or found != len(frame.images):
        raise ContractError("the rows are not those that the audit was drawn from: run `audit` again")
