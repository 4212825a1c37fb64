"""Darwin Core Archive (https://dwc.tdwg.org/text/): a core of occurrences, and their images as Audiovisual Core.

This is what GBIF's guide documents for camera traps (Reyserhove et al. 2023, doi:10.35035/doc-0qzp-2x37), and a core
that OBIS takes, with the terms that OBIS recommends for images (https://manual.obis.org/other_data_types.html). Begin
with `to_darwin_core`; meta.xml and eml.xml are made in `darwin_core_documents`.

  present  one occurrence for each detection: one individual, in one image
  absent   one for each class and deployment in which it was detected in no image; the number of images is the effort
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any

from retinanet_odm.labels.taxa import Taxonomy
from retinanet_odm.predictions.deployments import DEPTH, END, LATITUDE, LONGITUDE, START, Deployment, Deployments
from retinanet_odm.predictions.formats.darwin_core_documents import (
    MULTIMEDIA,
    NAME,
    OCCURRENCE,
    ArchiveFacts,
    ArchiveTable,
    format_eml,
    format_meta,
)
from retinanet_odm.predictions.formats.encoding import CsvCell, Spool, box_fractions, csv_line, one_line
from retinanet_odm.predictions.formats.zip_members import add_member
from retinanet_odm.predictions.publication import (
    Publication,
    detection_ids,
    hashed_rows,
    media_id,
    trace,
    uuid_of,
)
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun

_FRACTION_DIGITS = 6  # a hundredth of a pixel in an image of 10,000 pixels


def to_darwin_core(rows: Iterable[PredictionRow], run: ScoringRun, publication: Publication) -> Iterator[bytes]:
    """Yield darwincore.zip. An image that failed is no part of it: nobody has looked at it.

    Raises:
      UsageError: a file about the survey is missing, or an image is not found.
      ContractError: a file about the survey lacks something, or a class has no row in the taxonomy.
    """
    survey = Survey.of(run, publication)
    hashed = hashed_rows(rows, publication.files, needed_by=NAME)
    spool = Spool()
    # Both tables are made in one pass over the rows; the members of a zip file are written one after the other.
    with tempfile.TemporaryFile() as multimedia, zipfile.ZipFile(spool, "w") as archive:
        add_member(archive, "meta.xml", format_meta())
        add_member(archive, "eml.xml", format_eml(survey.facts, survey.taxonomy, run))
        multimedia.write(csv_line(MULTIMEDIA.columns))
        with _open_member(archive, OCCURRENCE) as occurrences:
            occurrences.write(csv_line(OCCURRENCE.columns))
            for row, sha256 in hashed:
                if row.status == OK:
                    _write_image(survey.image(row, sha256), survey, occurrences, multimedia)
                    yield spool.take()
            for absent in survey.absences():
                occurrences.write(_line(OCCURRENCE, absent))
        multimedia.seek(0)
        with _open_member(archive, MULTIMEDIA) as member:
            shutil.copyfileobj(multimedia, member)
    yield spool.take()


def _open_member(archive: zipfile.ZipFile, table: ArchiveTable) -> IO[bytes]:
    info = zipfile.ZipInfo(table.file)  # of 1980, and not today's: equal rows make equal bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    # Its size is not known yet: a table of a million images may be larger than 2 GiB.
    return archive.open(info, "w", force_zip64=True)


def _write_image(image: "Image", survey: "Survey", occurrences: IO[bytes], multimedia: IO[bytes]) -> None:
    ids = detection_ids(image.row, image.sha256, survey.run)
    for item, occurrence in zip(image.row.detections, ids, strict=False):  # without detections, of the image
        occurrences.write(_line(OCCURRENCE, survey.presence(image, item, occurrence)))
        for cells in survey.media(image, item, occurrence):
            multimedia.write(_line(MULTIMEDIA, cells))


def _line(table: ArchiveTable, cells: dict[str, CsvCell]) -> bytes:
    # Readers of archives split a table into lines before they look for quotes.
    values = (cells.get(column) for column in table.columns)
    return csv_line(one_line(value) if isinstance(value, str) else value for value in values)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that was scored.

    Attributes:
      row: its row.
      sha256: hex digest of its file.
      place: its deployment.
      time: when it was taken, with the offset from UTC, or else from when until when its deployment was.
    """

    row: PredictionRow
    sha256: str
    place: Deployment
    time: str


@dataclass
class _Effort:
    """What was looked at in a deployment, and what was found: images, a digest of their hashes, labels."""

    images: int = 0
    sampled: int = 0
    found: set[str] = field(default_factory=set)
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Makes the cells of both tables, and keeps for each deployment what its absences need.

    Attributes:
      run: the run.
      publication: what it is published with.
      taxonomy: of --taxa.
      deployments: of --deployments.
      facts: what a person says about the data set.
    """

    run: ScoringRun
    publication: Publication
    taxonomy: Taxonomy
    deployments: Deployments
    facts: ArchiveFacts
    _efforts: dict[str, _Effort] = field(default_factory=dict)

    @classmethod
    def of(cls, run: ScoringRun, publication: Publication) -> "Survey":
        """Check that a publication has what an archive needs.

        Raises:
          UsageError, ContractError: as to_darwin_core.
        """
        taxonomy = publication.require_taxonomy(needed_by=NAME)
        deployments = publication.require_deployments(LATITUDE, LONGITUDE, START, END, needed_by=NAME)
        facts = ArchiveFacts.of(publication.facts)
        return cls(run=run, publication=publication, taxonomy=taxonomy, deployments=deployments, facts=facts)

    @cached_property
    def _above(self) -> set[str]:
        """The labels of taxa above others of the run."""
        return {taxon.label for label in self.run.classes.values() for taxon in self.taxonomy.lineage(label)[1:]}

    def image(self, row: PredictionRow, sha256: str) -> Image:
        """Return an image, and count it."""
        place = self.deployments.of(row.deployment, image=row.image)
        time = place.date_time(row.frame.time).isoformat() if row.frame else _duration(place)
        effort = self._efforts.setdefault(place.name, _Effort())
        effort.images += 1
        effort.sampled += self.publication.audit_status(row) == "sampled"
        effort.found.update(item.label for item in row.detections)
        effort.digest.update(bytes.fromhex(sha256))
        return Image(row=row, sha256=sha256, place=place, time=time)

    def presence(self, image: Image, item: Detection, occurrence: str) -> dict[str, CsvCell]:
        """Return the cells of a detection."""
        audit = self.publication.audit_status(image.row)
        origin = trace(self.run, item, sha256=image.sha256, audit=audit)
        score = f"{'summed ' if item.label in self._above else ''}score {item.score:g}"
        url = self.publication.address(image.row.image) if self.publication.facts.image_url else None
        return {
            **self._taxon(item.label),
            **self._common(image.place),
            "occurrenceID": occurrence,
            "eventID": media_id(image.row.image, image.sha256),
            "parentEventID": image.place.name,
            "eventDate": image.time,
            "occurrenceStatus": "present",
            "individualCount": 1,
            "sampleSizeValue": 1,
            "sampleSizeUnit": "image",
            "associatedMedia": url,
            "identificationRemarks": f"{score}, minimum score {origin['threshold']}; audit: {audit}",
            "dynamicProperties": _json({"score": item.score, **origin, "box": list(item.box)}),
        }

    def media(self, image: Image, item: Detection, occurrence: str) -> Iterator[dict[str, CsvCell]]:
        """Yield the cells of the image of a detection, and of the region of its box."""
        picture, url = media_id(image.row.image, image.sha256), self.publication.facts.image_url
        yield {
            "occurrenceID": occurrence,
            "identifier": picture,
            "type": "StillImage",
            "accessURI": self.publication.address(image.row.image) if url else None,
            "providerManagedID": image.row.image,
            "hashFunction": "SHA-256",
            "hashValue": image.sha256,
            "CreateDate": image.time if image.row.frame else None,
            "PixelXDimension": image.row.width,
            "PixelYDimension": image.row.height,
        }
        xmin, ymin, xmax, ymax = box_fractions(item, image.row)
        edges = {"xFrac": xmin, "yFrac": ymin, "widthFrac": xmax - xmin, "heightFrac": ymax - ymin}
        yield {
            "occurrenceID": occurrence,
            "identifier": f"{occurrence}#region",
            "type": "StillImage",
            "isROIOf": picture,
            **{name: round(value, _FRACTION_DIGITS) for name, value in edges.items()},
        }

    def absences(self) -> Iterator[dict[str, CsvCell]]:
        """Yield the cells of each class that was found in no image of a deployment, once all images are counted."""
        for name, effort in sorted(self._efforts.items()):
            place = self.deployments.by_name[name]
            for label_id, label in self.run.classes.items():
                # The model knows only some of the species of a taxon above its classes, which may be there unseen.
                # And where only a genus was sure, any of its species may have been seen.
                lineage = {taxon.label for taxon in self.taxonomy.lineage(label)}
                if label not in self._above and not lineage & effort.found:
                    yield self._absence(place, label_id, effort)

    def _absence(self, place: Deployment, label_id: int, effort: _Effort) -> dict[str, CsvCell]:
        label, score = self.run.classes[label_id], f"{self.run.min_scores[label_id]:g}"
        digest = effort.digest.hexdigest()
        is_audited = self.publication.audited is not None
        audit = f"{effort.sampled} of {effort.images} images sampled" if is_audited else "none"
        origin = {"image_sha256": digest, "model": self.run.model_hash, "threshold": score, "audit": audit}
        return {
            **self._taxon(label),
            **self._common(place),
            "occurrenceID": uuid_of("absence", place.name, label, self.run.model_hash, score, digest),
            "eventID": place.name,
            "eventDate": _duration(place),
            "occurrenceStatus": "absent",
            "individualCount": 0,
            "sampleSizeValue": effort.images,
            "sampleSizeUnit": "images",
            "identificationRemarks": f"no detection reached the minimum score {score}; audit: {audit}",
            "dynamicProperties": _json(origin),
        }

    def _taxon(self, label: str) -> dict[str, CsvCell]:
        taxon = self.taxonomy.by_label[label]
        return {
            "scientificName": taxon.scientific_name,
            "scientificNameID": taxon.scientific_name_id,
            "taxonRank": taxon.rank,
            "verbatimIdentification": label,
            **self.taxonomy.classification(label),
        }

    def _common(self, place: Deployment) -> dict[str, CsvCell]:
        return {
            "basisOfRecord": "MachineObservation",
            "samplingProtocol": "images of a camera; objects detected by a neural network",
            "samplingEffort": _duration(place),
            "identifiedBy": f"{self.run.program}, model {self.run.model}",
            "identificationReferences": f"{self.run.program}, model with SHA-256 {self.run.model_hash}",
            "identificationVerificationStatus": "PredictedByMachine",
            "license": self.facts.license_url,
            "decimalLatitude": place.cells[LATITUDE],
            "decimalLongitude": place.cells[LONGITUDE],
            "geodeticDatum": "EPSG:4326",
            "coordinateUncertaintyInMeters": place.cells["coordinateUncertainty"],
            "minimumDepthInMeters": place.cells[DEPTH],
            "maximumDepthInMeters": place.cells[DEPTH],
            "locationID": place.cells["locationID"],
            "locality": place.cells["locationName"],
        }


def _duration(place: Deployment) -> str:
    """Return from when until when a deployment was, as an interval of ISO 8601."""
    return f"{place.cells[START]}/{place.cells[END]}"


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value)
