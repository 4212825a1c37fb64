"""`run_main` for programs that start Beam jobs: errors of runners and of Google in one line, Beam's log filtered.

Begin with `run_job_main`; `explain_job` takes the place of Beam's stack traces.
"""

import logging
import re
import sys
import threading
from collections.abc import Callable, Sequence

from retinanet_odm import errors
from retinanet_odm.cli.program import Ending, explain_request, run_main
from retinanet_odm.errors import UsageError

# Beam's loggers of the console's link, the job's states and its messages; and their records that do not help a user.
_PROGRESS_LOGGERS = (
    "apache_beam.runners.dataflow.dataflow_runner",
    "apache_beam.runners.dataflow.internal.apiclient",
)
_NOISE = (
    "Completed GCS upload",
    "Create job:",
    "Created job with",
    "Defaulting to the temp_location",
    "Pipeline has additional dependencies",
    "Submitted job:",
    "sdk_pipeline_options",
)
_CONSOLE_LINK = "To access the Dataflow monitoring console"
_ERROR_CLASSES = (
    ("apache_beam.runners.dataflow.dataflow_runner", "DataflowRuntimeException"),
    ("apache_beam.runners.dataflow.internal.apiclient", "DataflowJobAlreadyExistsError"),
    ("google.api_core.exceptions", "GoogleAPICallError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("google.resumable_media", "InvalidResponse"),
)
_JOB_FAILED = "DataflowRuntimeException"
_UPLOAD_FAILED = "InvalidResponse"  # Beam does not convert it to a GoogleAPICallError

# Beam appends the step to the error that the step raised, but not to those that led to it.
_RAISED = re.compile(rf"^{re.escape(errors.__name__)}\.(\w+): (.*) \[while running '", re.MULTILINE)
_ENGINE_FAILED = re.compile(r"Pipeline \S+ failed in state FAILED: ")
_PYTHON_TRACE = "Traceback (most recent call last)"
_LOST = "the runner or its job server has gone; its log says why, and whether the job still runs"
_NO_DOWNLOAD = "Unable to fetch remote"  # of Prism, or the job server of Flink or Spark


def run_job_main(body: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    """Run a program that may start a Beam job; return its exit status (see retinanet_odm.cli.program)."""
    # Beam warns whenever it starts or stops the process of a runner.
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)
    show_job_progress()
    _hide_lost_threads()
    return run_main(body, argv, explain=explain_job, log_filter=is_for_user)


def explain_job(error: BaseException) -> Ending | None:
    """Explain the exception that a Beam job ended with; return None for a bug."""
    # Google's own exceptions first. What is left may be a bad request that a step of the job has raised.
    if isinstance(error, google_error_classes()):
        return Ending(status=exit_status(error), line=f"error: {describe_google_error(error)}")
    if _is_lost_connection(error):
        return Ending(status=1, line=f"error: {_LOST}: {error.details()}")  # type: ignore[attr-defined]
    if failure := find_engine_failure(error):
        return Ending(status=1, line=f"error: {failure}")
    ending = explain_request(find_cause(error))
    if ending and ending.status == 130:
        return Ending(status=130, line=describe_running_job() or ending.line)
    return ending


# --- Errors of workers and runners ---


def find_cause(error: BaseException) -> BaseException:
    """Return the error that a step raised. Beam raises others in its place, or a RuntimeError that quotes it."""
    # A step in this process: Beam raises another error, which names the step and has this attribute.
    while getattr(error, "_tagged_with_step", False) and error.__context__:
        error = error.__context__
    return find_request_error(error) or error


def find_request_error(error: BaseException) -> UsageError | None:
    """Return the bad request that a RuntimeError of Beam quotes, or None if it quotes something else.

    A worker has raised it, or the runner cannot be downloaded.

    Example:
      >>> find_request_error(RuntimeError("retinanet_odm.errors.UsageError: no file [while running 'Read']"))
      UsageError('no file')
    """
    if not isinstance(error, RuntimeError):
        return None
    text = str(error)
    if text.startswith(_NO_DOWNLOAD):
        return UsageError(text)
    # The last one: a chain of errors is printed with the one that was raised at its end.
    name, message = next(reversed(_RAISED.findall(text)), ("", ""))
    kind = _class_of(name)
    return kind(message) if kind else None


def find_engine_failure(error: BaseException) -> str:
    """Return the line of a job server on a job that failed, such as too little memory; "" for anything else.

    The error of a step is something else: it has a stack trace of Python, which `find_request_error` or a developer
    reads.
    """
    text = str(error)
    if not isinstance(error, RuntimeError) or not _ENGINE_FAILED.match(text) or _PYTHON_TRACE in text:
        return ""
    return text.splitlines()[0]


def mentions_request_error(text: str) -> bool:
    """Return whether a text, such as a line of a worker's log, contains the stack trace of a bad request."""
    return any(_class_of(name) for name in re.findall(rf"{re.escape(errors.__name__)}\.(\w+): ", text))


def _class_of(name: str) -> type[UsageError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, UsageError) else None


def _is_lost_connection(error: BaseException | None) -> bool:
    """Return whether a runner outside this process does not answer any more."""
    grpc = sys.modules.get("grpc")  # a module that is not loaded has not raised anything
    return grpc is not None and isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE


def _hide_lost_threads() -> None:
    """Hide the stack trace of the thread in which Beam reads a runner's messages: the main thread raises it, too."""
    show = threading.excepthook

    def show_others(args: threading.ExceptHookArgs) -> None:
        if not _is_lost_connection(args.exc_value):
            show(args)

    threading.excepthook = show_others


# --- Errors of Google ---


def google_error_classes() -> tuple[type[Exception], ...]:
    """Return the exception classes of Google's responses; modules that are not loaded have not raised any."""
    return tuple(getattr(sys.modules[module], name) for module, name in _ERROR_CLASSES if module in sys.modules)


def describe_google_error(error: Exception) -> str:
    """Return one line for an exception of one of `google_error_classes`."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if type(error).__name__ == _JOB_FAILED:
        # The first line has the state of the job, the last line of a worker's stack trace has the error.
        return " ".join(dict.fromkeys([lines[0], lines[-1]]))
    if type(error).__name__ == _UPLOAD_FAILED:
        response = error.response  # type: ignore[attr-defined]
        request = f"{response.request.method} {response.url.partition('?')[0]}"
        return f"{response.status_code} {request}: {' '.join(response.text.split())}"
    return " ".join(lines)


def exit_status(error: Exception) -> int:
    """Return 1 if a job failed, 2 if there is no job."""
    return 1 if type(error).__name__ == _JOB_FAILED else 2


# --- Which of Beam's log records a user sees ---


class _ProgressFilter(logging.Filter):
    """Hides the noise, and remembers the job: the arguments of the log record with the console's link."""

    def __init__(self) -> None:
        super().__init__()
        self.job: tuple[object, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_CONSOLE_LINK) and isinstance(record.args, tuple):
            # The only place where Beam tells the job's id before the job has ended.
            self.job = record.args
        return record.levelno > logging.INFO or not message.startswith(_NOISE)


_PROGRESS_FILTER = _ProgressFilter()


def show_job_progress() -> None:
    """Make Beam log the progress of a Dataflow job: its page in the console, its states, its messages."""
    _PROGRESS_FILTER.job = ()
    for name in _PROGRESS_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addFilter(_PROGRESS_FILTER)  # a filter is added only once


def describe_running_job() -> str:
    """Return a line on the job that continues, and costs, after Ctrl-C; "" if no job was submitted."""
    if not _PROGRESS_FILTER.job:
        return ""
    region, job, project = _PROGRESS_FILTER.job
    cancel = f"gcloud dataflow jobs cancel {job} --region={region} --project={project}"
    return f"interrupted; the job continues; to cancel it: {cancel}"


def is_for_user(record: logging.LogRecord) -> bool:
    """Return False for Prism's own log, and for stack traces of errors that `explain_job` reports in one line."""
    if record.name == "PrismRunner" and record.levelno < logging.WARNING:
        return False  # Beam logs all of it, whatever the level
    # Beam logs the stack trace of a failed step before it raises; the one line comes from `explain_job`.
    error = (record.exc_info or (None, None))[1]
    if error is not None and explain_request(error):
        return False
    return not mentions_request_error(f"{record.getMessage()}\n{error}")
