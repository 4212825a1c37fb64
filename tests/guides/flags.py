"""Collects the flags of all programs of this repository, by name without dashes."""

import argparse
import re
from collections.abc import Iterator

from absl import flags as absl_flags
from apache_beam.options.pipeline_options import PipelineOptions

import beam_jobs.flags
import inference.options
import trainer.flags
from retinanet_odm.dataflow import launcher
from retinanet_odm.workflow.command import make_run_parser
from tests.guides.pages import ROOT
from trainer.tpu.options import make_submit_parser as submit_parser

# Flags of other programs that occur in the text of the guides.
FOREIGN = {
    "label": "Beam's, for the labels of a job; its option is named labels",
    "no-deps": "pip's and uv's",
    **dict.fromkeys(("flink-master", "spark-master-url", "service_port"), "of Beam's job servers and worker pool"),
    **dict.fromkeys(("upgrade", "upgrade-package"), "of uv pip compile"),
    "config": "gcloud's, in a message of ours",
    "threshold": "of earlier versions, in the message that names the new one",
    "enable-private-ip-google-access": "gcloud's, in a message of ours",
    **dict.fromkeys(("deinterlace", "minsize", "resize", "split"), "of the original's create_tfrecord.py"),
    "worker": "of gcloud compute tpus tpu-vm ssh",
    **dict.fromkeys(
        (
            *("async", "image-family", "image-project", "instance-termination-action", "machine-type"),
            *("maintenance-policy", "max-run-duration", "provisioning-model", "request-valid-for-duration"),
            "reservation-affinity",
        ),
        "of gcloud compute instances create",
    ),
    **dict.fromkeys(("allow-unmatched-labels", "clear-existing", "conf-threshold"), "of cvat-cli"),
    **dict.fromkeys(("input", "voc"), "of MBARI's aidata"),
}


def known_flags() -> set[str]:
    """Returns the flags of the programs, Beam, scripts and benchmarks."""
    parsers = (
        beam_jobs.flags.make_prepare_parser(),
        inference.options.make_score_parser(),
        submit_parser(""),
        launcher.make_launch_parser(),
        make_run_parser(),
    )
    ours = {name for parser in parsers for name in _names(parser)}
    return ours | _trainer_flags() | set(PipelineOptions([]).get_all_options()) | set(_script_flags())


def _names(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _names(command)
        yield from (option.lstrip("-") for option in action.option_strings)


def _trainer_flags() -> set[str]:
    values = absl_flags.FlagValues()
    trainer.flags.define_flags(values)
    return {prefix + name for name in values for prefix in ("", "no")}


def _script_flags() -> Iterator[str]:
    for folder in ("benchmarks", "scripts"):
        for path in (ROOT / folder).glob("*.py"):
            yield from re.findall(r'add_argument\(\s*"--(\w+)"', path.read_text(encoding="utf-8"))
