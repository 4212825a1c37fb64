"""The images of the evaluation page: which are chosen, their captions and their boxes."""

from retinanet_odm.evaluation import gallery
from retinanet_odm.evaluation.analysis import Analysis, analyse
from retinanet_odm.imaging.drawing import colour_of
from tests.retinanet_odm.evaluation.scenes import coco_truth, thing

BOX, OTHER = [10, 10, 60, 60], [200, 200, 60, 60]


def _two_good_and_two_bad() -> Analysis:
    """1: right; 2: one missed; 3: one missed, one false; 4: two right; 5: empty."""
    objects = [
        thing(BOX, image=1),
        thing(BOX, image=2),
        thing(BOX, image=3),
        thing(BOX, image=4),
        thing(OTHER, image=4),
    ]
    results = [thing(BOX, image=image, score=0.9) for image in (1, 4)]
    results += [thing(OTHER, image=4, score=0.9), thing(OTHER, image=3, label=2, score=0.9)]
    results += [thing(OTHER, image=1, score=0.1)]
    return analyse(coco_truth(objects, images=5), results)


def test_images_with_the_most_errors_and_without_errors() -> None:
    analysis = _two_good_and_two_bad()
    chosen = {heading: rows.tolist() for heading, rows in gallery.choose_images(analysis).items()}
    assert chosen == {gallery.MOST_ERRORS: [2, 1], gallery.NO_ERRORS: [3, 0]}
    assert gallery.image_caption(analysis, 2) == "3.jpg: 1 of 1 missed, 1 false"


def test_colours_and_tags_show_the_results() -> None:
    analysis = _two_good_and_two_bad()
    drawn = {row: [(box.caption, box.label_id) for box in gallery.result_boxes(analysis, row)] for row in (0, 1, 2)}
    yellow, blue, red = 1, 2, 6
    assert [colour_of(number) for number in (yellow, blue, red)] == ["#F0E442", "#56B4E9", "#D55E00"]
    assert drawn == {
        0: [("crab 0.90", blue)],
        1: [("missed crab", yellow)],
        2: [("missed crab", yellow), ("false urchin 0.90", red)],
    }
    assert next(gallery.result_boxes(analysis, 1)).box == (10, 10, 70, 70)
