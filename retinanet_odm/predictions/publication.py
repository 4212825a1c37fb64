"""What a publication says beside the rows: deployments, the facts that a person gives, and where each row comes from.

Begin with `Publication`, which the formats of `formats.PUBLISHERS` take. `hashed_rows` reads the images again for their
hashes; `media_id` and `detection_ids` name what is published by hashes, too: the same input gives the same bytes.
"""

import hashlib
import itertools
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.json_documents import parse_json_object
from retinanet_odm.labels.spelling import describe_nearest
from retinanet_odm.labels.taxa import Taxonomy
from retinanet_odm.predictions.deployments import Deployment, Deployments
from retinanet_odm.predictions.formats.encoding import legible
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun

# Yields name and bytes, as they lie in the sources, of the images with these names that are found, in any order.
FileReader = Callable[[Collection[str]], Iterator[tuple[str, bytes]]]

# Images that are looked for at a time: what is kept of each is its row and its hash.
_ROWS_AT_A_TIME = 10_000
_ID_DIGITS = 32  # of 64: 128 bits, as many as a UUID has
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", re.ASCII)
_KEYS = ("created", "image_url", "camtrapdp", "darwincore", "ifdo")


@dataclass(frozen=True, kw_only=True)
class PublicationFacts:
    """The content of the JSON file of --publication: what no image tells.

    Attributes:
      created: when the publication was made; "" if the file does not say. Not the time of the run: the same input gives
        the same bytes.
      image_url: beginning of the addresses of the images, to which their names are added; "" if they have none.
      sections: by name of a format, what its document says.
      source: name of the file, for messages.
    """

    created: str = ""
    image_url: str = ""
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = ""

    def section(self, name: str, *needed: str) -> Mapping[str, Any]:
        """Return what the document of a format says, which must have these keys.

        Raises:
          UsageError: there is no file.
          ContractError: a key is missing; the message names all that are.
        """
        if not self.source:
            raise UsageError(f"--formats={name}: needs --publication FILE with {name}: {', '.join(needed)}")
        found = self.sections.get(name, {})
        if missing := [key for key in needed if key not in found]:
            raise ContractError(
                f"{self.source}: {name}: expected the keys {', '.join(needed)}; without {', '.join(missing)}"
            )
        return found

    def require_created(self, name: str) -> str:
        """Return `created`.

        Raises:
          ContractError: the file does not say it.
        """
        if not self.created:
            raise ContractError(f"{self.source}: {name} needs created, a date and time such as 2024-06-30T12:00:00Z")
        return self.created


def parse_publication_facts(text: str, *, source: str) -> PublicationFacts:
    """Parse the file of --publication.

    Raises:
      ContractError: it is not a JSON object of these keys and types, or `created` is no time with an offset from UTC.

    Example:
      >>> parse_publication_facts('{"created": "2024-06-30T12:00:00Z"}', source="publication.json").created
      '2024-06-30T12:00:00Z'
    """
    value = parse_json_object(text, source=source)
    for key in value:
        if key not in _KEYS:
            hint = f"did you mean {near}?" if (near := describe_nearest(key, _KEYS)) else f"expected {', '.join(_KEYS)}"
            raise ContractError(f"{source}: unknown key {key!r}; {hint}")
    for key, kind in zip(_KEYS, (str, str, dict, dict, dict), strict=True):
        if not isinstance(value.get(key, kind()), kind):
            expected = "a text" if kind is str else "an object"
            raise ContractError(f"{source}: {key}: expected {expected}, found {json.dumps(value[key])[:40]}")
    created = value.get("created", "")
    if created and not _is_time(created):
        raise ContractError(
            f"{source}: created: expected a date and time such as 2024-06-30T12:00:00Z, found {created!r}"
        )
    return PublicationFacts(
        created=created,
        image_url=value.get("image_url", ""),
        sections={name: value.get(name, {}) for name in _KEYS[2:]},
        source=source,
    )


def _is_time(text: str) -> bool:
    if not _CREATED.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:  # 31 February, 25 o'clock
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What a format takes beside rows and run.

    Attributes:
      files: reads the images again.
      facts: of --publication.
      deployments: of --deployments; None without the flag.
      taxonomy: of --taxa; None without the flag.
      audited: names of the images in the audit's sample, as `legible` writes them; None if no audit was drawn.
    """

    files: FileReader
    facts: PublicationFacts = field(default_factory=PublicationFacts)
    deployments: Deployments | None = None
    taxonomy: Taxonomy | None = None
    audited: frozenset[str] | None = None

    def require_deployments(self, *columns: str, needed_by: str) -> Deployments:
        """Return the deployments, which must have these columns.

        Raises:
          UsageError: --deployments was not given.
          ContractError: a column is missing, or has an empty cell.
        """
        if self.deployments is None:
            raise UsageError(f"--formats={needed_by}: needs --deployments FILE with the columns {', '.join(columns)}")
        self.deployments.require(*columns, needed_by=needed_by)
        return self.deployments

    def require_taxonomy(self, *, needed_by: str) -> Taxonomy:
        """Return the tree of taxa.

        Raises:
          UsageError: --taxa was not given.
        """
        if self.taxonomy is None:
            raise UsageError(f"--formats={needed_by}: needs --taxa FILE with the columns label,AphiaID,rank,parent")
        return self.taxonomy

    def scientific_name(self, label: str) -> str:
        """Return the scientific name of a label; without --taxa, the label."""
        return label if self.taxonomy is None else self.taxonomy.by_label[label].scientific_name

    def deployment_of(self, row: PredictionRow) -> Deployment | None:
        """Return the deployment of an image; None without --deployments.

        Raises:
          ContractError: the file has no line for it.
        """
        return None if self.deployments is None else self.deployments.of(row.deployment, image=row.image)

    def dated(self, row: PredictionRow, *, needed_by: str) -> tuple[Deployment, datetime]:
        """Return the deployment of an image and its time, with the offset from UTC; --deployments was given.

        Raises:
          UsageError: the image has no time.
          ContractError: the file has no line for its deployment, or it was not taken within it.
        """
        deployment, frame = self.deployment_of(row), row.frame
        if deployment is None or frame is None:
            raise UsageError(
                f"--formats={needed_by}: {row.image} has a time neither in its name nor in EXIF: exclude it (--below)"
            )
        return deployment, deployment.date_time(frame.time)

    def audit_status(self, row: PredictionRow) -> str:
        """Return "sampled" for an image that a person was asked to label, else "not sampled"; "none" without audit."""
        if self.audited is None:
            return "none"
        return "sampled" if legible(row.image) in self.audited else "not sampled"

    def address(self, image: str) -> str:
        """Return the address of an image, or its name if the images have none.

        Example:
          >>> facts = PublicationFacts(image_url="https://a.org/")
          >>> Publication(files=lambda names: iter(()), facts=facts).address("b c.jpg")
          'https://a.org/b%20c.jpg'
        """
        return self.facts.image_url + quote(image, errors="surrogateescape") if self.facts.image_url else image


def hashed_rows(
    rows: Iterable[PredictionRow], files: FileReader, *, needed_by: str
) -> Iterator[tuple[PredictionRow, str]]:
    """Yield each row with the hex SHA-256 of its image file; "" for a failed image that is no longer there.

    The hash is of the file that lies there now. Rows are taken in bounded groups.

    Raises:
      UsageError: an image that was scored is not found.
    """
    remaining = iter(rows)
    while group := list(itertools.islice(remaining, _ROWS_AT_A_TIME)):
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files({row.image for row in group})}
        for row in group:
            if row.image not in digests and row.status == OK:
                raise missing_image(row.image, needed_by)
            yield row, digests.get(row.image, "")


def missing_image(image: str, needed_by: str) -> UsageError:
    """Return the error that an image was not found."""
    return UsageError(f"--formats={needed_by}: {image} was not found: say by --images where the images are")


def media_id(image: str, sha256: str) -> str:
    """Return the identifier of an image in a publication, by its name and content."""
    return _digest(image, sha256)


def detection_ids(row: PredictionRow, sha256: str, run: ScoringRun) -> list[str]:
    """Return the identifiers of the detections of an image, or of its absence if there are none.

    They depend on image, model and box, and not on the threshold: what two publications of one run have in common has
    one identifier.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    ids = []
    for item in row.detections:
        found = (item.label, *item.to_dict()["box"], item.to_dict()["score"])
        ids.append(_digest(row.image, sha256, run.model_hash, *found, seen[found]))
        seen[found] += 1
    return ids or [_digest(row.image, sha256, run.model_hash)]


def uuid_of(*parts: str) -> str:
    """Return a UUID of version 4 whose bits are those of a hash; some standards accept no other version."""
    return str(uuid.UUID(hex=_digest(*parts), version=4))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_ID_DIGITS]


def trace(run: ScoringRun, item: Detection | None, *, sha256: str, audit: str) -> dict[str, str]:
    """Return where a published row comes from: hashes of image and model, minimum score, audit status.

    Without a detection, the row says that nothing reached the lowest minimum score of the classes.
    """
    score = min(run.min_scores.values()) if item is None else run.min_scores[item.label_id]
    return {"image_sha256": sha256, "model": run.model_hash, "threshold": f"{score:g}", "audit": audit}
