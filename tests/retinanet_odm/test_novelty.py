"""Novelty: distances against a search of all pairs; a limit that images like those of the training seldom exceed."""

import numpy as np
import pytest

from retinanet_odm.errors import ContractError
from retinanet_odm.novelty import MIN_TRAINING_IMAGES, FeatureRows, Reference, make_reference


def _features(seed: int, images: int, *, shift: float = 0.0) -> FeatureRows:
    rng = np.random.default_rng(seed)
    values = rng.random((images, 7)) * [1, 1, 1, 1, 5, 20, 100]
    values[:, 2] += shift
    return values.astype(np.float32)


def _fifth_nearest(image: FeatureRows, training: FeatureRows) -> float:
    """The distance in standard deviations of each feature, from each pair alone."""
    deviation = np.std(training.astype(float), axis=0)
    return sorted(float(np.linalg.norm((image - other) / deviation)) for other in training)[4]


def test_novelty_is_the_distance_to_the_fifth_nearest_over_the_limit() -> None:
    training, held_out, others = _features(1, 40), _features(2, 30), _features(3, 10, shift=30)
    reference = make_reference(training, held_out)
    # Of 30 images none is the one in a hundred that may exceed it: the largest distance is the limit.
    limit = max(_fifth_nearest(image, training) for image in held_out)
    assert reference.limit == pytest.approx(limit, rel=1e-3)  # the training images are half floats
    expected = [_fifth_nearest(image, training) / limit for image in others]
    np.testing.assert_allclose(reference.novelty_of(others), expected, rtol=2e-3)


def test_a_channel_that_training_images_do_not_use_does_not_outweigh_all() -> None:
    training, image = _features(1, 40), _features(2, 1)
    training[:, 3] = 0
    unused = image.copy()
    unused[:, 3] = 0
    reference = make_reference(training, training[:0])
    assert reference.novelty_of(unused)[0] < reference.novelty_of(image)[0] < 999


def test_images_like_the_training_images_rarely_exceed_the_limit() -> None:
    for held_out in (_features(5, 400), _features(5, 0)):
        reference = make_reference(_features(4, 300), held_out)
        share = float((reference.novelty_of(_features(6, 2000)) > 1).mean())
        assert 0.002 < share < 0.03, f"{len(held_out)} held-out images"
        assert (reference.novelty_of(_features(7, 100, shift=200)) > 1).all()


def test_few_held_out_images_do_not_lower_the_limit() -> None:
    training = _features(8, 100)
    alone, near = make_reference(training, training[:0]), make_reference(training, training[:3])
    assert near.limit == alone.limit
    assert make_reference(training, _features(9, 3, shift=200)).limit > alone.limit


ODD = [
    ("as few as there may be", _features(1, MIN_TRAINING_IMAGES), _features(2, 3)),
    ("equal training images", np.ones((8, 3), np.float32), np.asarray([[3.0, 1, 1]])),
    ("equal, and so is the image", np.ones((8, 3), np.float32), np.ones((1, 3), np.float32)),
    ("no features at all", np.zeros((8, 3), np.float32), np.zeros((1, 3), np.float32)),
    ("a network that has diverged", _features(1, 8), np.full((2, 7), np.nan, np.float32)),
]


@pytest.mark.parametrize(("why", "training", "images"), ODD, ids=[row[0] for row in ODD])
def test_novelty_is_always_a_number(why: str, training: FeatureRows, images: FeatureRows) -> None:
    novelty = make_reference(training, training[:0]).novelty_of(images)
    assert novelty.shape == (len(images),) and ((novelty >= 0) & (novelty <= 999)).all(), why


def test_what_equals_all_training_images_is_like_them() -> None:
    reference = make_reference(np.ones((8, 3), np.float32), np.ones((0, 3), np.float32))
    assert reference.novelty_of(np.asarray([[1.0, 1, 1], [3, 1, 1]])).tolist() == [0, 999]


def test_the_file_is_read_back() -> None:
    reference = make_reference(_features(1, 20), _features(2, 5))
    data = reference.to_bytes()
    assert data == reference.to_bytes()
    read = Reference.from_bytes(data, source="reference.npz")
    images = _features(3, 4)
    np.testing.assert_array_equal(read.novelty_of(images), reference.novelty_of(images))


def _flat() -> bytes:
    three = np.zeros(3)
    return Reference(mean=three, scale=three, features=three.astype(np.float16), limit=1.0).to_bytes()


@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04", _flat()], ids=["empty", "text", "cut", "one row"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match=r"reference\.npz: "):
        Reference.from_bytes(data, source="reference.npz")
