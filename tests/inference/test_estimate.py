"""score --estimate: what a run would take, without Beam and TensorFlow."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inference.main import main
from tests.inference.fake_model import make_image, write_manifest
from tests.retinanet_odm.conftest import Cloud, cloud

__all__ = ["cloud"]  # a fixture


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A model that cannot be loaded."""
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"never loaded")
    write_manifest(folder)
    return f"--model={folder}"


def test_a_folder_in_a_bucket(cloud: Cloud, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        cloud.put(f"in/{number}.png", bytes(100_000))
    cloud.put("in/notes.txt", bytes(1_000_000))
    words = ["score", "--images=gs://bucket/in", model, "--output=gs://bucket/out", "--num_shards=3", "--estimate"]
    assert main([*words, "--vcpu_hour_price=60", "--images_a_second=0.002"]) == 0
    message = capsys.readouterr()
    assert message.err == ""
    assert message.out.splitlines() == [
        "images: 20 in 20 objects, 2.0 MB; 20 of them have no row yet",
        "shards: 3 prediction files",
        "work: 2.78 vCPU-hours (20 MB and 0.002 images per second), 0.35 hours of one worker with 8; startup takes"
        " some minutes more",
        "money: 166.67 at 60 per vCPU-hour",
    ]
    assert {method for method, _ in cloud.requests} == {"GET"} and cloud.reads() == []


def test_members_of_an_archive_count_and_nothing_heavy_is_loaded(model: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        for number in range(3):
            target.writestr(f"{number}.png", make_image(8, 8))
    words = ["score", f"--images={tmp_path}/a.zip", model, f"--output={tmp_path}/out", "--estimate"]
    script = (
        "import sys; from inference.main import main; status = main(sys.argv[1:]);"
        "print(status, *{'apache_beam', 'tensorflow', 'google.cloud.storage'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "images: 3 in 1 objects, " in done.stdout and "money" not in done.stdout
    assert done.stdout.splitlines()[-1] == "0"
    assert not (tmp_path / "out").exists()


REFUSED = [
    (["--vcpu_hour_price=1"], "--vcpu_hour_price: expected --estimate too", "there is nothing to pay"),
    (["--images_a_second=1"], "--images_a_second: expected --estimate too", "there is nothing to estimate"),
    (["--estimate", "--images_a_second=0"], "--images_a_second: expected a number above 0, found 0", "no speed"),
    (["--estimate", "--images_a_second=nan"], "--images_a_second: expected a number above 0, found nan", "no speed"),
    (["--estimate", "--images=/none"], "there is no file or folder /none", "nothing to score"),
]


@pytest.mark.parametrize(("flags", "words", "reason"), REFUSED)
def test_refused(flags: list[str], words: str, reason: str, model: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "a.png").write_bytes(make_image(8, 8))
    assert main(["score", f"--images={tmp_path}/a.png", model, f"--output={tmp_path}/out", *flags]) == 2, reason
    assert words in capsys.readouterr().err
