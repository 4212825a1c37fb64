"""A fake cloud of TPUs that keeps its state and fails on demand: a class, and with main() an executable named gcloud.

Standard library only, so that the executable starts in milliseconds.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MARK = "retinanet-exit="
STEPS = 3  # requests for the state of the trainer until it has finished

_NOT_FOUND = (
    "ERROR: (gcloud.compute.tpus.describe) NOT_FOUND: Resource was not found",
    "ERROR: (gcloud.compute.instances.describe) Could not fetch resource:\n - The resource 'x' was not found",
)
_COMPUTE_ERRORS = {
    "quota": ("QUOTA_EXCEEDED", "Quota 'TPUS_PER_TPU_FAMILY' exceeded.  Limit: 0.0 in region us-west4."),
    "capacity": ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone 'us-west4-a' does not have enough resources available"),
}

# Transient faults; each affects one command.
FAULTS = (
    "ok",
    "network",  # gcloud has no connection
    "quota",  # a creation is refused permanently
    "capacity",  # a creation is refused at the moment
    "half",  # a creation reports an error, but the TPU exists
    "late",  # no response; the TPU is created later
    "denied",  # the user has no permission
    "refused",  # no SSH
    "remote",  # the command on the VM fails
    "stopped",  # the trainer got SIGTERM
    "preempted",  # before the command
    "gone",  # the TPU is deleted by another user before the command
    "stuck",  # a deletion is refused: an operation is under way
)


class FakeCloud:
    """Nodes, queued resources and VMs of Compute Engine by name.

    Attributes:
      data: the complete state as JSON; ``steps`` stands for the checkpoints in the bucket and survives every TPU;
        ``faults`` are those of the next commands.
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.data = data or {
            "nodes": {},
            "queued": {},
            "instances": {},
            "operations": {},
            "late": {},
            "steps": 0,
            "faults": [],
            "made": 0,
            "commands": [],
        }

    def run(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Runs a command; returns exit status, standard output and standard error."""
        self.data["commands"].append(list(command))
        fault = self.data["faults"].pop(0) if self.data["faults"] else "ok"
        words = list(command[1:])
        if words[:2] == ["storage", "ls"]:
            return (0, words[2], "") if fault == "ok" else (1, "", "ERROR: One or more URLs matched no objects.")
        if fault == "network":
            return 1, "", "ERROR: gcloud crashed (ConnectionError): Name or service not known"
        kind, verb, name = self._meaning(words)
        if fault == "denied" and verb in ("create", "describe", "delete", "list"):
            return 1, "", f"ERROR: (gcloud.compute.tpus) PERMISSION_DENIED: tpu.{verb} denied (or it may not exist)"
        self._lose(name, fault)
        match verb:
            case "create":
                return self._create(kind, name, words, fault)
            case "describe":
                return self._describe(kind, name)
            case "list":
                return 0, json.dumps(self._operations(name)), ""
            case "delete":
                return self._delete(kind, name, words, fault)
            case _:
                return self._connect(kind, name, words, fault)

    def _lose(self, name: str, fault: str) -> None:
        """Takes a TPU away."""
        lost = {"nodes": "PREEMPTED", "queued": "SUSPENDED", "instances": "STOPPING"}  # a VM is deleted then
        for place, state in lost.items():
            if name in self.data[place] and fault == "preempted":
                self.data[place][name]["state"] = state
            if fault == "gone":
                self.data[place].pop(name, None)

    def _connect(self, kind: str, name: str, words: Sequence[str], fault: str) -> tuple[int, str, str]:
        node = self.data[kind].get(name)
        if node is None or node["state"] not in ("READY", "RUNNING") or fault == "refused":
            return 1, "", "ERROR: (gcloud.compute.tpus.tpu-vm.ssh) [/usr/bin/ssh] exited with return code [255]."
        if "scp" in words[:4]:
            node["copied"] = True
            return 0, "", ""
        return self._ssh(node, words[-1], fault)

    @staticmethod
    def _meaning(words: Sequence[str]) -> tuple[str, str, str]:
        """Returns where the resource is kept, the verb and the name of the resource."""
        if words[1] == "operations":
            pattern = next(word for word in words if word.startswith("--filter="))
            return "instances", "list", pattern.rsplit("/", 1)[1].removesuffix("$")
        on_compute = words[1] != "tpus"
        first = 1 if on_compute and words[1] != "instances" else 2 if on_compute else 3
        names = [word for word in words[first + 1 :] if not word.startswith("--")]
        kind = "instances" if on_compute else "queued" if words[2] == "queued-resources" else "nodes"
        return kind, words[first], next((word[:-1] for word in names if word.endswith(":")), names[0])

    def _operations(self, name: str) -> list[dict[str, Any]]:
        """Returns the newest operation that creates a VM."""
        if self.data["late"].get("accepted"):
            return [{"status": "RUNNING"}]
        return [self.data["operations"][name]] if name in self.data["operations"] else []

    def _fail(self, name: str, code: str, message: str) -> tuple[int, str, str]:
        """Accepts a request for a VM that fails later."""
        self.data["operations"][name] = {"status": "DONE", "error": {"errors": [{"code": code, "message": message}]}}
        return 0, "", ""

    def _create(self, kind: str, name: str, words: Sequence[str], fault: str) -> tuple[int, str, str]:
        if self.data["late"]:
            self._arrive()
        if name in self.data[kind] or (kind == "queued" and name in self.data["nodes"]):
            return 1, "", "ERROR: (gcloud.compute.tpus.tpu-vm.create) ALREADY_EXISTS: Resource already exists"
        if kind == "instances" and fault in ("quota", "capacity"):
            return self._fail(name, *_COMPUTE_ERRORS[fault])
        if fault == "quota":
            return 1, "", "ERROR: RESOURCE_EXHAUSTED: Quota limit 'TPUV5sLitepodPerProject' has been exceeded. Limit: 0"
        if fault == "capacity":
            return 1, "", 'ERROR: {"code": 8, "message": "There is no more capacity in the zone \\"us-west4-a\\""}'
        label = next(word for word in words if word.startswith("--labels=")).removeprefix("--labels=").split("=")
        if fault == "late":
            self.data["late"] = {"kind": kind, "name": name, "label": label, "looks": 3}
            return 124, "", "no response"
        if kind == "instances":  # visible a moment later
            self.data["late"] = {"kind": kind, "name": name, "label": label, "looks": 2, "accepted": True}
            return (1, "", "ERROR: INTERNAL: an internal error has occurred") if fault == "half" else (0, "", "")
        self._make(kind, name, label)
        return (1, "", "ERROR: INTERNAL: an internal error has occurred") if fault == "half" else (0, "", "Created")

    def _arrive(self) -> None:
        late, self.data["late"] = self.data["late"], {}
        self._make(late["kind"], late["name"], late["label"])

    def _make(self, kind: str, name: str, label: Sequence[str]) -> None:
        self.data["made"] += 1
        if kind == "instances":
            self.data["operations"][name] = {"status": "DONE"}
            self.data["instances"][name] = {"state": "PENDING", "labels": dict([label])}
            return
        self.data["nodes"][name] = {"state": "CREATING", "labels": dict([label])}
        if kind == "queued":
            self.data["queued"][name] = {"state": "WAITING_FOR_RESOURCES", "labels": dict([label])}

    def _describe(self, kind: str, name: str) -> tuple[int, str, str]:
        late = self.data["late"]
        if late:
            late["looks"] -= 1
            if late["looks"] <= 0:
                self._arrive()
        resource = self.data[kind].get(name)
        if resource is None:
            return 1, "", _NOT_FOUND[kind == "instances"]
        state = resource["state"]
        if kind == "instances":
            return 0, self._describe_instance(name, resource), ""
        resource["state"] = {"CREATING": "READY", "WAITING_FOR_RESOURCES": "ACTIVE"}.get(state, state)
        full = f"projects/p/locations/us-west4-a/{'nodes' if kind == 'nodes' else 'queuedResources'}/{name}"
        if kind == "nodes":
            return 0, json.dumps({"name": full, "state": state, "labels": resource["labels"]}), ""
        spec = {"nodeSpec": [{"node": {"labels": resource["labels"]}, "nodeId": name}]}
        return 0, json.dumps({"name": full, "state": {"state": state}, "tpu": spec}), ""

    def _describe_instance(self, name: str, resource: dict[str, Any]) -> str:
        state = resource["state"]
        resource["state"] = {"PENDING": "STAGING", "STAGING": "RUNNING"}.get(state, state)
        if state == "STOPPING":
            del self.data["instances"][name]
        link = f"https://www.googleapis.com/compute/v1/projects/p/zones/us-west4-a/instances/{name}"
        return json.dumps({"selfLink": link, "status": state, "labels": resource["labels"]})

    def _delete(self, kind: str, name: str, words: Sequence[str], fault: str) -> tuple[int, str, str]:
        if fault == "stuck":
            return 1, "", "ERROR: FAILED_PRECONDITION: another operation is in progress"
        if name not in self.data[kind]:
            return 1, "", "ERROR: NOT_FOUND: Resource was not found"
        if kind == "queued" and "--force" not in words and name in self.data["nodes"]:
            return 1, "", "ERROR: FAILED_PRECONDITION: the queued resource has nodes"
        del self.data[kind][name]
        if kind == "queued":
            self.data["nodes"].pop(name, None)
        return 0, "", "Deleted"

    def _ssh(self, node: dict[str, Any], command: str, fault: str) -> tuple[int, str, str]:
        if fault == "remote":
            return 1, f"FAIL  model_dir: no\n{MARK}1\n", ""
        needs = "copied" if "uv pip install" in command else "installed"
        if not node.get(needs):
            return 127, f"{MARK}127\n", "bash: not found"
        if "uv pip install" in command:
            node["installed"] = True
        elif "setsid" in command:
            node["started"] = True
        elif "supervisor show" in command:
            return 0, self._show(node, fault) + f"{MARK}0\n", ""
        return 0, f"pass  devices: 8 TPU\n{MARK}0\n", ""

    def _show(self, node: dict[str, Any], fault: str) -> str:
        if not node.get("started"):
            return json.dumps({"state": "none", "code": 0, "restarts": 0, "offset": 0}) + "\n"
        if fault == "stopped":
            node["started"] = False
            return json.dumps({"state": "stopped", "code": 0, "restarts": 0, "offset": 0}) + "\n"
        self.data["steps"] += 1
        state = "finished" if self.data["steps"] >= STEPS else "running"
        head = json.dumps({"state": state, "code": 0, "restarts": 0, "offset": 0})
        return f"{head}\nstep {self.data['steps']}\n"


def main() -> int:
    """Runs the executable with the state in the file FAKE_GCLOUD. A creation then sleeps for ``slow`` seconds."""
    if "-L" in sys.argv:  # a tunnel runs in parallel to other commands, so it must not write their state
        return 0
    path = Path(os.environ["FAKE_GCLOUD"])
    cloud = FakeCloud(json.loads(path.read_text()) if path.exists() else None)
    status, out, err = cloud.run(["gcloud", *sys.argv[1:]])
    part = path.with_suffix(".part")
    part.write_text(json.dumps(cloud.data))
    part.replace(path)
    if "create" in sys.argv:
        time.sleep(cloud.data.get("slow", 0))
    sys.stdout.write(out)
    sys.stderr.write(err + "\n" if err else "")
    return status
