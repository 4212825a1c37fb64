"""Rows of predictions for the tests of the formats: a table of the awkward ones, and random ones."""

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


def _rows_named(name: st.SearchStrategy[str]) -> st.SearchStrategy[list[PredictionRow]]:
    row = st.builds(lambda image, found: scored(image, *found), name, st.lists(_DETECTIONS, max_size=3)) | st.builds(
        failed, name, st.sampled_from(["image_empty", MODEL_REFUSED])
    )
    rows = st.lists(row, max_size=6, unique_by=lambda row: row.image)
    return rows.map(lambda rows: sorted(rows, key=lambda row: row.image))


random_rows = _rows_named(_TEXT)
random_xml_rows = _rows_named(_XML_TEXT)
