"""Beam's other runners on this machine: downloads, starts and stops each of them.

A runner is a context manager that takes a folder for its files and yields the flags that choose it. It raises a
MissingError of one line if what it needs is neither on this machine nor can be downloaded.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam
from apache_beam.options.pipeline_options import FlinkRunnerOptions

Flags = tuple[str, ...]

REPOSITORY = Path(__file__).parents[2]
DOWNLOADS = Path("~/.cache/retinanet-odm/runners").expanduser() / apache_beam.__version__
_DOWNLOAD_TIMEOUT, _START_TIMEOUT, _STOP_TIMEOUT = 900, 120, 30  # seconds
_PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_FLINK = f"beam-runners-flink-{FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS[-1]}-job-server"  # as of --flink_version
# For Flink's reflection on Java 17; the configuration that Flink ships has them too.
_JAVA_FLAGS = tuple(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "net", "nio", "util"))


class MissingError(Exception):
    """Something that a runner needs is not available."""


@contextlib.contextmanager
def prism(_work: Path) -> Iterator[Flags]:
    """Prism, which every command starts and stops itself; DirectRunner becomes Prism if it can be downloaded."""
    binary = DOWNLOADS / "prism"
    if not binary.exists():
        command = [_tool("go", "/usr/local/go/bin"), "install", f"{_PRISM}@v{apache_beam.__version__}"]
        _download("Prism", command, GOBIN=str(DOWNLOADS))
    yield ("--runner=PrismRunner", f"--prism_location={binary}")


@contextlib.contextmanager
def portable(work: Path) -> Iterator[Flags]:
    """Beam's job service in a process of its own, and an external pool that starts worker processes."""
    port = _free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", module, f"--port={port}", f"--staging_dir={work}"]
    with _service(command, port, work / "job_service.log"), _worker_pool(work) as pool:
        yield (*_service_flags(port), *pool)


@contextlib.contextmanager
def flink(work: Path) -> Iterator[Flags]:
    """Flink's mini-cluster in the process of Beam's job server for it, with two tasks at once, and an external pool."""
    java, jar = _tool("java"), DOWNLOADS / f"{_FLINK}-{apache_beam.__version__}.jar"
    if not jar.exists():
        artifact = f"-Dartifact=org.apache.beam:{_FLINK}:{apache_beam.__version__}"
        _download(
            "Flink's job server",
            [_tool("mvn"), "-B", "-U", "dependency:copy", artifact, f"-DoutputDirectory={DOWNLOADS}"],
        )
    port = _free_port()
    ports = (f"--job-port={port}", "--artifact-port=0", "--expansion-port=0")
    command = [java, *_JAVA_FLAGS, "-jar", str(jar), "--flink-master=[local]", f"--artifacts-dir={work}", *ports]
    with _service(command, port, work / "job_server.log"), _worker_pool(work) as pool:
        yield (*_service_flags(port), "--parallelism=2", *pool)


RUNNERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Flags]]] = {
    "prism": prism,
    "portable": portable,
    "flink": flink,
}


def _service_flags(port: int) -> Flags:
    return ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}")


@contextlib.contextmanager
def _worker_pool(work: Path) -> Iterator[Flags]:
    port = _free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with _service(command, port, work / "worker_pool.log"):
        yield ("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}")


@contextlib.contextmanager
def _service(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """Runs a server while the body runs."""
    # The pool starts its workers as `python`, and they must find this repository's packages.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        _wait_for(port, server, log)
        yield
    finally:
        server.terminate()
        server.wait(_STOP_TIMEOUT)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"does not answer at port {port}: {log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def _free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def _tool(name: str, *folders: str) -> str:
    """Returns the path of a program in PATH or in these folders."""
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *folders)))
    if found is None:
        raise MissingError(f"{name} is not on this machine")
    return found


def _download(what: str, command: Sequence[str], **environment: str) -> None:
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_TIMEOUT,
        check=False,
    )
    if result.returncode:
        lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        fault = next((line for line in lines if "ERROR" in line), lines[-1])
        raise MissingError(f"{what} cannot be downloaded: {fault}")
