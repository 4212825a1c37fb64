"""Repeat detections: rocks and animals, and the index of locations compared with a search of all pairs."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.boxes import as_boxes
from retinanet_odm.boxes import iou as iou_of
from retinanet_odm.predictions.repeats import NOT_REPEATED, find_repeats

Found = tuple[int, int, tuple[float, float, float, float]]  # frame, label, box


def _places(found: list[Found], *, iou: float = 0.7, min_frames: int = 10) -> list[int]:
    return find_repeats(
        np.int32([frame for frame, _, _ in found]),
        np.int32([label for _, label, _ in found]),
        as_boxes([box for _, _, box in found]),
        iou=iou,
        min_frames=min_frames,
    ).tolist()


def _jittered(rng: np.random.Generator, box: tuple[float, ...], pixels: float) -> tuple[float, float, float, float]:
    xmin, ymin, xmax, ymax = np.asarray(box) + rng.normal(0, pixels, 4)
    return xmin, ymin, xmax, ymax


ROCK, SMALL_ROCK = (300.0, 200.0, 360.0, 250.0), (20.0, 30.0, 44.0, 52.0)


@pytest.mark.parametrize("seed", range(5))
def test_rocks_are_found_and_animals_are_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found: list[Found] = []
    truth = []
    walkers = rng.uniform(0, 500, (6, 2))
    for frame in range(50):
        seen = [(1, _jittered(rng, ROCK, 2.0), "rock")] if rng.random() < 0.9 else []
        if rng.random() < 0.6:
            seen.append((2, _jittered(rng, SMALL_ROCK, 0.8), "small rock"))
        walkers = walkers + rng.normal(0, 40, walkers.shape)
        for x, y in walkers:
            seen.append((1, (x, y, x + 50, y + 40), "animal"))
        rng.shuffle(seen)  # type: ignore[arg-type]
        for label, box, what in seen:
            found.append((frame, label, box))
            truth.append(what)
    places = _places(found)
    at = {what: {place for place, is_what in zip(places, truth, strict=True) if is_what == what} for what in set(truth)}
    assert at["animal"] == {NOT_REPEATED}
    assert len(at["rock"]) == len(at["small rock"]) == 1, "all detections of a rock are at one location"
    assert at["rock"] | at["small rock"] == {0, 1}


def _frames(*frames: int, label: int = 1, box: tuple[float, float, float, float] = ROCK) -> list[Found]:
    return [(frame, label, box) for frame in frames]


@pytest.mark.parametrize(
    ("found", "places"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(_frames(0, 1, 2), [0, 0, 0], id="three frames"),
        pytest.param(_frames(0, 7), [-1, -1], id="two frames"),
        pytest.param(_frames(0, 0, 0, 1), [-1] * 4, id="thrice on one frame is one frame"),
        pytest.param(_frames(0, 1) + _frames(2, label=2), [-1] * 3, id="another class"),
        pytest.param(_frames(0, 1, 1, 2), [0] * 4, id="both of a frame"),
        pytest.param(_frames(0, 5, 90), [0, 0, 0], id="in between it was hidden"),
        pytest.param(_frames(0, 1, 2, box=(5, 5, 5, 9)), [-1] * 3, id="no area"),
        pytest.param(
            _frames(0, 1, 2, box=SMALL_ROCK) + _frames(3, 4, 5),
            [0] * 3 + [1] * 3,
            id="numbers in the order of the first frame",
        ),
    ],
)
def test_what_counts_as_repeated(found: list[Found], places: list[int]) -> None:
    assert _places(found, min_frames=3) == places


def test_a_first_box_that_began_its_own_location_is_flagged_too() -> None:
    """The second box is too far from the first, but the place that later ones make is not."""
    boxes = [(0, 0, 100, 100), (22, 0, 122, 100), *[(12, 0, 112, 100)] * 4]
    found: list[Found] = [(frame, 1, box) for frame, box in enumerate(boxes)]
    assert _places(found, iou=0.7, min_frames=4) == [0] * 6


def _by_all_pairs(found: list[Found], iou: float, min_frames: int) -> list[int]:
    """Oracle: the same by comparing every box with every place."""
    boxes: list[npt.NDArray[np.float64]] = []
    members: list[list[int]] = []

    def nearest(among: list[int], label: int, box: tuple[float, ...]) -> int:
        same = [place for place in among if found[members[place][0]][1] == label]
        shares = [float(_iou(boxes[place], np.float64(box))) for place in same]
        return same[int(np.argmax(shares))] if shares and max(shares) >= iou else NOT_REPEATED

    for number, (_, label, box) in enumerate(found):
        place = nearest(list(range(len(boxes))), label, box)
        if place == NOT_REPEATED:
            boxes.append(np.float64(box))
            members.append([number])
        else:
            members[place].append(number)
            boxes[place] = np.mean([np.float64(found[member][2]) for member in members[place]], axis=0)
    kept = [place for place, of in enumerate(members) if len({found[member][0] for member in of}) >= min_frames]
    at = [nearest(kept, label, box) for _, label, box in found]
    return [NOT_REPEATED if place == NOT_REPEATED else kept.index(place) for place in at]


def _iou(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(iou_of(as_boxes([a]), as_boxes([b]))[0, 0])


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.integers(1, 4))
def test_the_index_finds_what_all_pairs_find(seed: int, count: int, iou: float, min_frames: int) -> None:
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(-20, 60, (count, 2)), np.exp(rng.normal(2.5, 0.4, (count, 2)))
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    found: list[Found] = [
        (number // 3, int(rng.integers(1, 3)), tuple(map(float, box)))  # type: ignore[misc]
        for number, box in enumerate(corners)
    ]
    assert _places(found, iou=iou, min_frames=min_frames) == _by_all_pairs(found, iou, min_frames)
