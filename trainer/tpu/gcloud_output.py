"""Parses the output of gcloud and of the scripts on the TPU VM. Pure; the states are those of tpu/v2 and compute/v1."""

import enum
import json
import re
from dataclasses import dataclass
from typing import Any

from trainer.tpu.gcloud import CommandResult
from trainer.tpu.gcloud_commands import EXIT_MARK, RUN_LABEL


class GcloudErrorKind(enum.Enum):
    """Why a command failed."""

    ALREADY_EXISTS = enum.auto()
    NOT_FOUND = enum.auto()
    NO_CAPACITY = enum.auto()
    PERMANENT = enum.auto()
    TRANSIENT = enum.auto()


# The order matters: an exhausted quota is also reported as RESOURCE_EXHAUSTED, but waiting does not help.
_ERROR_PATTERNS = (
    (GcloudErrorKind.ALREADY_EXISTS, r"ALREADY_EXISTS|already exists"),
    (GcloudErrorKind.NOT_FOUND, r"NOT_FOUND|was not found|does not exist|HTTPError 404|matched no objects"),
    (GcloudErrorKind.PERMANENT, r"quota(?! project)"),
    (
        GcloudErrorKind.NO_CAPACITY,
        r"no more capacity|insufficient capacity|RESOURCE_EXHAUSTED|stockout|RESOURCE_POOL_EXHAUSTED|enough resources",
    ),
    (
        GcloudErrorKind.PERMANENT,
        r"PERMISSION_DENIED|does not have permission|INVALID_ARGUMENT|UNAUTHENTICATED|active account|unrecognized arg"
        r"|has not been used in project|SERVICE_DISABLED|not found on PATH|Reauthentication|auth login|invalid choice"
        r"|HTTPError 40[013]|Required '[\w.]+' permission",
    ),
)
_MAX_REASON = 300  # characters


def classify_error(done: CommandResult) -> GcloudErrorKind:
    """Classify a failed command. An unknown error counts as transient.

    Example:
      >>> classify_error(CommandResult(status=1, err="ERROR: NOT_FOUND: Resource was not found"))
      <GcloudErrorKind.NOT_FOUND: 2>
    """
    # The exit status of gcloud does not tell these errors apart; its text does.
    return classify_message(done.err)


def classify_message(text: str) -> GcloudErrorKind:
    """Classify the message of an error, see classify_error."""
    matching = (kind for kind, pattern in _ERROR_PATTERNS if re.search(pattern, text, re.IGNORECASE))
    return next(matching, GcloudErrorKind.TRANSIENT)


def error_reason(done: CommandResult) -> str:
    r"""Return the error message of a failed command as one line.

    Example:
      >>> error_reason(CommandResult(status=1, err="WARNING: old\nERROR: no permission\n"))
      'no permission'
    """
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    reason = next((line for line in lines if "ERROR" in line), lines[-1] if lines else f"exit status {done.status}")
    if reason.endswith(":") and reason != lines[-1]:  # Compute Engine's reason is on the next line
        reason = f"{reason} {lines[lines.index(reason) + 1].removeprefix('- ')}"
    return reason.removeprefix("ERROR: ")[:_MAX_REASON]


def remote_status(done: CommandResult) -> int | None:
    r"""Return the exit status of a script on the TPU VM: of several workers the first that is not 0.

    None if no worker was reached.

    Example:
      >>> remote_status(CommandResult(out="retinanet-exit=0\nretinanet-exit=3\n"))
      3
    """
    # Each worker prints a mark of its own.
    codes = [int(code) for code in re.findall(rf"^{EXIT_MARK}(\d+)", done.out, re.MULTILINE)]
    return next((code for code in codes if code), 0) if codes else None


def remote_text(done: CommandResult) -> str:
    r"""Return the output of a script on the TPU VM.

    Example:
      >>> remote_text(CommandResult(out="checked\nretinanet-exit=0\n"))
      'checked\n'
    """
    return re.sub(rf"^{EXIT_MARK}\d+\n?", "", done.out, flags=re.MULTILINE)


class ResourceState(enum.Enum):
    """State of the TPU of a given name."""

    ABSENT = enum.auto()
    PENDING = enum.auto()
    READY = enum.auto()
    PREEMPTED = enum.auto()  # or stopped, failed, being deleted: it will not become ready again
    FOREIGN = enum.auto()  # not created by this run
    UNKNOWN = enum.auto()  # gcloud failed


@dataclass(frozen=True, kw_only=True)
class Observation:
    """State of a TPU at one moment.

    Attributes:
      detail: the state in Google's words, or why it is unknown.
      hosts: number of its machines.
      resource: its full name, projects/….
    """

    state: ResourceState
    detail: str = ""
    hosts: int = 1
    resource: str = ""


_NODE_PENDING = {"CREATING", "STARTING", "RESTARTING", "REIMAGING", "REPAIRING", "UNHIDING", "STATE_UNSPECIFIED"}
_QUEUE_PENDING = {"CREATING", "ACCEPTED", "PROVISIONING", "WAITING_FOR_RESOURCES", "STATE_UNSPECIFIED"}


def parse_node(done: CommandResult, run_id: str | None) -> Observation:
    """Parse the description of a TPU VM.

    Args:
      run_id: the run that created it; None accepts every run of this program.

    Example:
      >>> described = '{"state": "PREEMPTED", "labels": {"retinanet-odm": "r1"}}'
      >>> parse_node(CommandResult(out=described), run_id="r1").state
      <ResourceState.PREEMPTED: 4>
    """
    described = _parse_description(done)
    if isinstance(described, Observation):
        return described
    name = str(described.get("state", "STATE_UNSPECIFIED"))
    is_ours = _is_ours(described.get("labels", {}), run_id)
    return Observation(
        state=_state(name, ready="READY", pending=_NODE_PENDING) if is_ours else ResourceState.FOREIGN,
        detail=name,
        # One endpoint for each machine.
        hosts=max(len(described.get("networkEndpoints", [])), 1),
        resource=str(described.get("name", "")),
    )


def parse_queued(done: CommandResult, run_id: str | None) -> Observation:
    """Parse the description of a queued resource; see parse_node."""
    described = _parse_description(done)
    if isinstance(described, Observation):
        return described
    # Nested here, flat in a TPU VM: so the API has it.
    name = str(described.get("state", {}).get("state", "STATE_UNSPECIFIED"))
    nodes = [spec.get("node", {}) for spec in described.get("tpu", {}).get("nodeSpec", [])]
    is_ours = any(_is_ours(node.get("labels", {}), run_id) for node in nodes)
    return Observation(
        state=_state(name, ready="ACTIVE", pending=_QUEUE_PENDING) if is_ours else ResourceState.FOREIGN,
        detail=name,
        resource=str(described.get("name", "")),
    )


# PENDING is that of a flex-start VM, which waits for capacity.
_INSTANCE_PENDING = {"PENDING", "PROVISIONING", "STAGING", "REPAIRING"}


def parse_instance(done: CommandResult, run_id: str | None) -> Observation:
    """Parse the description of a VM of Compute Engine; see parse_node."""
    described = _parse_description(done)
    if isinstance(described, Observation):
        return described
    name = str(described.get("status", "PENDING"))
    is_ours = _is_ours(described.get("labels", {}), run_id)
    return Observation(
        state=_state(name, ready="RUNNING", pending=_INSTANCE_PENDING) if is_ours else ResourceState.FOREIGN,
        detail=name,
        resource=str(described.get("selfLink", "")).partition("/v1/")[2],
    )


def parse_creation(done: CommandResult) -> Observation:
    """Parse the list of the newest operation that creates a VM, which itself is not there.

    Returns:
      PENDING while the operation runs; otherwise ABSENT, with the error of the operation as detail.

    Example:
      >>> parse_creation(CommandResult(out='[{"status": "RUNNING"}]')).state
      <ResourceState.PENDING: 2>
    """
    listed = _parse_json(done)
    if isinstance(listed, Observation):
        return listed
    operation: dict[str, Any] = listed[0] if isinstance(listed, list) and listed else {"status": "DONE"}
    if operation.get("status") != "DONE":
        return Observation(state=ResourceState.PENDING, detail="requested")
    errors = [f"{error.get('code')}: {error.get('message')}" for error in operation.get("error", {}).get("errors", [])]
    return Observation(state=ResourceState.ABSENT, detail=" ".join("; ".join(errors).split())[:_MAX_REASON])


def _state(name: str, *, ready: str, pending: set[str]) -> ResourceState:
    if name == ready:
        return ResourceState.READY
    # An unknown state counts as lost: the TPU is then removed and created again, instead of waited for without end.
    return ResourceState.PENDING if name in pending else ResourceState.PREEMPTED


def _is_ours(labels: dict[str, str], run_id: str | None) -> bool:
    return RUN_LABEL in labels if run_id is None else labels.get(RUN_LABEL) == run_id


def _parse_description(done: CommandResult) -> dict[str, Any] | Observation:
    """Parse the JSON of ``describe``; return an observation if there is none."""
    # Only this answer proves that there is no TPU. Any other failure leaves the state unknown.
    if done.status and classify_error(done) is GcloudErrorKind.NOT_FOUND:
        return Observation(state=ResourceState.ABSENT)
    described = _parse_json(done)
    if isinstance(described, dict | Observation):
        return described
    return _NOT_JSON


_NOT_JSON = Observation(state=ResourceState.UNKNOWN, detail="the output of gcloud is not JSON")


def _parse_json(done: CommandResult) -> Any:
    """Parse the output of a command; return an observation of an unknown state if it failed."""
    if done.status:
        return Observation(state=ResourceState.UNKNOWN, detail=error_reason(done))
    try:
        return json.loads(done.out)
    except json.JSONDecodeError:
        return _NOT_JSON


@dataclass(frozen=True, kw_only=True)
class SupervisorStatus:
    """State of the supervisor on the TPU VM, and the log since the previous request.

    Attributes:
      state, code, restarts: see trainer.tpu.supervisor.SupervisorState.
      offset: bytes of the log read so far.
      log: the new part of the log.
    """

    state: str
    code: int
    restarts: int
    offset: int
    log: str


def parse_status(text: str) -> SupervisorStatus | None:
    """Parse the output of the supervisor's ``show``, which may follow lines of SSH; None if there is none."""
    lines = text.splitlines(keepends=True)
    # ssh may print lines of its own first.
    for number, line in enumerate(lines):
        try:
            return SupervisorStatus(log="".join(lines[number + 1 :]), **json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue
    return None
