"""What a command line says before its program parses it: `flag_names`, `flag_value`, `flag_values`."""

from collections.abc import Iterator, Sequence


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


def flag_values(words: Sequence[str], *, positional: str | None) -> Iterator[tuple[str, str]]:
    """Yield every value of every flag.

    Args:
      words: The flags of a program.
      positional: The name of an argument without a flag, of a program whose flags have one value each; None if a flag
        may have several.

    Example:
      >>> list(flag_values(["--images", "a", "b", "--output=c"], positional=None))
      [('--images', 'a'), ('--images', 'b'), ('--output', 'c')]
      >>> list(flag_values(["--output", "c", "d"], positional="DATASET"))
      [('--output', 'c'), ('DATASET', 'd')]
    """
    flag = positional or ""
    for word in words:
        value = word
        if word.startswith("--"):
            flag, _, value = word.partition("=")
        if value:
            yield flag, value
            flag = positional or flag
