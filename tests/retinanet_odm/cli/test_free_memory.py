"""The memory that is free on a machine and in a container."""

from pathlib import Path

import pytest

from retinanet_odm.cli.free_memory import free_memory

GB = 10**9
MEMINFO = f"MemTotal: {32 * 10**6} kB\nMemAvailable: {16 * 10**6} kB\nSwapFree: {10**6} kB\nHugePages_Total: 0\n"
FREE_IN_ALL = 17 * 1024 * 10**6
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"
# why, /proc/self/cgroup, files, free bytes
GROUPS = [
    ("no groups", None, {}, FREE_IN_ALL),
    ("version 2, no limit", "0::/a\n", {f"{V2}/a": ("memory.max", "max", "memory.current", "5", "")}, FREE_IN_ALL),
    (
        "version 2, with a cache that is given back",
        "0::/a/b\n",
        {f"{V2}/a/b": ("memory.max", str(4 * GB), "memory.current", str(2 * GB), f"inactive_file {GB}\nanon 1\n")},
        3 * GB,
    ),
    (
        "the limit of a parent",
        "0::/a/b\n",
        {f"{V2}/a": ("memory.max", str(2 * GB), "memory.current", str(GB), "")},
        GB,
    ),
    (
        "a container, which sees its own group at the top",
        "0::/../host\n",
        {V2: ("memory.max", str(2 * GB), "memory.current", "0", "")},
        2 * GB,
    ),
    (
        "version 1",
        "4:cpu,memory:/a\n0::/\n",
        {
            f"{V1}/a": (
                "memory.limit_in_bytes",
                str(6 * GB),
                "memory.usage_in_bytes",
                str(5 * GB),
                f"total_inactive_file {GB}\n",
            )
        },
        2 * GB,
    ),
]


@pytest.mark.parametrize(("why", "groups", "files", "expected"), GROUPS, ids=[row[0] for row in GROUPS])
def test_what_is_free_on_linux(
    tmp_path: Path, why: str, groups: str | None, files: dict[str, tuple[str, ...]], expected: int
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    if groups:
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    for folder, (limit, most, usage, used, stat) in files.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in ((limit, most), (usage, used), ("memory.stat", stat)):
            (tmp_path / folder / name).write_text(text)
    assert free_memory(tmp_path) == expected, why


def test_elsewhere_it_is_all_memory_or_not_known(tmp_path: Path) -> None:
    free = free_memory(tmp_path)
    assert free is None or free > GB
