"""What a publication says beside the rows, and how what it holds is named."""

import hashlib
from collections.abc import Collection, Iterator

import pytest

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.predictions import publication
from retinanet_odm.predictions.publication import (
    Publication,
    PublicationFacts,
    detection_ids,
    hashed_rows,
    parse_publication_facts,
    uuid_of,
)
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, failed, scored


def _reader(files: dict[str, bytes]) -> publication.FileReader:
    def read(names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        return ((name, data) for name, data in sorted(files.items(), reverse=True) if name in names)

    return read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "p.json: expected a JSON object, found list"),
        ('{"create": ""}', "p.json: unknown key 'create'; did you mean 'created'?"),
        ('{"ifdo": []}', "p.json: ifdo: expected an object, found []"),
        ('{"image_url": 3}', "p.json: image_url: expected a text, found 3"),
        ('{"created": "2024-06-30"}', "p.json: created: expected a date and time such as 2024-06-30T12:00:00Z"),
        ('{"created": "2024-13-30T12:00:00Z"}', "p.json: created: expected a date and time"),
    ],
)
def test_bad_facts(text: str, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_publication_facts(text, source="p.json")
    assert message in str(caught.value)


def test_what_a_document_needs_is_named() -> None:
    facts = parse_publication_facts('{"ifdo": {"a": 1}}', source="p.json")
    with pytest.raises(ContractError, match=r"p.json: ifdo: expected the keys a, b, c; without b, c"):
        facts.section("ifdo", "a", "b", "c")
    with pytest.raises(ContractError, match=r"p.json: ifdo needs created"):
        facts.require_created("ifdo")
    with pytest.raises(UsageError, match=r"--formats=ifdo: needs --publication FILE with ifdo: a"):
        PublicationFacts().section("ifdo", "a")
    with pytest.raises(UsageError, match=r"--formats=x: needs --deployments FILE with the columns latitude"):
        Publication(files=_reader({})).require_deployments("latitude", needed_by="x")


def test_rows_keep_their_order_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "_ROWS_AT_A_TIME", 2)
    rows = [scored("a.jpg"), scored("b.jpg", PIG), failed("c.jpg"), failed("gone.jpg"), scored("d.jpg")]
    found = list(
        hashed_rows(
            iter(rows), _reader({row.image: row.image.encode() for row in rows if row.image[0] != "g"}), needed_by="x"
        )
    )
    assert [row for row, _ in found] == rows
    assert [digest for _, digest in found] == [
        "" if row.image == "gone.jpg" else hashlib.sha256(row.image.encode()).hexdigest() for row in rows
    ]


def test_a_scored_image_that_is_missing_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"--formats=x: b.jpg was not found: say by --images where the images are"):
        list(hashed_rows([scored("a.jpg"), scored("b.jpg")], _reader({"a.jpg": b""}), needed_by="x"))


def test_identifiers() -> None:
    """A lower threshold adds detections: those that were published keep their identifiers."""
    ids = detection_ids(scored("a.jpg", PIG, CRAB, CRAB), "00", RUN)
    assert len(set(ids)) == 3
    assert detection_ids(scored("a.jpg", PIG, CRAB, CRAB, STAR), "00", RUN)[:3] == ids
    others = [
        detection_ids(scored("b.jpg", PIG), "00", RUN),
        detection_ids(scored("a.jpg", PIG), "01", RUN),
        detection_ids(scored("a.jpg"), "00", RUN),
    ]
    assert not {found for other in others for found in other} & set(ids)
    assert detection_ids(scored("\udce9.jpg"), "00", RUN) != detection_ids(scored("\\udce9.jpg"), "00", RUN)


def test_uuids_are_of_version_4() -> None:
    found = uuid_of("a")
    assert found == uuid_of("a") != uuid_of("b")
    assert (found[14], found[19] in "89ab") == ("4", True)
