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
    """Nodes and queued resources by name.

    Attributes:
      data: the complete state as JSON; ``steps`` stands for the checkpoints in the bucket and survives every TPU;
        ``faults`` are those of the next commands.
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.data = data or {"nodes": {}, "queued": {}, "late": {}, "steps": 0, "faults": [], "made": 0, "commands": []}

    def run(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Runs a command; returns exit status, standard output and standard error."""
        self.data["commands"].append(list(command))
        fault = self.data["faults"].pop(0) if self.data["faults"] else "ok"
        words = list(command[1:])
        if words[:2] == ["storage", "ls"]:
            return (0, words[2], "") if fault == "ok" else (1, "", "ERROR: One or more URLs matched no objects.")
        if fault == "network":
            return 1, "", "ERROR: gcloud crashed (ConnectionError): Name or service not known"
        kind, verb, name = ("queued" if words[2] == "queued-resources" else "nodes"), words[3], self._target(words)
        if fault == "denied" and verb in ("create", "describe", "delete"):
            return 1, "", f"ERROR: (gcloud.compute.tpus) PERMISSION_DENIED: tpu.{verb} denied (or it may not exist)"
        if fault == "preempted" and name in self.data["nodes"]:
            self.data["nodes"][name]["state"] = "PREEMPTED"
            if name in self.data["queued"]:
                self.data["queued"][name]["state"] = "SUSPENDED"
        if fault == "gone":
            self.data["nodes"].pop(name, None)
            self.data["queued"].pop(name, None)
        if verb == "create":
            return self._create(kind, name, words, fault)
        if verb == "describe":
            return self._describe(kind, name)
        if verb == "delete":
            return self._delete(kind, name, words, fault)
        node = self.data["nodes"].get(name)
        if node is None or node["state"] != "READY" or fault == "refused":
            return 1, "", "ERROR: (gcloud.compute.tpus.tpu-vm.ssh) [/usr/bin/ssh] exited with return code [255]."
        if verb == "scp":
            node["copied"] = True
            return 0, "", ""
        return self._ssh(node, words[-1], fault)

    @staticmethod
    def _target(words: Sequence[str]) -> str:
        names = [word for word in words[4:] if not word.startswith("--")]
        return next((word[:-1] for word in names if word.endswith(":")), names[0])

    def _create(self, kind: str, name: str, words: Sequence[str], fault: str) -> tuple[int, str, str]:
        if self.data["late"]:
            self._arrive()
        if name in self.data[kind] or (kind == "queued" and name in self.data["nodes"]):
            return 1, "", "ERROR: (gcloud.compute.tpus.tpu-vm.create) ALREADY_EXISTS: Resource already exists"
        if fault == "quota":
            return 1, "", "ERROR: RESOURCE_EXHAUSTED: Quota limit 'TPUV5sLitepodPerProject' has been exceeded. Limit: 0"
        if fault == "capacity":
            return 1, "", 'ERROR: {"code": 8, "message": "There is no more capacity in the zone \\"us-west4-a\\""}'
        label = next(word for word in words if word.startswith("--labels=")).removeprefix("--labels=").split("=")
        if fault == "late":
            self.data["late"] = {"kind": kind, "name": name, "label": label, "looks": 3}
            return 124, "", "no response"
        self._make(kind, name, label)
        return (1, "", "ERROR: INTERNAL: an internal error has occurred") if fault == "half" else (0, "", "Created")

    def _arrive(self) -> None:
        late, self.data["late"] = self.data["late"], {}
        self._make(late["kind"], late["name"], late["label"])

    def _make(self, kind: str, name: str, label: Sequence[str]) -> None:
        self.data["made"] += 1
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
            return 1, "", "ERROR: (gcloud.compute.tpus.describe) NOT_FOUND: Resource was not found"
        state = resource["state"]
        resource["state"] = {"CREATING": "READY", "WAITING_FOR_RESOURCES": "ACTIVE"}.get(state, state)
        full = f"projects/p/locations/us-west4-a/{'nodes' if kind == 'nodes' else 'queuedResources'}/{name}"
        if kind == "nodes":
            return 0, json.dumps({"name": full, "state": state, "labels": resource["labels"]}), ""
        spec = {"nodeSpec": [{"node": {"labels": resource["labels"]}, "nodeId": name}]}
        return 0, json.dumps({"name": full, "state": {"state": state}, "tpu": spec}), ""

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
