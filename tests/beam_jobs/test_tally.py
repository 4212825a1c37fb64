"""Tallies of parts add up to the tally of the whole, in any order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs.rows import Candidate, reject_annotation
from beam_jobs.tally import Tally, add_tallies, tallied
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.sources.listing import AnnotationFile, ImageFile


def _candidate(name: str, label: str, pairing: str) -> Candidate:
    content = ImageAnnotation(
        filename=name, width=1, height=1, objects=(ObjectAnnotation(label=label, box=(0, 0, 1, 1)),), source="x/a.xml"
    )
    return Candidate(image=ImageFile(uri=name, name=name), annotation=content, pairing=pairing, paired_with="x")


candidates = st.builds(
    _candidate, st.sampled_from("abc"), st.sampled_from(["crab", "fish"]), st.sampled_from(["", "far"])
)
rejects = st.builds(
    lambda name: reject_annotation(AnnotationFile(uri=name), "xml_not_well_formed", "", None), st.sampled_from("abcdef")
)


@settings(max_examples=50)
@given(st.lists(candidates | rejects, max_size=12), st.randoms(use_true_random=False))
def test_the_parts_add_up_whatever_their_order(rows, random):
    *passed_on, whole = tallied(rows, Tally())
    assert passed_on == rows
    parts = [[*tallied([row], Tally())][-1] for row in rows]
    random.shuffle(parts)
    assert add_tallies(parts) == whole
    assert len(whole.unreadable) <= 3


def test_the_sum_of_none_is_empty():
    assert add_tallies([]) == Tally()
