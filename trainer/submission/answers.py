"""What gcloud's answers mean. Pure; the states are those of the API tpu/v2."""

import enum
import json
import re
from dataclasses import dataclass
from typing import Any

from trainer.submission.commands import EXIT_MARK, LABEL
from trainer.submission.ports import Done


class Why(enum.Enum):
    """Why a command failed."""

    EXISTS = enum.auto()
    ABSENT = enum.auto()
    CAPACITY = enum.auto()
    FINAL = enum.auto()
    PASSING = enum.auto()


# In this order: a quota that is used up is told as RESOURCE_EXHAUSTED too, but waiting does not help.
_SIGNS = (
    (Why.EXISTS, r"ALREADY_EXISTS|already exists"),
    (Why.ABSENT, r"NOT_FOUND|was not found|does not exist|HTTPError 404|matched no objects"),
    (Why.FINAL, r"quota(?! project)"),
    (Why.CAPACITY, r"no more capacity|insufficient capacity|RESOURCE_EXHAUSTED|stockout"),
    (
        Why.FINAL,
        r"PERMISSION_DENIED|does not have permission|INVALID_ARGUMENT|UNAUTHENTICATED|active account|unrecognized arg"
        r"|has not been used in project|SERVICE_DISABLED|not found on PATH|Reauthentication|auth login|invalid choice"
        r"|HTTPError 40[013]",
    ),
)


def why(done: Done) -> Why:
    """Why a command failed; what is not understood may pass."""
    return next((kind for kind, sign in _SIGNS if re.search(sign, done.err, re.IGNORECASE)), Why.PASSING)


def reason(done: Done) -> str:
    """One line of what a command that failed said."""
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    told = next((line for line in lines if "ERROR" in line), lines[-1] if lines else f"exit status {done.status}")
    return told.removeprefix("ERROR: ")[:300]


def remote_status(done: Done) -> int | None:
    """The exit status of a command on the VM, of several workers the first that is not 0; None if none was reached."""
    found = [int(code) for code in re.findall(rf"^{EXIT_MARK}(\d+)", done.out, re.MULTILINE)]
    return next((code for code in found if code), 0) if found else None


def remote_text(done: Done) -> str:
    """What a command on the VM wrote."""
    return re.sub(rf"^{EXIT_MARK}\d+\n?", "", done.out, flags=re.MULTILINE)


class Being(enum.Enum):
    """What there is under a name."""

    ABSENT = enum.auto()
    PENDING = enum.auto()
    READY = enum.auto()
    LOST = enum.auto()
    FOREIGN = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A look at a TPU.

    Attributes:
      hosts: how many machines it is.
      resource: its full name, projects/….
      state: as Google has it, or why it is not known.
    """

    being: Being
    state: str = ""
    hosts: int = 1
    resource: str = ""


_NODE_PENDING = {"CREATING", "STARTING", "RESTARTING", "REIMAGING", "REPAIRING", "UNHIDING", "STATE_UNSPECIFIED"}
_QUEUE_PENDING = {"CREATING", "ACCEPTED", "PROVISIONING", "WAITING_FOR_RESOURCES", "STATE_UNSPECIFIED"}


def _being(state: str, *, ready: str, pending: set[str]) -> Being:
    if state == ready:
        return Being.READY
    return Being.PENDING if state in pending else Being.LOST


def see_node(done: Done, run_id: str | None) -> Sight:
    """A TPU VM; without run_id that of any run of this program is ours."""
    found = _parse(done)
    if isinstance(found, Sight):
        return found
    state = str(found.get("state", "STATE_UNSPECIFIED"))
    mine = _is_ours(found.get("labels", {}), run_id)
    return Sight(
        being=_being(state, ready="READY", pending=_NODE_PENDING) if mine else Being.FOREIGN,
        state=state,
        hosts=max(len(found.get("networkEndpoints", [])), 1),
        resource=str(found.get("name", "")),
    )


def see_queued(done: Done, run_id: str | None) -> Sight:
    """A queued resource."""
    found = _parse(done)
    if isinstance(found, Sight):
        return found
    state = str(found.get("state", {}).get("state", "STATE_UNSPECIFIED"))
    nodes = [spec.get("node", {}) for spec in found.get("tpu", {}).get("nodeSpec", [])]
    mine = any(_is_ours(node.get("labels", {}), run_id) for node in nodes)
    return Sight(
        being=_being(state, ready="ACTIVE", pending=_QUEUE_PENDING) if mine else Being.FOREIGN,
        state=state,
        resource=str(found.get("name", "")),
    )


def _is_ours(labels: dict[str, str], run_id: str | None) -> bool:
    return LABEL in labels if run_id is None else labels.get(LABEL) == run_id


def _parse(done: Done) -> dict[str, Any] | Sight:
    if done.status:
        absent = why(done) is Why.ABSENT
        return Sight(being=Being.ABSENT if absent else Being.UNKNOWN, state="" if absent else reason(done))
    try:
        found = json.loads(done.out)
    except json.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else Sight(being=Being.UNKNOWN, state="gcloud's answer is not JSON")


@dataclass(frozen=True, kw_only=True)
class Progress:
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


def progress(text: str) -> Progress | None:
    """Reads the supervisor's ``show``; None if it is not that."""
    for number, line in enumerate(lines := text.splitlines(keepends=True)):
        try:
            head = json.loads(line)
            return Progress(log="".join(lines[number + 1 :]), **head)
        except (json.JSONDecodeError, TypeError):
            continue
    return None
