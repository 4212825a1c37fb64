"""Command lines of the Beam programs: argparse reads their own flags, Beam reads all others, strictly.

Our flags are no PipelineOptions subclasses, because those are global to a process: two programs that both have
``--images`` would clash.
"""

import contextlib
import difflib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retinanet_odm.beam.runners import check_runner, patch_worker_shutdown
from retinanet_odm.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


BEAM_HELP = (
    "All Apache Beam options are accepted too, for example --runner=DataflowRunner --project=… --region=…"
    " --temp_location=gs://…, or --direct_running_mode=multi_processing --direct_num_workers=0 to use one process"
    " per core. Flags that neither this program nor Beam knows are rejected."
)

# Beam's own default, DirectRunner, becomes Prism on machines that can download it. A named runner makes the job the
# same on every machine.
LOCAL_DEFAULTS = {"runner": "FnApiRunner", "direct_running_mode": "in_memory"}


def beam_options(argv: Sequence[str], own: Sequence[str]) -> "PipelineOptions":
    """Reads the flags that are not the program's own as Beam options; LOCAL_DEFAULTS apply unless argv sets them.

    Args:
      argv: The words that the program's parser does not know.
      own: The program's flags with their dashes, for suggestions.

    Raises:
      UsageError: Beam does not know a flag (Beam itself only warns), a runner or a value; a word belongs to no flag; or
        the runner is not available.
    """
    # Beam takes seconds to import, and --help must not wait for it.
    from apache_beam.options.pipeline_options import PipelineOptions

    _check_words(argv)
    given = _parse(argv)
    _check_known(given, PipelineOptions([]).get_all_options(), argv, own)
    # The graph consists of importable modules, so the main session need not be pickled.
    options = PipelineOptions([*argv, *_local_defaults(argv, given), "--no_save_main_session"])
    chosen = options.get_all_options()
    _check_runner_name(str(chosen["runner"]))
    check_runner(chosen)
    _check_running_mode(chosen["direct_running_mode"])
    return options


def _check_words(argv: Sequence[str]) -> None:
    takes_value = False
    for word in argv:
        if word.startswith("-"):
            if not word.startswith("--"):
                raise UsageError(f"unknown flag {word}: flags start with two dashes")
            takes_value = "=" not in word
        elif not takes_value:
            raise UsageError(f"unexpected argument {word!r}: it belongs to no flag")
        else:
            takes_value = False


def _parse(argv: Sequence[str]) -> dict[str, Any]:
    """Returns the options that argv sets. For a bad value, Beam's argparse would print its whole usage and exit."""
    from apache_beam.options.pipeline_options import PipelineOptions

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            options: dict[str, Any] = PipelineOptions(list(argv)).get_all_options(
                retain_unknown_options=True, drop_default=True
            )
            return options
    except SystemExit as error:
        message = printed.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(f"Beam rejects its options: {message}") from error


def _check_known(given: Mapping[str, Any], known: Mapping[str, Any], argv: Sequence[str], own: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            candidates = [*own, *(f"--{option}" for option in known)]
            close = difflib.get_close_matches(f"--{name}", candidates, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown flag {_as_written(name, argv)}{hint}")


def _as_written(name: str, argv: Sequence[str]) -> str:
    """Returns the flag in argv for an option of Beam, which reads --max-side as max_side."""
    flags = [word.partition("=")[0] for word in argv]
    return next((flag for flag in flags if flag.replace("-", "_") == f"__{name}"), f"--{name}")


def _local_defaults(argv: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    if given.get("runner", LOCAL_DEFAULTS["runner"]) != LOCAL_DEFAULTS["runner"]:
        return []
    named = {word.partition("=")[0].removeprefix("--") for word in argv if word.startswith("--")}
    return [f"--{name}={value}" for name, value in LOCAL_DEFAULTS.items() if name not in named]


def _check_runner_name(name: str) -> None:
    """Raises UsageError for an unknown runner; Beam itself would only check it when the graph is built."""
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner: {error}") from error


def _check_running_mode(mode: str) -> None:
    if mode == "multi_threading":
        # Beam 2.77 mixes up the bytes of its worker threads: elements arrive as others, or not at all. See
        # benchmarks/beam_threads.py, which contains no code of ours.
        raise UsageError("--direct_running_mode=multi_threading loses data in Beam 2.77; use multi_processing")
    if mode == "multi_processing":
        patch_worker_shutdown()
