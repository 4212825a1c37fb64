"""Rows of predictions for the tests of the formats: a table of the awkward ones, and random ones."""

from collections.abc import Mapping

from hypothesis import strategies as st

from retinanet_odm.predictions.rows import FAILED, MODEL_REFUSED, Detection, PredictionRow, ScoringRun

THRESHOLDS = {1: 0.3, 2: 0.4, 4: 0.25}
RUN = ScoringRun(
    classes={1: "crab", 2: "sea pig", 4: 'Étoile "de", mer'},
    model_hash="0123456789abcdef" * 4,
    thresholds=THRESHOLDS,
    min_scores=THRESHOLDS,
    nms_iou=0.5,
    code_version="1.2.3",
    rows_from=0.1,
    facts={"threshold_origin": "model.json"},
)
PIG = Detection(label="sea pig", label_id=2, score=0.9, box=(5.0, 6.0, 20.25, 16.0))
CRAB = Detection(label="crab", label_id=1, score=0.5, box=(0.0, 0.0, 40.0, 30.0))
STAR = Detection(label='Étoile "de", mer', label_id=4, score=0.25, box=(1.5, 2.25, 3.75, 4.0))
FRAME = "dive 1/StaM_6701_20161110_14_24_12.JPG"


def scored(image: str, *detections: Detection) -> PredictionRow:
    """A row of an image of 40 × 30 pixels."""
    return PredictionRow(image=image, width=40, height=30, detections=detections)


def failed(image: str, reason: str = "image_not_decodable") -> PredictionRow:
    return PredictionRow(image=image, status=FAILED, reason=reason, detail=f"{image}: expected an image, found none")


ROWS = (
    scored("a.jpg", PIG),
    scored("a.png", PIG, PIG, CRAB),
    failed("broken.jpg"),
    scored(FRAME, STAR),
    scored("empty.zip/nothing, found.png"),
    failed("refused.png", MODEL_REFUSED),
    scored("zip/NAME.png#2", CRAB),
    scored('é/"quoted", = and\nbroken\r.png', STAR, CRAB),
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
# XML takes a line break in an element for white space at its ends, and so do file names in annotation tools.
_XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z", "Cn", "Co"]), min_size=1, max_size=12)
_PIXELS = st.integers(0, 40_00).map(lambda cents: cents / 100)
_DETECTIONS = st.builds(
    lambda label_id, score, box: Detection(label=RUN.classes[label_id], label_id=label_id, score=score, box=box),
    st.sampled_from(sorted(RUN.classes)),
    st.integers(25_00, 1_00_00).map(lambda parts: parts / 1_00_00),
    st.tuples(_PIXELS, _PIXELS, _PIXELS, _PIXELS).map(
        lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
    ),
)


_ROW = st.builds(lambda image, found: scored(image, *found), _TEXT, st.lists(_DETECTIONS, max_size=3)) | st.builds(
    failed, _TEXT, st.sampled_from(["image_empty", MODEL_REFUSED])
)
random_rows = st.lists(_ROW, max_size=6, unique_by=lambda row: row.image).map(
    lambda rows: sorted(rows, key=lambda row: row.image)
)


@st.composite
def rows_named(draw: st.DrawFn, names: st.SearchStrategy[str], classes: Mapping[int, str]) -> list[PredictionRow]:
    """Rows of images of all sizes, with boxes as large as readers take for boxes in pixels."""
    drawn = sorted(draw(st.lists(names, max_size=6, unique=True)))
    return [draw(_row(name, classes)) for name in drawn]


@st.composite
def _row(draw: st.DrawFn, name: str, classes: Mapping[int, str]) -> PredictionRow:
    if draw(st.integers(0, 5)) == 0:
        return PredictionRow(image=name, status=FAILED, reason="image_empty", detail=f"{name}: empty")
    width, height = draw(st.tuples(st.integers(4, 9_000), st.integers(4, 9_000)))
    found = draw(st.lists(_detection(width, height, classes), max_size=4))
    return PredictionRow(image=name, width=width, height=height, detections=tuple(found))


@st.composite
def _span(draw: st.DrawFn, side: int) -> tuple[float, float]:
    """Two edges in hundredths of a pixel, at least 1.6 pixels apart: readers take smaller ones for fractions."""
    low = draw(st.integers(0, 100 * side - 160))
    return low / 100, draw(st.integers(low + 160, 100 * side)) / 100


@st.composite
def _detection(draw: st.DrawFn, width: int, height: int, classes: Mapping[int, str]) -> Detection:
    label_id = draw(st.sampled_from(sorted(classes)))
    xmin, xmax = draw(_span(width))
    ymin, ymax = draw(_span(height))
    # At, just below and just above usual thresholds, as rows round scores.
    score = draw(st.sampled_from([0.3, 0.4999, 0.5, 0.5001, 0.5999, 0.6, 1.0]))
    return Detection(label=classes[label_id], label_id=label_id, score=score, box=(xmin, ymin, xmax, ymax))


random_xml_rows = rows_named(_XML_TEXT, RUN.classes)
