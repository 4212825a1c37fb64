"""Command lines of the Beam programs: their own flags by argparse, everything else strictly by Beam.

Our flags are no PipelineOptions subclasses: those are global to a process, and two programs that both have
``--images`` would clash there.
"""

import contextlib
import difflib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retinanet_odm.beam.runners import check_runner
from retinanet_odm.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


BEAM_HELP = (
    "Any Apache Beam option is accepted too, for example --runner=DataflowRunner --project=… --region=…"
    " --temp_location=gs://…, or --direct_running_mode=multi_processing --direct_num_workers=0 to use every core"
    " by processes. A flag that neither this program nor Beam knows is refused."
)

# Beam's own default, DirectRunner, switches to the Prism binary when it can download one; the job is the same on
# every machine only when the runner is named.
LOCAL_DEFAULTS = {"runner": "FnApiRunner", "direct_running_mode": "in_memory"}


def beam_options(argv: Sequence[str], own: Sequence[str]) -> "PipelineOptions":
    """Reads the flags that are not the program's own as Beam options; LOCAL_DEFAULTS hold unless argv says otherwise.

    Args:
      argv: what the program's parser left over.
      own: the program's flags with their dashes, for suggestions.

    Raises:
      UsageError: Beam does not know a flag (it only warns itself), a runner or a value; a word belongs to no flag; or
        the engine is not there.
    """
    # Beam takes seconds to import, and --help must not wait for it.
    from apache_beam.options.pipeline_options import PipelineOptions

    _refuse_stray_words(argv)
    known = PipelineOptions([]).get_all_options()
    given = _given(argv)
    for name in given:
        if name not in known:
            candidates = [*own, *(f"--{option}" for option in known)]
            close = difflib.get_close_matches(f"--{name}", candidates, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown flag {_as_written(name, argv)}{hint}")
    named = {word.partition("=")[0].removeprefix("--") for word in argv if word.startswith("--")}
    runs_locally = given.get("runner", LOCAL_DEFAULTS["runner"]) == LOCAL_DEFAULTS["runner"]
    used = [f"--{name}={value}" for name, value in LOCAL_DEFAULTS.items() if name not in named and runs_locally]
    # The graph lives in importable packages: pickling __main__ would only drag a console script along.
    options = PipelineOptions([*argv, *used, "--no_save_main_session"])
    chosen = options.get_all_options()
    _check_runner(str(chosen["runner"]))
    check_runner(chosen)
    if chosen["direct_running_mode"] == "multi_threading":
        # Beam 2.77 mixes up the bytes of its worker threads: elements arrive as others, or not at all
        # (benchmarks/beam_threads.py shows it without any code of ours).
        raise UsageError("--direct_running_mode=multi_threading loses data in Beam 2.77; use multi_processing")
    if chosen["direct_running_mode"] == "multi_processing":
        from retinanet_odm.beam import runners

        runners.patch_worker_shutdown()
    return options


def _as_written(name: str, argv: Sequence[str]) -> str:
    """The flag that Beam calls so: it reads --max-side as max_side."""
    flags = [word.partition("=")[0] for word in argv]
    return next((flag for flag in flags if flag.replace("-", "_") == f"__{name}"), f"--{name}")


def _given(argv: Sequence[str]) -> dict[str, Any]:
    """The options that argv sets; Beam's argparse would answer a bad value with all of its usage and an exit."""
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return PipelineOptions(list(argv)).get_all_options(retain_unknown_options=True, drop_default=True)
    except SystemExit as error:
        message = said.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(f"Beam refuses its options: {message}") from error


def _check_runner(name: str) -> None:
    """Before the job has touched anything: Beam itself asks only when the graph is built."""
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner: {error}") from error


def _refuse_stray_words(argv: Sequence[str]) -> None:
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
