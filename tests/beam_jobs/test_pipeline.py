"""No image byte crosses a shuffle: images are read by the worker that writes their shard."""

import io

import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import execution
from PIL import Image

from beam_jobs.main import main


def _noise(side: int, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def shuffled(monkeypatch):
    """Every byte that the runner passes between its stages."""
    passed: list[bytes] = []
    for buffer in (execution.ListBuffer, execution.GroupingBuffer, execution.WindowGroupingBuffer):
        append = buffer.append

        def spy(self, data, append=append):
            passed.append(bytes(data))
            return append(self, data)

        monkeypatch.setattr(buffer, "append", spy)
    return passed


def test_what_crosses_a_shuffle_does_not_grow_with_the_images(source, tmp_path, shuffled):
    sizes = {}
    for side in (8, 256):
        images = [_noise(side, seed) for seed in range(4)]
        for number, data in enumerate(images):
            source.images.joinpath(f"{number}.png").write_bytes(data)
            path = source.add_annotation(str(number), [("crab", (1.0, 2.0, 6.0, 7.0))])
            text = path.read_text().replace("<width>48<", "<width><").replace("<height>32<", "<height><")
            path.write_text(text)
        assert main(source.flags(tmp_path / str(side))) == 0
        everything = b"".join(shuffled)
        assert all(data[100:140] not in everything for data in images)
        sizes[side] = len(everything)
        shuffled.clear()
    assert len(_noise(256, 0)) > 100_000
    assert abs(sizes[256] - sizes[8]) < 2000, "digits of sizes and counters, and no image: noise cannot be compressed"
