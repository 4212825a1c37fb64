"""The memory that is free for a program, also in a container. Begin with `free_memory`."""

from collections.abc import Iterator
from pathlib import Path

from retinanet_odm.systems import memory_size


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that this process may still allocate, swap included; None if they are unknown.

    On Linux, the limits of control groups, which containers have, count too. Elsewhere it is all memory of the machine.

    Args:
      root: Of the file system; another one in tests.
    """
    try:
        rows = (line.split() for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines())
        kilobytes = {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1}
        found = [(kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0)) * 1024]
    except (OSError, KeyError, ValueError):
        found = [size for size in [memory_size()] if size]
    return min((*found, *_group_limits(root)), default=None)


def _group_limits(root: Path) -> Iterator[int]:
    """Yield what the control groups of this process leave free.

    The files are described in the kernel's documents "Control Group v2" and "Memory Resource Controller" (v1).
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _limits(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _limits(root / "sys/fs/cgroup/memory", path, *names)


def _limits(mount: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    # A limit of a parent holds for all below it. Inside a container the path may be that of the host: then only the
    # mount itself is found.
    group = mount / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            return
        try:
            most = int((folder / limit).read_text())
            used = int((folder / usage).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such folder, or no limit ("max")
            continue
        # Of the page cache, what was not used lately is given back when memory is needed.
        yield most - used + int(stat.get(cache, 0))
