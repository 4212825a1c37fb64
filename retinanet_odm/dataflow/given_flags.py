"""What a command line says before its program parses it: `flag_names`, `flag_value`."""

from collections.abc import Sequence


def flag_names(flags: Sequence[str]) -> set[str]:
    """Return the names of flags without dashes; worker_machine_type is Beam's second name for machine_type."""
    names = {flag.partition("=")[0].removeprefix("--") for flag in flags if flag.startswith("--")}
    return {name.removeprefix("worker_") if name == "worker_machine_type" else name for name in names}


def flag_value(name: str, flags: Sequence[str]) -> str | None:
    """Return the last value of a flag, or None.

    Example:
      >>> flag_value("project", ["--project=a", "--project", "b"])
      'b'
    """
    found = None
    for flag, following in zip(flags, [*flags, ""][1:], strict=True):
        if flag.startswith(f"--{name}="):
            found = flag.partition("=")[2]
        elif flag == f"--{name}":
            found = following
    return found
