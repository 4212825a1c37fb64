"""Every entry point prints its --help, quickly and on standard output."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent

ENTRY_POINTS = [
    pytest.param([sys.executable, "-m", "beam_jobs", "prepare"], "--num_shards", id="the data set job"),
    pytest.param([sys.executable, "-m", "beam_jobs", "check"], "--max_rejected", id="the check of its input"),
    pytest.param([sys.executable, "-m", "beam_jobs", "labels"], "--label_aliases", id="the label map"),
    pytest.param([sys.executable, "-m", "beam_jobs", "export"], "--license", id="the export of a data set"),
    pytest.param([sys.executable, "-m", "beam_jobs"], "prepare", id="the commands of the data set job"),
    pytest.param([sys.executable, "-m", "trainer"], "--train_batch_size", id="the trainer"),
    pytest.param([sys.executable, "-m", "trainer.submit", "run"], "--max_hours", id="the trainer on a TPU VM"),
    pytest.param([sys.executable, "-m", "trainer.submit"], "status", id="the commands for a TPU VM"),
    pytest.param([sys.executable, "-m", "trainer.tpu.supervisor"], "--folder", id="the supervisor on a TPU VM"),
    pytest.param([sys.executable, "-m", "inference", "score"], "--min_score", id="scoring"),
    pytest.param([sys.executable, "-m", "inference", "convert"], "--formats", id="conversion of predictions"),
    pytest.param([sys.executable, "-m", "inference", "repeats"], "--min_frames", id="repeated detections"),
    pytest.param([sys.executable, "-m", "inference", "evaluate"], "--min_score", id="evaluation of predictions"),
    pytest.param([sys.executable, "-m", "inference", "audit"], "--copy_images", id="an audit"),
    pytest.param([sys.executable, "-m", "inference", "label_errors"], "--min_probability", id="errors of the labels"),
    pytest.param([sys.executable, "-m", "inference", "abundance"], "--ignore_others", id="estimates from an audit"),
    pytest.param([sys.executable, "-m", "inference", "review"], "--no_browser", id="the page of a review"),
    pytest.param([sys.executable, "-m", "inference", "detect"], "--draw", id="a few images"),
    pytest.param([sys.executable, "-m", "inference", "label_studio"], "--image_hosts", id="a backend of Label Studio"),
    pytest.param([str(SCRIPTS / "retinanet-data"), "prepare"], "--num_shards", id="console script: data"),
    pytest.param([str(SCRIPTS / "retinanet-train")], "--train_batch_size", id="console script: train"),
    pytest.param([str(SCRIPTS / "retinanet-tpu"), "stop"], "--zone", id="console script: TPU"),
    pytest.param([str(SCRIPTS / "retinanet-score"), "score"], "--min_score", id="console script: score"),
    pytest.param([str(SCRIPTS / "retinanet-odm")], "doctor", id="console script: all programs"),
    pytest.param([str(SCRIPTS / "retinanet-odm"), "run"], "--accept_errors", id="console script: all, run"),
    pytest.param([str(SCRIPTS / "retinanet-odm"), "data", "check"], "--max_rejected", id="console script: all, data"),
    pytest.param([str(SCRIPTS / "retinanet-odm"), "train"], "--train_batch_size", id="console script: all, train"),
    pytest.param(
        [sys.executable, "-m", "retinanet_odm.dataflow.launcher"], "--flexrs", id="the launcher of Dataflow jobs"
    ),
    pytest.param([sys.executable, "scripts/make_templates.py"], "--folder", id="Flex Templates"),
    pytest.param([sys.executable, "scripts/make_sample.py"], "--seed", id="the sample data set"),
    pytest.param([sys.executable, "-m", "retinanet_odm.samples"], "--seed", id="the same, without the checkout"),
    pytest.param([sys.executable, "benchmarks/bccd.py"], "--num_epochs", id="the real-data benchmark"),
    pytest.param([sys.executable, "-m", "benchmarks.evening"], "--epochs", id="the guides, walked"),
    pytest.param([sys.executable, "-m", "benchmarks.prepare"], "--scale", id="the data set benchmark"),
    pytest.param([sys.executable, "-m", "benchmarks.kill_prepare"], "--kills", id="kills of prepare"),
    pytest.param([sys.executable, "-m", "benchmarks.score"], "--parts", id="the scoring benchmark"),
    pytest.param([sys.executable, "-m", "benchmarks.kill_score"], "--kills", id="kills of scoring"),
    pytest.param([sys.executable, "-m", "benchmarks.peers"], "--env", id="the comparison with other readers"),
    pytest.param([sys.executable, "-m", "benchmarks.doors"], "--env", id="detections in other programs"),
    pytest.param([sys.executable, "-m", "benchmarks.darwin_core"], "--env", id="archives of Darwin Core"),
    pytest.param([sys.executable, "-m", "benchmarks.abundance"], "--surveys", id="intervals of abundance"),
    pytest.param([sys.executable, "-m", "benchmarks.review"], "--images", id="the page of a review, scrolled"),
    pytest.param([sys.executable, "-m", "benchmarks.training"], "--parts", id="the training benchmark"),
    pytest.param([sys.executable, "-m", "benchmarks.novelty"], "--others", id="images unlike the training's"),
    pytest.param([sys.executable, "-m", "benchmarks.first_weights"], "quality", id="the first weights"),
    pytest.param([sys.executable, "-m", "benchmarks.partial_labels"], "--image_size", id="what partial labels lose"),
    pytest.param([sys.executable, "-m", "benchmarks.label_errors"], "--env", id="errors of labels that are found"),
    pytest.param([sys.executable, "-m", "benchmarks.tiles"], "--epochs", id="what tiles in training are worth"),
    pytest.param([sys.executable, "-m", "benchmarks.yolo"], "--env", id="the comparison with YOLO"),
    pytest.param([sys.executable, "-m", "benchmarks.losses"], "--against", id="losses before and after a change"),
    pytest.param([sys.executable, "-m", "benchmarks.keras_hub"], "quality", id="the comparison with KerasHub"),
    pytest.param([sys.executable, "-m", "benchmarks.made_up"], "--max_boxes", id="synthetic data sets of any size"),
    pytest.param([sys.executable, "benchmarks/tpu_fit.py"], "--topolog", id="the table of TPU chips"),
    pytest.param([sys.executable, "-m", "benchmarks.tpu_score"], "--topolog", id="what scoring needs on a TPU"),
    pytest.param([sys.executable, "-m", "benchmarks.xla"], "--steps", id="the runtimes of a step compared"),
    pytest.param([sys.executable, "benchmarks/beam_threads.py"], "--mode", id="threads of Beam"),
    pytest.param([sys.executable, "-m", "benchmarks.compare_checkouts"], "--only", id="two checkouts, byte for byte"),
    pytest.param([sys.executable, "-m", "benchmarks.structure"], "CHECKOUT", id="the structure of a checkout"),
]


@pytest.mark.parametrize(("command", "mentioned"), ENTRY_POINTS)
def test_help(command: list[str], mentioned: str) -> None:
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert mentioned in done.stdout and done.stderr == ""
