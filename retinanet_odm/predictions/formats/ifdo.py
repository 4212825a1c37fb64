"""iFDO 2.1.0, the metadata of marine images and their annotations (https://www.ifdo-schema.org).

ifdo.json has one item for each image. A box is a `rectangle` of four corners in pixels of the upright image, clockwise
from the upper left, each 0-based. An image without detections has an empty list of annotations; one that failed has no
such list. The annotator is the model, by its hash.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any

from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.deployments import DEPTH, LATITUDE, LONGITUDE, START, Deployment, Deployments
from retinanet_odm.predictions.formats.encoding import json_members, legible
from retinanet_odm.predictions.publication import Publication, hashed_rows, uuid_of
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun

_NAME = "ifdo"
_VERSION = "v2.1.0"
_UNCERTAINTY = "coordinateUncertainty"
_NEEDED_COLUMNS = (LATITUDE, LONGITUDE, DEPTH, START, "deploymentEnd")
# What the standard requires of a header, and neither rows nor deployments tell.
_NEEDED_KEYS = (
    *("image-set-name", "image-set-handle", "image-context", "image-project", "image-event", "image-platform"),
    *("image-sensor", "image-pi", "image-creators", "image-license", "image-copyright", "image-abstract"),
)
_WRITTEN_KEYS = (
    *("image-set-ifdo-version", "image-datetime", "image-latitude", "image-longitude", "image-altitude-meters"),
    *("image-annotation-labels", "image-annotation-creators", "image-datetime-format"),
)
_TIME = "%Y-%m-%d %H:%M:%S.%f"  # UTC, the default of the standard


def to_ifdo(rows: Iterable[PredictionRow], run: ScoringRun, publication: Publication) -> Iterator[bytes]:
    """Yield ifdo.json.

    Raises:
      UsageError: a file is missing, or an image is not found or has no time.
      ContractError: a file does not say what the standard needs, or an image was not taken within its deployment.
    """
    deployments = publication.require_deployments(*_NEEDED_COLUMNS, needed_by=_NAME)
    created = publication.facts.require_created(_NAME)
    header = _header(publication, deployments, run)
    items = (
        (legible(row.image), _item(row, sha256, run, publication, created))
        for row, sha256 in hashed_rows(rows, publication.files, needed_by=_NAME)
        if sha256  # the standard has no item without a hash: of an image that failed and is no longer there
    )
    yield from json_members({"image-set-header": header}, "image-set-items", items)


def _header(publication: Publication, deployments: Deployments, run: ScoringRun) -> dict[str, Any]:
    """Return the header: what --publication says, and defaults of the items by the first deployment."""
    given = publication.facts.section(_NAME, *_NEEDED_KEYS)
    if taken := [key for key in _WRITTEN_KEYS if key in given]:
        raise ContractError(
            f"{publication.facts.source}: {_NAME}: {', '.join(taken)} follow from the data: remove them"
        )
    first = next(iter(deployments.by_name.values()))
    uncertainty = first.number(_UNCERTAINTY)
    if uncertainty is None and "image-coordinate-uncertainty-meters" not in given:
        raise ContractError(
            f"{first.where}: {_NAME} needs {_UNCERTAINTY} of {first.name!r}, or"
            f" image-coordinate-uncertainty-meters in {publication.facts.source}"
        )
    known = {} if uncertainty is None else {"image-coordinate-uncertainty-meters": uncertainty}
    return {
        "image-set-ifdo-version": _VERSION,
        "image-set-uuid": uuid_of(_NAME, str(given["image-set-name"]), str(given["image-set-handle"])),
        "image-coordinate-reference-system": "EPSG:4326",
        "image-acquisition": "photo",
        **known,
        **given,
        "image-datetime": _utc(first, START),
        **_place(first),
        "image-annotation-creators": [{"id": annotator(run), "name": run.title}],
        "image-annotation-labels": [
            {
                "id": _label_id(label, publication),
                "name": publication.scientific_name(label),
                "info": f"class {label}, minimum score {run.min_scores[label_id]:g}",
            }
            for label_id, label in run.classes.items()
        ],
    }


def _label_id(label: str, publication: Publication) -> str:
    """Return the identifier of a label: with --taxa that of its taxon, as the standard's own example has it."""
    found = publication.taxonomy
    return label if found is None else found.by_label[label].scientific_name_id


def annotator(run: ScoringRun) -> str:
    """Return the identifier of the model, as a hash URI (https://github.com/hash-uri/hash-uri)."""
    return f"hash://sha256/{run.model_hash}"


def _place(found: Deployment) -> dict[str, float | None]:
    return {
        "image-latitude": found.number(LATITUDE),
        "image-longitude": found.number(LONGITUDE),
        "image-altitude-meters": -(found.number(DEPTH) or 0.0),  # below the surface
    }


def _item(row: PredictionRow, sha256: str, run: ScoringRun, publication: Publication, created: str) -> dict[str, Any]:
    deployment, clock = publication.dated(row, needed_by=_NAME)
    address = publication.address(row.image) if publication.facts.image_url else f"hash://sha256/{sha256}"
    audit = publication.audit_status(row)
    annotations = {"image-annotations": [_annotation(item, run, publication, created) for item in row.detections]}
    return {
        "image-uuid": uuid_of(row.image, sha256),
        "image-hash-sha256": sha256,
        "image-handle": address,
        "image-datetime": clock.astimezone(UTC).strftime(_TIME),
        **_place(deployment),
        "image-curation-protocol": f"machine annotations; audit: {audit}",
        **(annotations if row.status == OK else {}),
    }


def _annotation(item: Detection, run: ScoringRun, publication: Publication, created: str) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = item.box
    label = {
        "label": _label_id(item.label, publication),
        "annotator": annotator(run),
        "created-at": created,
        "confidence": item.score,
    }
    corners = [xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax]
    return {"shape": "rectangle", "coordinates": [corners], "labels": [label]}


def _utc(found: Deployment, column: str) -> str:
    return found.time(column).astimezone(UTC).strftime(_TIME)
