"""Beam's other runners on this machine: downloads, starts and stops each of them.

A runner is a context manager that takes a folder for its files and yields the flags that choose it. It raises a
MissingError of one line if what it needs is neither on this machine nor can be downloaded.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam

from tests.runners.clusters import flink, spark
from tests.runners.services import DOWNLOADS, Flags, download, find_tool, free_port, service, service_flags, worker_pool

_PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"


@contextlib.contextmanager
def prism(_work: Path) -> Iterator[Flags]:
    """Prism, which every command starts and stops itself; DirectRunner becomes Prism if it can be downloaded."""
    binary = DOWNLOADS / "prism"
    if not binary.exists():
        command = [find_tool("go", "/usr/local/go/bin"), "install", f"{_PRISM}@v{apache_beam.__version__}"]
        download("Prism", command, GOBIN=str(DOWNLOADS))
    yield ("--runner=PrismRunner", f"--prism_location={binary}")


@contextlib.contextmanager
def portable(work: Path) -> Iterator[Flags]:
    """Beam's job service in a process of its own, and an external pool that starts worker processes."""
    port = free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", module, f"--port={port}", f"--staging_dir={work}"]
    with service(command, port, work / "job_service.log"), worker_pool(work) as pool:
        yield (*service_flags(port), *pool)


RUNNERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Flags]]] = {
    "prism": prism,
    "portable": portable,
    "spark": spark,
    "flink": flink,
}
