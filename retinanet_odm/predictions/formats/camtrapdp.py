"""Camtrap DP 1.0.2, the exchange format of camera trap data (https://camtrap-dp.tdwg.org), which GBIF reads.

camtrapdp.zip is a Data Package:

  deployments.csv    --deployments as it is: the effort, also of deployments without images
  media.csv          one line for each image; `mediaComments` has its SHA-256
  observations.csv   one line for each detection, `blank` for an image without any, `unclassified` for one that failed;
                     `observationTags` has the hashes of image and model, the minimum score and the audit's status
  datapackage.json   contributors and project of --publication, and what follows from the tables

Boxes are x, y (upper left), width and height as fractions of the upright image.
"""

import json
import mimetypes
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any

from retinanet_odm.errors import ContractError
from retinanet_odm.labels.taxa import HIGHER_RANKS
from retinanet_odm.predictions.deployments import DEPLOYMENT_COLUMNS, END, LATITUDE, LONGITUDE, START, Deployments
from retinanet_odm.predictions.formats.encoding import CsvCell, Spool, box_fractions, csv_line
from retinanet_odm.predictions.formats.zip_members import add_member, member_info
from retinanet_odm.predictions.publication import Publication, detection_ids, hashed_rows, media_id, trace
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun

_NAME = "camtrapdp"
_VERSION = "1.0.2"
_SCHEMAS = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{_VERSION}"
_MEDIA_COLUMNS = (
    *("mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic", "fileName", "fileMediatype"),
    *("exifData", "favorite", "mediaComments"),
)
_OBSERVATION_COLUMNS = (
    *("observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationLevel"),
    *("observationType", "cameraSetupType", "scientificName", "count", "lifeStage", "sex", "behavior", "individualID"),
    *("individualPositionRadius", "individualPositionAngle", "individualSpeed", "bboxX", "bboxY", "bboxWidth"),
    *("bboxHeight", "classificationMethod", "classifiedBy", "classificationTimestamp", "classificationProbability"),
    *("observationTags", "observationComments"),
)
_NEEDED_COLUMNS = (LATITUDE, LONGITUDE, START, END)
_NEEDED_KEYS = ("contributors", "project")
_NEEDED_OF_PROJECT = ("title", "samplingDesign", "captureMethod", "individualAnimals")
_WRITTEN_KEYS = ("resources", "profile", "created", "spatial", "temporal", "taxonomic")
# Classes that are no animals, by their names without regard to case; the standard has types for them.
_TYPES = {"human": "human", "person": "human", "people": "human", "vehicle": "vehicle"}
_RANKS = (*HIGHER_RANKS, "species", "subspecies")
_HUMAN_NAME = "Homo sapiens"
_BOX_DIGITS = 6  # a hundredth of a pixel in an image of 10,000 pixels
_MIN_SIDE = 10**-_BOX_DIGITS
_IN_MEMORY = 2**24  # bytes of media.csv; more lie in a temporary file


def to_camtrapdp(rows: Iterable[PredictionRow], run: ScoringRun, publication: Publication) -> Iterator[bytes]:
    """Yield camtrapdp.zip.

    Raises:
      UsageError: a file is missing, or an image is not found or has no time.
      ContractError: a file does not say what the standard needs, or an image was not taken within its deployment.
    """
    deployments = publication.require_deployments(*_NEEDED_COLUMNS, needed_by=_NAME)
    head = _head(publication)
    used: dict[int, str] = {}
    spool = Spool()
    with zipfile.ZipFile(spool, "w") as archive, tempfile.SpooledTemporaryFile(_IN_MEMORY) as media:
        media.write(csv_line(_MEDIA_COLUMNS))
        # Rows are read once: the observations are written while the media wait.
        with archive.open(member_info("observations.csv"), "w", force_zip64=True) as observations:
            observations.write(csv_line(_OBSERVATION_COLUMNS))
            for row, sha256 in hashed_rows(rows, publication.files, needed_by=_NAME):
                _add_image(row, sha256, run, publication, media, observations)
                used.update((item.label_id, item.label) for item in row.detections)
                yield spool.take()
        media.seek(0)
        with archive.open(member_info("media.csv"), "w", force_zip64=True) as member:
            shutil.copyfileobj(media, member)
        add_member(archive, "deployments.csv", b"".join(_deployment_lines(deployments)))
        labels = [run.classes[label_id] for label_id in sorted(used)]
        taxa = _taxa(labels, publication)
        add_member(archive, "datapackage.json", _package(head, deployments, taxa, run))
        yield spool.take()
    yield spool.take()


def _head(publication: Publication) -> dict[str, Any]:
    """Return what --publication says of the package, checked: validators see it first when all images are read."""
    given = publication.facts.section(_NAME, *_NEEDED_KEYS)
    where = f"{publication.facts.source}: {_NAME}"
    if taken := [key for key in _WRITTEN_KEYS if key in given]:
        raise ContractError(f"{where}: {', '.join(taken)} follow from the data: remove them")
    project = given["project"]
    if not isinstance(project, dict) or any(key not in project for key in _NEEDED_OF_PROJECT):
        raise ContractError(f"{where}: project: expected an object with {', '.join(_NEEDED_OF_PROJECT)}")
    people = given["contributors"]
    if not (isinstance(people, list) and people and all(isinstance(one, dict) and one.get("title") for one in people)):
        raise ContractError(f"{where}: contributors: expected a list of objects with title, found {json.dumps(people)}")
    return {**given, "created": publication.facts.require_created(_NAME)}


def _add_image(
    row: PredictionRow,
    sha256: str,
    run: ScoringRun,
    publication: Publication,
    media: IO[bytes],
    observations: IO[bytes],
) -> None:
    """Write the line of an image, and those of what was observed in it."""
    deployment, time = publication.dated(row, needed_by=_NAME)
    image = media_id(row.image, sha256)
    media.write(csv_line(_media(row, image, deployment.name, time, sha256, publication)))
    audit = publication.audit_status(row)
    items: tuple[Detection | None, ...] = row.detections or (None,)
    for item, key in zip(items, detection_ids(row, sha256, run), strict=True):
        tags = " | ".join(f"{name}:{value}" for name, value in trace(run, item, sha256=sha256, audit=audit).items())
        cells = {
            "observationID": key,
            "deploymentID": deployment.name,
            "mediaID": image,
            "eventStart": _time(time),
            "eventEnd": _time(time),
            "observationLevel": "media",
            "observationTags": tags,
            **_observation(row, item, run, publication),
        }
        observations.write(csv_line(cells.get(column) for column in _OBSERVATION_COLUMNS))


def _media(
    row: PredictionRow, key: str, deployment: str, time: datetime, sha256: str, publication: Publication
) -> Iterator[CsvCell]:
    """Yield the cells of an image in the order of _MEDIA_COLUMNS."""
    path = publication.address(row.image)
    cells: dict[str, CsvCell] = {
        "mediaID": key,
        "deploymentID": deployment,
        "timestamp": _time(time),
        "filePath": path,
        "filePublic": "true" if publication.facts.image_url else "false",
        "fileName": row.image.replace("\\", "/").rpartition("/")[2],
        "fileMediatype": mimetypes.guess_type(row.image)[0] or "image/jpeg",
        "mediaComments": f"sha256:{sha256}" if sha256 else None,
    }
    return (cells.get(column) for column in _MEDIA_COLUMNS)


def _observation(
    row: PredictionRow, item: Detection | None, run: ScoringRun, publication: Publication
) -> dict[str, CsvCell]:
    """Return what was observed: a detection, nothing, or, in an image that failed, what is not known."""
    if row.status != OK:
        return {"observationType": "unclassified", "observationComments": f"{row.reason}: {row.detail}"}
    machine: dict[str, CsvCell] = {
        "classificationMethod": "machine",
        "classifiedBy": f"{run.program}, model {run.model}",
    }
    if item is None:
        return {"observationType": "blank", **machine}
    xmin, ymin, xmax, ymax = (round(edge, _BOX_DIGITS) for edge in box_fractions(item, row))
    return {
        "observationType": _TYPES.get(item.label.lower(), "animal"),
        "scientificName": _scientific_name(item.label, publication),
        "count": 1,
        "bboxX": xmin,
        "bboxY": ymin,
        # A box beyond the border is cut to nothing there, which the standard does not allow.
        "bboxWidth": max(round(xmax - xmin, _BOX_DIGITS), _MIN_SIDE),
        "bboxHeight": max(round(ymax - ymin, _BOX_DIGITS), _MIN_SIDE),
        **machine,
        "classificationProbability": item.score,
    }


def _scientific_name(label: str, publication: Publication) -> str:
    kind = _TYPES.get(label.lower(), "animal")
    return {"animal": publication.scientific_name(label), "human": _HUMAN_NAME, "vehicle": ""}[kind]


def _taxa(labels: Iterable[str], publication: Publication) -> list[dict[str, str]]:
    """Return the taxa of the labels; with --taxa, also where they are classified."""
    found = {_scientific_name(label, publication): label for label in labels}
    return [
        {"scientificName": name, **_classification(label, publication)} for name, label in sorted(found.items()) if name
    ]


def _classification(label: str, publication: Publication) -> dict[str, str]:
    if publication.taxonomy is None:
        return {}
    taxon = publication.taxonomy.by_label[label]
    rank = {"taxonRank": taxon.rank} if taxon.rank in _RANKS else {}  # the standard knows no infraorder
    return {"taxonID": taxon.scientific_name_id, **rank, **publication.taxonomy.classification(label)}


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _deployment_lines(deployments: Deployments) -> Iterator[bytes]:
    yield csv_line(DEPLOYMENT_COLUMNS)
    for found in deployments.by_name.values():
        yield csv_line(found.cells[column] for column in DEPLOYMENT_COLUMNS)


def _package(head: Mapping[str, Any], deployments: Deployments, taxa: list[dict[str, str]], run: ScoringRun) -> bytes:
    """Return datapackage.json."""
    names = ("deployments", "media", "observations")
    package = {
        "resources": [
            {
                "name": name,
                "path": f"{name}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": f"{_SCHEMAS}/{name}-table-schema.json",
            }
            for name in names
        ],
        "profile": f"{_SCHEMAS}/camtrap-dp-profile.json",
        "sources": [{"title": run.program, "version": f"model {run.model_hash}"}],
        **head,
        "project": {**head["project"], "observationLevel": ["media"]},
        "spatial": _area(deployments),
        "temporal": {
            "start": min(found.time(START) for found in deployments.by_name.values()).date().isoformat(),
            "end": max(found.time(END) for found in deployments.by_name.values()).date().isoformat(),
        },
        "taxonomic": taxa,
    }
    return (json.dumps(package, indent=2, ensure_ascii=False) + "\n").encode()


def _area(deployments: Deployments) -> dict[str, Any]:
    """Return the place of the only deployment, or the box around all, as GeoJSON."""
    places = [(found.number(LONGITUDE) or 0.0, found.number(LATITUDE) or 0.0) for found in deployments.by_name.values()]
    west, east = min(x for x, _ in places), max(x for x, _ in places)
    south, north = min(y for _, y in places), max(y for _, y in places)
    if (west, south) == (east, north):
        return {"type": "Point", "coordinates": [west, south]}
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}
