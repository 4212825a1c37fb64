"""What Google says when it refuses a job, or when a job fails there: one line in place of a stack trace of Beam's."""

import logging
import sys

# Beam's loggers that tell the console's link, the job's states and its messages, and what of that is for nobody here.
_PROGRESS = (
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
_LINK = "To access the Dataflow monitoring console"
_CLASSES = (
    ("apache_beam.runners.dataflow.dataflow_runner", "DataflowRuntimeException"),
    ("apache_beam.runners.dataflow.internal.apiclient", "DataflowJobAlreadyExistsError"),
    ("google.api_core.exceptions", "GoogleAPICallError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("google.resumable_media", "InvalidResponse"),
)
_FAILED = "DataflowRuntimeException"
_REFUSED = "InvalidResponse"  # of an upload by Beam, which makes no GoogleAPICallError of it


def fault_classes() -> tuple[type[Exception], ...]:
    """Classes of exceptions that are Google's answer; of modules that are not loaded, nothing was raised."""
    return tuple(getattr(sys.modules[module], name) for module, name in _CLASSES if module in sys.modules)


def describe_fault(error: Exception) -> str:
    """One line of one of fault_classes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if type(error).__name__ == _FAILED:
        # Beam puts the state into the first line, and of a worker's stack trace the last says what it was.
        return " ".join(dict.fromkeys([lines[0], lines[-1]]))
    if type(error).__name__ == _REFUSED:
        response = error.response  # type: ignore[attr-defined]
        place = f"{response.request.method} {response.url.partition('?')[0]}"
        return f"{response.status_code} {place}: {' '.join(response.text.split())}"
    return " ".join(lines)


def exit_status(error: Exception) -> int:
    """1 where a job failed, 2 where there is none."""
    return 1 if type(error).__name__ == _FAILED else 2


class _Progress(logging.Filter):
    """Lets through what is worth reading, and remembers the job by the arguments of the console's link."""

    def __init__(self) -> None:
        super().__init__()
        self.job: tuple[object, ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_LINK) and isinstance(record.args, tuple):
            self.job = record.args
        return record.levelno > logging.INFO or not message.startswith(_NOISE)


_PROGRESS_FILTER = _Progress()


def show_progress() -> None:
    """Lets Beam's account of a Dataflow job through: its page in the console, its states, its messages."""
    _PROGRESS_FILTER.job = ()
    for name in _PROGRESS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addFilter(_PROGRESS_FILTER)  # once, however often


def still_running() -> str:
    """What goes on in the cloud, and costs, when this program is interrupted; "" where nothing was submitted."""
    if not _PROGRESS_FILTER.job:
        return ""
    region, job, project = _PROGRESS_FILTER.job
    return f"; the job goes on; to end it: gcloud dataflow jobs cancel {job} --region={region} --project={project}"
