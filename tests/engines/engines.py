"""Beam's other engines on this machine: each is fetched, started, waited for, and stopped.

An engine is a context manager that takes a folder for its files and gives the flags that choose it. It raises
MissingError, in one line, when what it needs is not on this machine or cannot be fetched.
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
FETCHED = Path("~/.cache/retinanet-odm/engines").expanduser() / apache_beam.__version__
_FETCHING, _STARTING, _STOPPING = 900, 120, 30  # seconds
_PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_FLINK = f"beam-runners-flink-{FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS[-1]}-job-server"  # as of --flink_version
# Flink's reflection on Java 17, as in the configuration that Flink itself ships.
_OPENED = tuple(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "net", "nio", "util"))


class MissingError(Exception):
    """What an engine needs is not here."""


@contextlib.contextmanager
def prism(_work: Path) -> Iterator[Flags]:
    """Prism, which every command starts and stops itself; what DirectRunner becomes where it can be downloaded."""
    binary = FETCHED / "prism"
    if not binary.exists():
        command = [_tool("go", "/usr/local/go/bin"), "install", f"{_PRISM}@v{apache_beam.__version__}"]
        _fetch("Prism", command, GOBIN=str(FETCHED))
    yield ("--runner=PrismRunner", f"--prism_location={binary}")


@contextlib.contextmanager
def portable(work: Path) -> Iterator[Flags]:
    """Beam's job service in a process of its own, and an external pool that starts worker processes."""
    port = _free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", module, f"--port={port}", f"--staging_dir={work}"]
    with _service(command, port, work / "job_service.log"), _worker_pool(work) as pool:
        yield (*_of_service(port), *pool)


@contextlib.contextmanager
def flink(work: Path) -> Iterator[Flags]:
    """Flink's mini-cluster in the process of Beam's job server for it, with two tasks at once, and an external pool."""
    java, jar = _tool("java"), FETCHED / f"{_FLINK}-{apache_beam.__version__}.jar"
    if not jar.exists():
        artifact = f"-Dartifact=org.apache.beam:{_FLINK}:{apache_beam.__version__}"
        _fetch(
            "Flink's job server",
            [_tool("mvn"), "-B", "-U", "dependency:copy", artifact, f"-DoutputDirectory={FETCHED}"],
        )
    port = _free_port()
    ports = (f"--job-port={port}", "--artifact-port=0", "--expansion-port=0")
    command = [java, *_OPENED, "-jar", str(jar), "--flink-master=[local]", f"--artifacts-dir={work}", *ports]
    with _service(command, port, work / "job_server.log"), _worker_pool(work) as pool:
        yield (*_of_service(port), "--parallelism=2", *pool)


ENGINES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Flags]]] = {
    "prism": prism,
    "portable": portable,
    "flink": flink,
}


def _of_service(port: int) -> Flags:
    return ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}")


@contextlib.contextmanager
def _worker_pool(work: Path) -> Iterator[Flags]:
    port = _free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with _service(command, port, work / "worker_pool.log"):
        yield ("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}")


@contextlib.contextmanager
def _service(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """Runs a server until the body is done; its log is named when it does not answer."""
    # The pool starts its workers by the bare name python, and they must find this repository's packages.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        _wait_for(port, server, log)
        yield
    finally:
        server.terminate()
        server.wait(_STOPPING)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _STARTING
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
    """The path of a program that is looked for in PATH and in these folders."""
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *folders)))
    if found is None:
        raise MissingError(f"{name} is not on this machine")
    return found


def _fetch(what: str, command: Sequence[str], **environment: str) -> None:
    FETCHED.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=_FETCHING, check=False
    )
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        fault = next((line for line in said if "ERROR" in line), said[-1])
        raise MissingError(f"{what} cannot be fetched: {fault}")
