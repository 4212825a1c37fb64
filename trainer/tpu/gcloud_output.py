"""What gcloud's answers mean. Pure; the states are those of the API tpu/v2."""

import enum
import json
import re
from dataclasses import dataclass
from typing import Any

from trainer.tpu.gcloud import CommandResult
from trainer.tpu.gcloud_commands import EXIT_MARK, RUN_LABEL


class GcloudError(enum.Enum):
    """Why a command failed."""

    EXISTS = enum.auto()
    ABSENT = enum.auto()
    CAPACITY = enum.auto()
    FINAL = enum.auto()
    PASSING = enum.auto()


# In this order: a quota that is used up is told as RESOURCE_EXHAUSTED too, but waiting does not help.
_SIGNS = (
    (GcloudError.EXISTS, r"ALREADY_EXISTS|already exists"),
    (GcloudError.ABSENT, r"NOT_FOUND|was not found|does not exist|HTTPError 404|matched no objects"),
    (GcloudError.FINAL, r"quota(?! project)"),
    (GcloudError.CAPACITY, r"no more capacity|insufficient capacity|RESOURCE_EXHAUSTED|stockout"),
    (
        GcloudError.FINAL,
        r"PERMISSION_DENIED|does not have permission|INVALID_ARGUMENT|UNAUTHENTICATED|active account|unrecognized arg"
        r"|has not been used in project|SERVICE_DISABLED|not found on PATH|Reauthentication|auth login|invalid choice"
        r"|HTTPError 40[013]",
    ),
)


def classify_error(done: CommandResult) -> GcloudError:
    """Why a command failed; what is not understood may pass."""
    return next((kind for kind, sign in _SIGNS if re.search(sign, done.err, re.IGNORECASE)), GcloudError.PASSING)


def error_reason(done: CommandResult) -> str:
    """One line of what a command that failed said."""
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    told = next((line for line in lines if "ERROR" in line), lines[-1] if lines else f"exit status {done.status}")
    return told.removeprefix("ERROR: ")[:300]


def remote_status(done: CommandResult) -> int | None:
    """The exit status of a command on the VM, of several workers the first that is not 0; None if none was reached."""
    found = [int(code) for code in re.findall(rf"^{EXIT_MARK}(\d+)", done.out, re.MULTILINE)]
    return next((code for code in found if code), 0) if found else None


def remote_text(done: CommandResult) -> str:
    """What a command on the VM wrote."""
    return re.sub(rf"^{EXIT_MARK}\d+\n?", "", done.out, flags=re.MULTILINE)


class ResourceState(enum.Enum):
    """What there is under a name."""

    ABSENT = enum.auto()
    PENDING = enum.auto()
    READY = enum.auto()
    LOST = enum.auto()
    FOREIGN = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A look at a TPU.

    Attributes:
      hosts: how many machines it is.
      resource: its full name, projects/….
      state: as Google has it, or why it is not known.
    """

    being: ResourceState
    state: str = ""
    hosts: int = 1
    resource: str = ""


_NODE_PENDING = {"CREATING", "STARTING", "RESTARTING", "REIMAGING", "REPAIRING", "UNHIDING", "STATE_UNSPECIFIED"}
_QUEUE_PENDING = {"CREATING", "ACCEPTED", "PROVISIONING", "WAITING_FOR_RESOURCES", "STATE_UNSPECIFIED"}


def _being(state: str, *, ready: str, pending: set[str]) -> ResourceState:
    if state == ready:
        return ResourceState.READY
    return ResourceState.PENDING if state in pending else ResourceState.LOST


def parse_node(done: CommandResult, run_id: str | None) -> Observation:
    """A TPU VM; without run_id that of any run of this program is ours."""
    found = _parse(done)
    if isinstance(found, Observation):
        return found
    state = str(found.get("state", "STATE_UNSPECIFIED"))
    mine = _is_ours(found.get("labels", {}), run_id)
    return Observation(
        being=_being(state, ready="READY", pending=_NODE_PENDING) if mine else ResourceState.FOREIGN,
        state=state,
        hosts=max(len(found.get("networkEndpoints", [])), 1),
        resource=str(found.get("name", "")),
    )


def parse_queued(done: CommandResult, run_id: str | None) -> Observation:
    """A queued resource."""
    found = _parse(done)
    if isinstance(found, Observation):
        return found
    state = str(found.get("state", {}).get("state", "STATE_UNSPECIFIED"))
    nodes = [spec.get("node", {}) for spec in found.get("tpu", {}).get("nodeSpec", [])]
    mine = any(_is_ours(node.get("labels", {}), run_id) for node in nodes)
    return Observation(
        being=_being(state, ready="ACTIVE", pending=_QUEUE_PENDING) if mine else ResourceState.FOREIGN,
        state=state,
        resource=str(found.get("name", "")),
    )


def _is_ours(labels: dict[str, str], run_id: str | None) -> bool:
    return RUN_LABEL in labels if run_id is None else labels.get(RUN_LABEL) == run_id


def _parse(done: CommandResult) -> dict[str, Any] | Observation:
    if done.status:
        absent = classify_error(done) is GcloudError.ABSENT
        return Observation(
            being=ResourceState.ABSENT if absent else ResourceState.UNKNOWN, state="" if absent else error_reason(done)
        )
    try:
        found = json.loads(done.out)
    except json.JSONDecodeError:
        found = None
    return (
        found
        if isinstance(found, dict)
        else Observation(being=ResourceState.UNKNOWN, state="gcloud's answer is not JSON")
    )


@dataclass(frozen=True, kw_only=True)
class SupervisorStatus:
    """What the supervisor says; see its State for the words.

    Attributes:
      offset: bytes of the log read so far.
      log: what came since.
    """

    state: str
    code: int
    restarts: int
    offset: int
    log: str


def parse_status(text: str) -> SupervisorStatus | None:
    """Reads the supervisor's ``show``; None if it is not that."""
    for number, line in enumerate(lines := text.splitlines(keepends=True)):
        try:
            head = json.loads(line)
            return SupervisorStatus(log="".join(lines[number + 1 :]), **head)
        except (json.JSONDecodeError, TypeError):
            continue
    return None
