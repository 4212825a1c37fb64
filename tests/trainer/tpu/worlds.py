"""A run against the fake cloud in this process, with a clock on which waiting takes no time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.trainer.tpu.fake_gcloud import FakeCloud
from trainer.tpu.driver import RunController
from trainer.tpu.gcloud import CommandResult, FakeClock, Tunnel
from trainer.tpu.options import RunRequest
from trainer.tpu.state_machine import RunResult

TRAINING = ("--preset=tiny", "--dataset=gs://b/d", "--model_dir=gs://b/m")


class _BrokenTunnel:
    def alive(self) -> bool:
        return False  # so that the controller opens it again and again

    def close(self) -> None:
        pass


class InProcess:
    """Runs commands in the fake cloud. The faults interrupt, interrupt_after and crash occur on this computer."""

    def __init__(self, fake: FakeCloud, clock: FakeClock) -> None:
        self.fake = fake
        self.clock = clock

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:  # noqa: ARG002 - the interface of Cloud
        self.clock.seconds += 5.0
        fault = self.fake.data["faults"][0] if self.fake.data["faults"] else ""
        if fault in ("interrupt", "interrupt_after", "crash"):
            self.fake.data["faults"][0] = "ok" if fault == "interrupt_after" else fault
            if fault == "interrupt_after":
                self.fake.run(command)
            else:
                self.fake.data["faults"].pop(0)
            raise RuntimeError("a programming error") if fault == "crash" else KeyboardInterrupt
        status, out, err = self.fake.run(command)
        return CommandResult(status=status, out=out, err=err)

    def open(self, command: Sequence[str]) -> Tunnel:
        self.fake.data["commands"].append(list(command))
        return _BrokenTunnel()


@dataclass
class World:
    """A run, its faults and its effects."""

    faults: Sequence[str] = ()
    platform: str = "tpu_vm"
    queued: bool = False
    max_hours: float = 24.0
    fake: FakeCloud = field(default_factory=FakeCloud)
    lines: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def train(self, *, run_id: str = "r1") -> RunResult:
        self.fake.data["faults"] = list(self.faults)
        request = RunRequest(
            zone="us-west4-a",
            platform=self.platform,
            queued=self.queued,
            max_hours=self.max_hours,
            training=TRAINING,
        )
        clock = FakeClock()
        return RunController(
            request,
            InProcess(self.fake, clock),
            clock,
            run_id=run_id,
            files=["/tmp/x/retinanet.whl", "requirements-tpu.lock"],
            notify=self.lines.append,
            write_log=self.log.append,
        ).train()

    def remaining(self) -> list[str]:
        """Returns what costs money, or soon will."""
        return [name for place in ("nodes", "queued", "instances", "late") for name in self.fake.data[place]]

    def is_reported(self) -> bool:
        """Returns whether the user was shown the command that deletes the TPU."""
        group = "tpus queued-resources" if self.queued else "tpus tpu-vm"
        group = "instances" if self.platform == "compute" else group
        return any(f"gcloud compute {group} delete retinanet " in line for line in self.lines)
