"""Every way in answers --help, quickly and on standard output."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent

ENTRY_POINTS = [
    pytest.param([sys.executable, "-m", "beam_jobs", "prepare"], "--num_shards", id="the data set job"),
    pytest.param([sys.executable, "-m", "beam_jobs", "check"], "--max_rejected", id="its check"),
    pytest.param([sys.executable, "-m", "beam_jobs", "labels"], "--label_aliases", id="the label map"),
    pytest.param([sys.executable, "-m", "beam_jobs"], "prepare", id="its commands"),
    pytest.param([sys.executable, "-m", "trainer"], "--train_batch_size", id="the trainer"),
    pytest.param([sys.executable, "-m", "trainer.submit", "run"], "--max_hours", id="the trainer on a TPU VM"),
    pytest.param([sys.executable, "-m", "trainer.submit"], "status", id="its commands"),
    pytest.param([sys.executable, "-m", "trainer.tpu.supervisor"], "--folder", id="its supervisor"),
    pytest.param([sys.executable, "-m", "inference", "score"], "--threshold", id="scoring"),
    pytest.param([sys.executable, "-m", "inference", "convert"], "--formats", id="other formats of a scored archive"),
    pytest.param([sys.executable, "-m", "inference", "repeats"], "--min_frames", id="what comes back at one place"),
    pytest.param([sys.executable, "-m", "inference", "evaluate"], "--min_score", id="a scored archive against truth"),
    pytest.param([sys.executable, "-m", "inference", "detect"], "--draw", id="a few images"),
    pytest.param([str(SCRIPTS / "retinanet-data"), "prepare"], "--num_shards", id="console script: data"),
    pytest.param([str(SCRIPTS / "retinanet-train")], "--train_batch_size", id="console script: train"),
    pytest.param([str(SCRIPTS / "retinanet-tpu"), "stop"], "--zone", id="console script: TPU"),
    pytest.param([str(SCRIPTS / "retinanet-score"), "score"], "--threshold", id="console script: score"),
    pytest.param(
        [sys.executable, "-m", "retinanet_odm.dataflow.launcher"], "--flexrs", id="the launcher of Dataflow jobs"
    ),
    pytest.param([sys.executable, "scripts/make_templates.py"], "--folder", id="the maker of Flex Templates"),
    pytest.param([sys.executable, "scripts/make_sample.py"], "--seed", id="the sample maker"),
    pytest.param([sys.executable, "benchmarks/bccd.py"], "--num_epochs", id="the real-data benchmark"),
    pytest.param([sys.executable, "benchmarks/prepare.py"], "--scale", id="the data set benchmark"),
    pytest.param([sys.executable, "-m", "benchmarks.kill_prepare"], "--kills", id="the benchmark of kills"),
    pytest.param([sys.executable, "-m", "benchmarks.score"], "--parts", id="the scoring benchmark"),
    pytest.param([sys.executable, "-m", "benchmarks.kill_score"], "--kills", id="kills of scoring"),
    pytest.param([sys.executable, "benchmarks/peers.py"], "--env", id="the comparison with other readers"),
    pytest.param([sys.executable, "benchmarks/tpu_fit.py"], "--topolog", id="the table of TPUs"),
    pytest.param([sys.executable, "benchmarks/beam_threads.py"], "--mode", id="Beam's threads"),
]


@pytest.mark.parametrize(("command", "mentioned"), ENTRY_POINTS)
def test_help(command: list[str], mentioned: str) -> None:
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert mentioned in done.stdout and done.stderr == ""
