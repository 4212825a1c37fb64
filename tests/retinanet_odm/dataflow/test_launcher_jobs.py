"""The requests that Dataflow receives: the jobs go through Beam's DataflowRunner to a local service."""

import datetime
import io
import json
import re
import sys
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow import dataflow_runner

import beam_jobs.flags
import beam_jobs.main
import inference.main
from retinanet_odm.dataflow import launcher
from retinanet_odm.dataflow.flex_templates import template_flags
from retinanet_odm.exported_model import SIGNATURES
from retinanet_odm.wheel import MISSING, build_worker_wheels
from tests.beam_jobs.conftest import Source
from tests.inference.fake_model import make_image, write_manifest
from tests.retinanet_odm.conftest import Cloud
from tests.retinanet_odm.dataflow.dataflow_stub import Dataflow, serve
from tests.retinanet_odm.packages import write_index

MAIN = {"beam_jobs": beam_jobs.main.main, "inference": inference.main.main}
NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
STOCK_IMAGE = f"gcr.io/cloud-dataflow/v1beta3/beam_python{sys.version_info.major}.{sys.version_info.minor}_sdk:2.77.0"
MEGABYTE = 1_000_000  # Dataflow refuses a job of ten
GROUPING = {"beam:transform:group_by_key:v1", "beam:transform:reshuffle:v1"}


@pytest.fixture
def service() -> Iterator[Dataflow]:
    with serve() as service:
        yield service


@dataclass
class Received:
    """A job as it was received, and what was staged for it."""

    job: dict[str, Any]
    size: int
    staged: dict[str, bytes]

    @property
    def environment(self) -> dict[str, Any]:
        return self.job["environment"]

    @property
    def pool(self) -> dict[str, Any]:
        (pool,) = self.environment["workerPools"]
        return pool

    @cached_property
    def graph(self) -> beam_runner_api_pb2.Components:
        return beam_runner_api_pb2.Pipeline.FromString(self.staged["pipeline.pb"]).components

    def step(self, end: str) -> beam_runner_api_pb2.PTransform:
        """The outermost step whose name ends so."""
        steps = self.graph.transforms.values()
        found = [step for step in steps if step.unique_name.partition(end)[1:] == (end, "")]
        return min(found, key=lambda step: len(step.unique_name))

    def grouped_after(self, collections: Iterable[str], *, until: str = "") -> list[str]:
        """Names of the groupings that collections reach, not looking behind steps within ``until``."""
        reached, groupings = set(collections), []
        for _ in self.graph.transforms:
            for other in self.graph.transforms.values():
                if other.subtransforms or not reached & set(other.inputs.values()):
                    continue
                if other.spec.urn in GROUPING:
                    groupings.append(other.unique_name)
                elif not (until and until in other.unique_name):
                    reached |= set(other.outputs.values())
        return sorted(set(groupings))


def submit(cloud: Cloud, service: Dataflow, rest: list[str], wheels: Sequence[str] = (), **changes: object) -> Received:
    """Runs the program as the launcher would, without waiting for the end."""
    place = {"project": "p-1", "region": "europe-west4", "bucket": "bucket", "waits": False}
    launch = launcher.Launch(**{**place, **changes})
    endpoint = f"--dataflow_endpoint={service.url}"
    program, *argv = launcher.command_line(launch, [*rest, endpoint], wheels, NOW)[1:]
    assert MAIN[program](argv) == 0
    staged = cloud.read_all("dataflow/staging/")
    (job_folder,) = {name.partition("/")[0] for name in staged}
    files = {name.partition("/")[2]: data for name, data in staged.items()}
    assert job_folder.startswith(launch_name(launch))
    return Received(job=service.jobs[-1], size=service.sizes[-1], staged=files)


def launch_name(launch: launcher.Launch) -> str:
    return f"retinanet-{launch.command}-20260102-000000"


def put_images(cloud: Cloud, tmp_path, count: int) -> list[str]:
    """Puts labelled images into the bucket; returns the flags of prepare for them."""
    source = Source(tmp_path / f"source-{count}").fill(count)
    for path in source.root.rglob("*.*"):
        cloud.put(f"in-{count}/{path.relative_to(source.root).as_posix()}", path.read_bytes())
    place = f"gs://bucket/in-{count}"
    return [
        f"--images={place}/images/*",
        f"--annotations={place}/annotations/*.xml",
        f"--output=gs://bucket/out-{count}",
    ]


def test_prepare_goes_to_the_stock_image_with_its_wheels(cloud, service, tmp_path, monkeypatch):
    write_index(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    wheels = [str(path) for path in build_worker_wheels(tmp_path / "wheels")]
    job = submit(cloud, service, put_images(cloud, tmp_path, 3), wheels, command="prepare", flexrs=True)

    assert job.job["name"] == "retinanet-prepare-20260102-000000"
    assert job.job["labels"] == {"program": "prepare", "retinanet-odm": "0-1-0"}
    assert job.job["type"] == 1, "batch"
    assert job.environment["flexResourceSchedulingGoal"] == 2, "COST_OPTIMIZED"
    assert (job.pool["machineType"], job.pool["diskSizeGb"], job.pool["ipConfiguration"]) == ("e2-standard-4", 30, 2)
    assert job.pool["autoscalingSettings"] == {"algorithm": 2, "maxNumWorkers": 10}
    assert [image["containerImage"] for image in job.pool["sdkHarnessContainerImages"]] == [STOCK_IMAGE]

    names = [package["name"] for package in job.pool["packages"]]
    assert "pickled_main_session" not in names and "workflow.tar.gz" not in names
    order = job.staged["extra_packages.txt"].decode().split()
    assert [name.partition("-")[0] for name in order] == [*MISSING, "retinanet_odm"]
    assert set(order) < set(names) <= set(job.staged)
    assert "beam_jobs/pipeline.py" in zipfile.ZipFile(io.BytesIO(job.staged[order[-1]])).namelist()

    assert job.grouped_after(job.step("Write shard").outputs.values()) == [], (
        "images are read there, and nothing is shuffled then"
    )
    assert job.grouped_after(job.step("List images").outputs.values()) != [], (
        "the search must be able to find something"
    )


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_export_is_a_small_job(cloud, service, tmp_path, form):
    source = Source(tmp_path / "source").fill(6)
    assert beam_jobs.main.main(source.flags(tmp_path / "dataset")) == 0
    for path in (tmp_path / "dataset").iterdir():
        if path.is_file():
            cloud.put(f"dataset/{path.name}", path.read_bytes())
    flags = ["gs://bucket/dataset", f"--format={form}", "--output=gs://bucket/export"]
    job = submit(cloud, service, flags, command="export")
    assert job.job["name"] == "retinanet-export-20260102-000000"
    assert (job.job["labels"]["program"], job.pool["machineType"]) == ("export", "e2-standard-4")
    assert [image["containerImage"] for image in job.pool["sdkHarnessContainerImages"]] == [STOCK_IMAGE]
    assert job.size < MEGABYTE / 4, "shards are listed on a worker"
    assert cloud.read_all("export/").keys() == {"export.unfinished.json"}, "the job has not run"


def test_the_graph_of_prepare_does_not_grow_with_the_images(cloud, service, tmp_path):
    sizes = []
    for count in (2, 60):
        job = submit(cloud, service, put_images(cloud, tmp_path, count), command="prepare")
        sizes.append(job.size + len(job.staged["pipeline.pb"]))
        for name in cloud.read_all("dataflow/staging/"):
            cloud.storage.delete_file("bucket", f"dataflow/staging/{name}")
    assert sizes[0] < MEGABYTE / 4
    assert abs(sizes[1] - sizes[0]) < 1000, "a byte an image would make a megabyte of a million"


@pytest.fixture
def score_flags(cloud, tmp_path) -> list[str]:
    """A model, without anything in it, and an archive in the bucket; score's flags for them."""
    export = tmp_path / "export"
    export.mkdir()
    (export / "saved_model.pb").write_bytes(b"for the workers to load")
    write_manifest(export, signatures=list(SIGNATURES))
    for path in export.iterdir():
        cloud.put(f"model/{path.name}", path.read_bytes())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for number in range(40):
            target.writestr(f"{number}.png", make_image(20, 20))
    cloud.put("in/dive.zip", archive.getvalue())
    place = ["--images=gs://bucket/in/*.zip", "--model=gs://bucket/model", "--output=gs://bucket/scored"]
    return [*place, "--sdk_container_image=europe-west4-docker.pkg.dev/p-1/odm/score:1"]


def test_score_goes_to_our_image(cloud, service, score_flags):
    job = submit(cloud, service, [*score_flags, "--service_account_email=w@p-1"], command="score")
    (image,) = job.pool["sdkHarnessContainerImages"]
    assert image["containerImage"] == "europe-west4-docker.pkg.dev/p-1/odm/score:1"
    assert image["useSingleCorePerContainer"] is True, "a process for each core"
    assert (job.pool["machineType"], job.pool["diskSizeGb"]) == ("n2-standard-8", 50)
    assert job.environment["serviceAccountEmail"] == "w@p-1"
    assert "no_use_multiple_sdk_containers" not in job.environment["experiments"]
    names = {package["name"] for package in job.pool["packages"]}
    assert names == {"submission_environment_dependencies.txt"}, "the image holds everything"
    assert job.size + len(job.staged["pipeline.pb"]) < MEGABYTE / 4
    model = job.step("Run the model")
    images = set(job.step("Read and turn upright").outputs.values()) & set(model.inputs.values())
    assert job.grouped_after(images, until="Run the model") == [], "they go to the model and nowhere else"
    assert job.grouped_after(images) != [], "the search must be able to find something"


@pytest.mark.parametrize(
    ("accelerator", "machine"), [("nvidia-l4", "g2-standard-8"), ("nvidia-tesla-t4", "n1-standard-8")]
)
def test_score_with_a_gpu(accelerator, machine, cloud, service, score_flags):
    job = submit(cloud, service, score_flags, command="score", accelerator=accelerator)
    assert (job.pool["machineType"], job.pool["numThreadsPerWorker"]) == (machine, 8)
    assert job.environment["serviceOptions"] == [f"worker_accelerator=type:{accelerator};count:1;install-nvidia-driver"]
    assert "no_use_multiple_sdk_containers" in job.environment["experiments"], "one process, one model, one GPU"
    assert "use_multiple_sdk_containers" not in job.environment["experiments"]


@pytest.mark.parametrize(
    ("accelerator", "machine", "service_option"),
    [
        ("tpu-v5-lite:1x1", "ct5lp-hightpu-1t", "type:tpu-v5-lite-podslice;topology:1x1"),
        ("tpu-v6e:1x1", "ct6e-standard-1t", "type:tpu-v6e-slice;topology:1x1"),
    ],
)
def test_score_with_a_tpu(accelerator, machine, service_option, cloud, service, score_flags):
    """As Google's pages dataflow/docs/tpu/tpu-support and use-tpus write it. This machine needs no jax for it."""
    job = submit(cloud, service, score_flags, command="score", accelerator=accelerator)
    assert (job.pool["machineType"], job.pool["numThreadsPerWorker"]) == (machine, 16)
    assert job.environment["serviceOptions"] == [f"worker_accelerator={service_option}"]
    assert "no_use_multiple_sdk_containers" in job.environment["experiments"], "a TPU belongs to one process"
    assert job.pool["autoscalingSettings"]["maxNumWorkers"] == 1


def test_a_template_is_launched_by_writing_the_job_and_not_by_submitting_it(cloud, service, tmp_path):
    """Dataflow's launcher asks for the job's description, and submits it itself."""
    parser = beam_jobs.flags.make_prepare_parser().commands["prepare"]
    words = [
        *put_images(cloud, tmp_path, 2),
        "--resume=false",
        "--labels=goog-dataflow-provided-template-type=flex",
        "--runner=DataflowRunner",
        "--project=p-1",
        "--region=europe-west4",
        "--temp_location=gs://bucket/tmp",
        "--staging_location=gs://bucket/staging",
        "--template_location=gs://bucket/launch/job_object",
        "--sdk_container_image=europe-west4-docker.pkg.dev/p-1/odm/prepare:1",
        f"--dataflow_endpoint={service.url}",
    ]
    assert beam_jobs.main.main(["prepare", *template_flags(parser, words)]) == 0
    job = json.loads(cloud.read_all("launch/")["job_object"])
    assert job["labels"] == {"goog-dataflow-provided-template-type": "flex"}
    assert service.jobs == []


@pytest.fixture
def impatient(monkeypatch):
    """Beam polls the job's state every five seconds; here, it does not wait."""

    class Clock:
        time = staticmethod(time.time)
        sleep = staticmethod(lambda _seconds: time.sleep(0.01))

    monkeypatch.setattr(dataflow_runner, "time", Clock)


@pytest.fixture
def wait(cloud, service, tmp_path, impatient):
    """Runs prepare to the end that the service reports; returns the exit status."""
    del impatient

    def run() -> int:
        flags = put_images(cloud, tmp_path, 2)
        launch = launcher.Launch(command="prepare", project="p-1", region="europe-west4", bucket="bucket")
        endpoint = f"--dataflow_endpoint={service.url}"
        return beam_jobs.main.main(launcher.command_line(launch, [*flags, endpoint], [], NOW)[2:])

    return run


ENDS = [
    (
        ["JOB_STATE_RUNNING", "JOB_STATE_FAILED"],
        "error: Dataflow pipeline failed. State: FAILED, Error: ValueError: no such thing",
        1,
        "what the worker raised",
    ),
    (["JOB_STATE_CANCELLED"], "error: Dataflow pipeline failed. State: CANCELLED, Error: None", 1, "by another user"),
]


@pytest.mark.parametrize(("states", "line", "status", "reason"), ENDS)
def test_a_job_that_ends_badly(wait, service, capfd, caplog, states, line, status, reason):
    service.states = states
    if "FAILED" in states[-1]:
        trace = "Traceback (most recent call last):\n  File x\nValueError: no such thing"
        service.messages = [("JOB_MESSAGE_BASIC", "Starting 1 workers"), ("JOB_MESSAGE_ERROR", trace)]
    assert wait() == status, reason
    assert capfd.readouterr().err.splitlines()[-1] == line
    assert "https://console.cloud.google.com/dataflow/jobs/europe-west4/the-job?project=p-1" in caplog.text
    assert ("Starting 1 workers" in caplog.text) == bool(service.messages), "progress"
    assert "Create job" not in caplog.text, "the complete job is not printed"


def test_ctrl_c_reports_that_the_job_continues(wait, service, capfd, monkeypatch):
    def press(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(seconds / 100)

    service.states = ["JOB_STATE_RUNNING"]
    monkeypatch.setattr(dataflow_runner.time, "sleep", press)
    assert wait() == 130
    service.states = ["JOB_STATE_CANCELLED"]  # Beam's thread still polls; it must end before the service does
    for thread in threading.enumerate():
        if "poll_for_job_completion" in thread.name:
            thread.join(timeout=10)
    assert capfd.readouterr().err.splitlines()[-1] == (
        "interrupted; the job continues; to cancel it:"
        " gcloud dataflow jobs cancel the-job --region=europe-west4 --project=p-1"
    )


REFUSALS = [
    (403, "error: 403 .*no permission for dataflow.jobs.create$", "not allowed"),
    (404, "error: 404 .*no permission for dataflow.jobs.create$", "no such project"),
    (400, "error: 400 .*no permission for dataflow.jobs.create$", "a machine type that the region lacks"),
]


@pytest.mark.parametrize(("status", "line", "reason"), REFUSALS)
def test_a_job_that_is_refused(wait, service, capfd, status, line, reason):
    service.refusal = (status, "no permission\nfor dataflow.jobs.create")
    assert wait() == 2, reason
    assert re.fullmatch(line, capfd.readouterr().err.splitlines()[-1])


def test_options_are_parsed_as_beam_parses_them():
    """--label of the job and --labels of prepare are two things, though Beam knows both names for the first."""
    assert PipelineOptions(["--label=a=b"]).get_all_options()["labels"] == ["a=b"]
