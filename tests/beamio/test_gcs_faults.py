"""Both programs tell at once, by one line, what is wrong with a bucket."""

import pytest

import beam_jobs.main
import inference.main
from tests.beam_jobs.conftest import Source
from tests.inference.fake_model import write_manifest

MAIN = {"prepare": beam_jobs.main.main, "score": inference.main.main}
PREPARE = ["prepare", "--images=SOURCE/images/*", "--annotations=SOURCE/annotations/*"]
SCORE = ["score", "--images=SOURCE/images/*", "--model=MODEL"]
NOT_THERE = "there is no such object or bucket"
FAULTS = [
    ([*PREPARE, "--output=gs://other/x"], NOT_THERE, "output"),
    ([*PREPARE, "--images=gs://other/*", "--output=gs://bucket/x"], NOT_THERE, "photographs"),
    ([*PREPARE, "--annotations=gs://other/*", "--output=gs://bucket/x"], NOT_THERE, "annotations"),
    ([*PREPARE, "--labels=gs://other/l", "--output=gs://bucket/x"], NOT_THERE, "a file of a flag"),
    ([*PREPARE, "--images=gs://bucket/secret/*", "--output=gs://bucket/x"], "no permission", "photographs"),
    (
        [*PREPARE, "--output=gs://bucket/forbidden"],
        "no permission to write it: no storage.objects.create$",
        "a folder that cannot be written",
    ),
    ([*SCORE, "--output=gs://other/x"], NOT_THERE, "output"),
    ([*SCORE, "--images=gs://other/a.zip", "--output=gs://bucket/x"], NOT_THERE, "an archive"),
    ([*SCORE, "--model=gs://other/m", "--output=gs://bucket/x"], NOT_THERE, "a model"),
    (
        [*SCORE, "--output=gs://bucket/forbidden"],
        "no permission to write it: no storage.objects.create$",
        "a folder that cannot be written",
    ),
]


@pytest.mark.parametrize(("argv", "words", "reason"), FAULTS)
def test_a_fault_of_a_bucket_is_one_line_at_once(cloud, tmp_path, capfd, argv, words, reason):
    source = Source(tmp_path / "source").fill(2)
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"never loaded")
    write_manifest(model)
    cloud.statuses["secret/"] = [403] * 5
    cloud.read_only = True
    places = [word.replace("SOURCE", str(source.root)).replace("MODEL", str(model)) for word in argv]
    assert MAIN[argv[0]](places) == 2, reason
    said = capfd.readouterr().err.splitlines()
    with pytest.raises(AssertionError, match=f"error: .*{words}"):
        raise AssertionError(said[-1])
    assert not [line for line in said if "Traceback" in line]
