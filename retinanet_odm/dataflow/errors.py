"""Google's errors in one line, in place of Beam's stack traces, and which of Beam's log records a user sees."""

import logging
import sys

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


def google_error_classes() -> tuple[type[Exception], ...]:
    """Returns the exception classes of Google's responses; modules that are not loaded have not raised any."""
    return tuple(getattr(sys.modules[module], name) for module, name in _ERROR_CLASSES if module in sys.modules)


def describe_google_error(error: Exception) -> str:
    """Returns one line for an exception of one of `google_error_classes`."""
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
    """Returns 1 if a job failed, 2 if there is no job."""
    return 1 if type(error).__name__ == _JOB_FAILED else 2


class _ProgressFilter(logging.Filter):
    """Hides the noise, and remembers the job: the arguments of the log record with the console's link."""

    def __init__(self) -> None:
        super().__init__()
        self.job: tuple[object, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_CONSOLE_LINK) and isinstance(record.args, tuple):
            self.job = record.args
        return record.levelno > logging.INFO or not message.startswith(_NOISE)


_PROGRESS_FILTER = _ProgressFilter()


def show_job_progress() -> None:
    """Makes Beam log the progress of a Dataflow job: its page in the console, its states, its messages."""
    _PROGRESS_FILTER.job = ()
    for name in _PROGRESS_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addFilter(_PROGRESS_FILTER)  # a filter is added only once


def describe_running_job() -> str:
    """Returns a line on the job that continues, and costs, after Ctrl-C; "" if no job was submitted."""
    if not _PROGRESS_FILTER.job:
        return ""
    region, job, project = _PROGRESS_FILTER.job
    cancel = f"gcloud dataflow jobs cancel {job} --region={region} --project={project}"
    return f"interrupted; the job continues; to cancel it: {cancel}"
