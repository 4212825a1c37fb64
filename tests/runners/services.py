"""Servers on this machine: what a runner needs is found or downloaded, started, and stopped again."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam

Flags = tuple[str, ...]

REPOSITORY = Path(__file__).parents[2]
DOWNLOADS = Path("~/.cache/retinanet-odm/runners").expanduser() / apache_beam.__version__
_DOWNLOAD_TIMEOUT, _START_TIMEOUT, _STOP_TIMEOUT = 900, 120, 30  # seconds


class MissingError(Exception):
    """Something that a runner needs is not available."""


def service_flags(port: int) -> Flags:
    return ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}")


@contextlib.contextmanager
def worker_pool(work: Path) -> Iterator[Flags]:
    port = free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with service(command, port, work / "worker_pool.log"):
        yield ("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}")


@contextlib.contextmanager
def service(command: Sequence[str], port: int | None, log: Path, **variables: str) -> Iterator[None]:
    """Runs a server while the body runs, which begins when the server answers at the port, if it has one."""
    # The pool starts its workers as `python`, and they must find this repository's packages.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), **variables}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        if port is not None:
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


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def find_tool(name: str, *folders: str) -> str:
    """Returns the path of a program in PATH or in these folders."""
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *folders)))
    if found is None:
        raise MissingError(f"{name} is not on this machine")
    return found


def download(what: str, command: Sequence[str], **environment: str) -> None:
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
