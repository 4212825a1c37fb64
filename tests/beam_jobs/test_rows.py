"""The lines of rejected.jsonl: one order whatever the order of arrival, and nothing lost."""

import json

from hypothesis import given
from hypothesis import strategies as st

from beam_jobs.rows import IMAGE_REJECT, OBJECT_REJECT, Reject, format_rejects, parse_rejects, sort_rejects

texts = st.text(max_size=9)
lines = st.none() | st.integers(1, 9)
rejects = st.builds(
    Reject,
    kind=st.sampled_from([IMAGE_REJECT, OBJECT_REJECT]),
    name=texts,
    reason=texts,
    detail=texts,
    source=texts,
    line=lines,
    label=texts,
    value=texts,
)


@given(st.lists(rejects, max_size=5))
def test_rejects_are_sorted_and_come_back(rows):
    ordered = sort_rejects(rows)
    found = parse_rejects(format_rejects(ordered))
    assert sort_rejects(reversed(rows)) == ordered
    assert sorted(map(repr, found)) == sorted(map(repr, rows))


def test_the_keys_are_the_file_format():
    reject = Reject(kind=IMAGE_REJECT, name="a.jpg", reason="image_empty", detail="a.jpg: empty", source="i/a.jpg")
    keys = ["kind", "name", "reason", "detail", "source", "line", "label", "value"]
    assert list(json.loads(format_rejects([reject]))) == keys
