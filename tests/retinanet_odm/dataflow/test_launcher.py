"""From the launcher's command line to the program's."""

import datetime
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from retinanet_odm.beam.options import beam_options
from retinanet_odm.dataflow import launcher, preflight
from retinanet_odm.dataflow.launcher import Launch, beam_flags, main

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
ROOT = Path(__file__).parents[3]
PLACE = ["--region=europe-west4", "--bucket=gs://my-bucket/", "--project=p"]
SCORE = ["score", *PLACE, "--images=gs://a/x.zip", "--model=gs://m/e", "--output=gs://o/d", "--sdk_container_image=I"]


EXPORT = ["export", *PLACE, "--format", "yolo"]


def launch(command: str = "prepare", **changes: object) -> Launch:
    return Launch(**{"command": command, "project": "p", "region": "europe-west4", "bucket": "b-1", **changes})


FLAGS = [
    ({}, [], "--runner=DataflowRunner", "on Dataflow"),
    ({}, [], "--temp_location=gs://b-1/dataflow/tmp", "in the bucket named"),
    ({}, [], "--staging_location=gs://b-1/dataflow/staging", "in the bucket named"),
    ({}, ["--temp_location=gs://c/t"], None, "temp_location: what is given stands"),
    ({}, [], "--job_name=retinanet-prepare-20260102-030405", "no two jobs of one name"),
    ({}, [], "--machine_type=e2-standard-4", "prepare decodes images"),
    ({"command": "score"}, [], "--machine_type=n2-standard-8", "score multiplies matrices"),
    ({"command": "score", "accelerator": "nvidia-l4"}, [], "--machine_type=g2-standard-8", "the only machines with it"),
    ({}, ["--worker_machine_type", "n1-standard-1"], None, "machine_type: Beam's other name for it"),
    ({}, [], "--max_num_workers=10", "a bill with an end"),
    ({"command": "score", "accelerator": "nvidia-l4"}, [], "--max_num_workers=1", "quotas of GPUs are small"),
    (
        {"command": "score", "accelerator": "nvidia-l4"},
        [],
        "--number_of_worker_harness_threads=8",
        "a thread for each CPU reads images",
    ),
    (
        {"command": "score", "accelerator": "nvidia-l4"},
        ["--number_of_worker_harness_threads=2"],
        None,
        "number_of_worker_harness_threads: what is given stands",
    ),
    (
        {"command": "score", "accelerator": "tpu-v5-lite:1x1"},
        [],
        "--machine_type=ct5lp-hightpu-1t",
        "the machine that Dataflow requires",
    ),
    (
        {"command": "score", "accelerator": "tpu-v6e:1x1"},
        [],
        "--number_of_worker_harness_threads=16",
        "not one for each of 44 CPUs: they share a chip",
    ),
    ({"command": "score"}, [], None, "number_of_worker_harness_threads: one process for each CPU without a GPU"),
    ({}, [], "--no_use_public_ips", "private by default"),
    ({"public_ips": True}, [], "--use_public_ips", "where the network has no private access"),
    ({}, ["--use_public_ips"], None, "no_use_public_ips: Beam's own flag stands"),
    ({"flexrs": True}, [], "--flexrs_goal=COST_OPTIMIZED", "cheap"),
    ({"waits": False}, [], "--no_wait_until_finish", "not to wait"),
    ({}, [], "--label=program=prepare", "bills are separated by labels"),
]


@pytest.mark.parametrize(("changes", "given", "flag", "reason"), FLAGS)
def test_beam_gets_the_settings(changes, given, flag, reason):
    flags = beam_flags(launch(**changes), given, NOW)
    if flag:
        assert flag in flags, reason
    else:
        name = reason.partition(":")[0]
        assert not [flag for flag in flags if flag.partition("=")[0] == f"--{name}"], reason


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"command": "score", "accelerator": "nvidia-tesla-t4", "waits": False},
        {"command": "score", "accelerator": "tpu-v6e:1x1"},
        {"flexrs": True},
    ],
)
def test_beam_knows_every_flag(changes):
    options = beam_options(beam_flags(launch(**changes), [], NOW)).get_all_options(drop_default=True)
    assert options["project"] == "p" and len(options["labels"]) == 2
    assert options["save_main_session"] is False


def test_words_that_follow_one_flag_stay_together(capsys):
    argv = [*SCORE, "--images", "gs://a/y.zip", "gs://a/z.zip", "--no_wait", "--dry_run"]
    assert main(argv) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:4] == ["python", "-m", "inference", "score"]
    at = words.index("--images")
    assert words[at : at + 3] == ["--images", "gs://a/y.zip", "gs://a/z.zip"]


@pytest.mark.parametrize(
    ("given", "expected", "reason"),
    [
        ([], ["--runtime=xla"], "TensorFlow has no TPU there"),
        (["--runtime", "xla"], [], "not twice"),
    ],
)
def test_a_tpu_runs_by_xla(given, expected, reason, capsys):
    assert main([*SCORE, "--accelerator=tpu-v5-lite:1x1", *given, "--dry_run"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert [word for word in words if word.startswith("--runtime=")] == expected, reason


def test_the_quota_of_tpus_is_left_to_google():
    assert not launcher.make_target(launch("score", accelerator="tpu-v6e:1x1"), []).gpu, "its name has no rule"


REFUSED = [
    (["prepare", "--bucket=b-1"], "--region", "no region"),
    (["prepare", *PLACE, "--region=Europe"], "--region: expected a region such as", "not of its form"),
    (["prepare", *PLACE, "--bucket=gs://b-1/folder"], "--bucket: expected a bucket's name", "a folder"),
    (["prepare", *PLACE, "--bucket="], "--bucket: expected a value", "a variable that is not set"),
    (["train", *PLACE], "invalid choice: 'train'", "no job of Beam"),
    (["prepare", *PLACE, "--accelerator=nvidia-l4"], "--accelerator: prepare runs no model", "money for nothing"),
    (
        [*SCORE, "--accelerator=nvidia-l4", "--flexrs"],
        "--accelerator and --flexrs",
        "Dataflow refuses it after minutes",
    ),
    ([*SCORE, "--accelerator=tpu-v5-lite:2x4"], "invalid choice: 'tpu-v5-lite:2x4'", "a process uses one chip"),
    (
        [*SCORE, "--accelerator=tpu-v6e:1x1", "--runtime=tensorflow"],
        "--runtime: TensorFlow has no tpu-v6e:1x1 on Dataflow",
        "each image would be computed on the CPU",
    ),
    (SCORE[:-1], "--sdk_container_image, an image with TensorFlow", "Beam's image has none"),
    ([*SCORE, "--output=out"], "--output: workers cannot reach out", "a path of this machine"),
    ([*SCORE, "--images", "gs://a/x", "y.zip"], "--images: workers cannot reach y.zip", "the second of two"),
    ([*EXPORT, "--output=gs://o/e", "DS"], "DATASET: workers cannot reach DS", "an argument without a flag"),
    ([*EXPORT, "gs://o/d", "--output", "e"], "--output: workers cannot reach e", "a value of its own"),
]


@pytest.mark.parametrize(("argv", "words", "reason"), REFUSED)
def test_a_bad_request_is_one_line(argv, words, reason, capsys):
    assert main([*argv, "--dry_run"]) == 2, reason
    line = capsys.readouterr().err
    assert words in line and line.count("\n") == 1


def test_small_files_may_lie_here(capsys):
    paths = ["--images=gs://a/*", "--annotations=gs://a/*.xml", "--output=gs://a/out", "--labels=labels.pbtxt"]
    assert main(["prepare", *PLACE, *paths, "--dry_run"]) == 0, capsys.readouterr().err


def test_words_of_export_that_name_no_path(capsys):
    assert main([*EXPORT, "gs://o/d", "--images=none", "--license", "CC BY", "--output=gs://o/e", "--dry_run"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:7] == ["python", "-m", "beam_jobs", "export", "--format", "yolo", "gs://o/d"]


def test_the_checks_look_at_what_the_flags_name():
    rest = ["--images", "gs://a/x", "gs://c/y", "--subnetwork=regions/r/subnetworks/s", "--sdk_container_image", "I"]
    target = launcher.make_target(launch("score", accelerator="nvidia-l4"), [*rest, "--service_account_email=w@p"])
    assert target == preflight.JobTarget(
        project="p",
        region="europe-west4",
        buckets=("b-1", "a", "c"),
        subnetwork="regions/r/subnetworks/s",
        service_account="w@p",
        image="I",
        gpu="nvidia-l4",
    )
    assert not launcher.make_target(launch(), ["--use_public_ips"]).private


class Forbidding:
    """A service that denies every permission."""

    def request(self, url: str, body: dict | None = None) -> preflight.ApiResponse:
        del url, body
        return preflight.ApiResponse(status=403, body={})


@pytest.fixture
def started(monkeypatch):
    """Collects the command lines that the launcher would execute, for a user whose default project is "own"."""
    lines: list[list[str]] = []
    monkeypatch.setattr(preflight, "log_in", lambda: (Forbidding(), "own"))
    monkeypatch.setattr(launcher, "_become", lines.append)
    return lines


def test_nothing_is_started_where_a_check_fails(started, capsys):
    assert main(SCORE) == 2
    assert started == [] and "nothing was submitted: 5 of the checks above failed" in capsys.readouterr().err


def test_the_project_of_the_credentials_is_the_default(started):
    assert main([*(word for word in SCORE if word != "--project=p"), "--no_checks"]) == 0
    assert "--project=own" in started[0] and not any(word.startswith("--extra_package") for word in started[0])


def test_an_estimate_sends_no_request(tmp_path):
    """The process is replaced: output and exit status are those of the program."""
    (tmp_path / "a.jpg").write_bytes(b"12")
    files = [f"--images={tmp_path}/*.jpg", f"--annotations={tmp_path}/*", "--output=gs://b-1/out", "--estimate"]
    command = [sys.executable, "-m", "retinanet_odm.dataflow.launcher", "prepare", *PLACE, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("images: 1 objects")
