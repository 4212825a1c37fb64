"""Sprites: boxes are tight."""

import numpy as np
import pytest

from retinanet_odm.samples.sprites import SPECIES, draw_animal


@pytest.mark.parametrize("label", SPECIES)
@pytest.mark.parametrize("length", [min(species.min_length for species in SPECIES.values()), 110.0])
def test_a_box_is_tight_about_the_drawn_pixels(label: str, length: float) -> None:
    sprite = draw_animal(np.random.default_rng(3), label, length)
    rows, columns = (np.flatnonzero(sprite.alpha.any(axis=axis)) for axis in (1, 0))
    ymin, xmin, ymax, xmax = sprite.box
    drawn = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    assert np.all(np.abs(np.subtract(sprite.box, drawn)) <= 0.5)  # drawn at half pixels
    # Not touching the sprite's own border: nothing was cut off while drawing.
    assert min(rows[0], columns[0]) > 0
    assert max(rows[-1], columns[-1]) < len(sprite.alpha) - 1
    assert 0.4 * length < max(ymax - ymin, xmax - xmin) < 1.4 * length
