"""Flex Templates: the console's form from our flags, and our flags from the parameters of the form."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud.dataflow_v1beta3.types import TemplateMetadata

import beam_jobs.flags
import inference.options
from retinanet_odm.beam.options import beam_options
from retinanet_odm.dataflow.flex_templates import template_flags
from retinanet_odm.errors import UsageError
from scripts.make_templates import make_templates

ROOT = Path(__file__).parents[3]
PREPARE = beam_jobs.flags.make_prepare_parser().commands["prepare"]
SCORE = inference.options.make_score_parser().commands["score"]
FILES = ["prepare-metadata.json", "score-metadata.json"]


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_those_of_the_flags_and_google_understands_them(name):
    text = (ROOT / "containers" / name).read_text()
    assert json.loads(text) == make_templates()[name], "run python scripts/make_templates.py"
    metadata = TemplateMetadata.from_json(text)  # raises for a field or a kind that it does not know
    assert all(parameter.help_text and parameter.label for parameter in metadata.parameters)


def test_a_field_that_google_does_not_know_is_found():
    with pytest.raises(Exception, match="parameter"):
        TemplateMetadata.from_json('{"name": "x", "parameter": []}')


@pytest.mark.parametrize("name", FILES)
def test_no_parameter_has_a_name_that_beam_would_take(name):
    names = {parameter["name"] for parameter in make_templates()[name]["parameters"]}
    assert names & set(PipelineOptions([]).get_all_options()) == {"sdk_container_image"}


KINDS = [
    ("images", "TEXT", "several patterns"),
    ("output", "GCS_WRITE_FOLDER", "a folder"),
    ("label_map", "GCS_READ_FILE", "a file, under another name than Beam's"),
    ("resume", "BOOLEAN", "a switch"),
    ("verify", "ENUM", "one of two"),
    ("max_side", "NUMBER", "a number"),
]


@pytest.mark.parametrize(("name", "kind", "reason"), KINDS)
def test_the_console_asks_for_the_right_kind(name, kind, reason):
    parameters = make_templates()["prepare-metadata.json"]["parameters"]
    (parameter,) = [parameter for parameter in parameters if parameter["name"] == name]
    assert parameter["paramType"] == kind, reason
    assert parameter["isOptional"] == (name != "output")
    assert "%(" not in parameter["helpText"]


WORDS = [
    (PREPARE, "--images=gs://b/a/* gs://b/c/*", ["--images", "gs://b/a/*", "gs://b/c/*"], "several"),
    (PREPARE, "--images='gs://b/a b/*'", ["--images", "gs://b/a b/*"], "one with a space"),
    (PREPARE, "--resume=true", ["--resume"], "a switch that is on"),
    (PREPARE, "--resume=False", [], "a switch that is off"),
    (PREPARE, "--label_map=gs://b/l", ["--labels=gs://b/l"], "a flag of ours whose name Beam has taken"),
    (PREPARE, "--labels=goog-x=flex", ["--label=goog-x=flex"], "the job's labels, from Dataflow's launcher"),
    (PREPARE, "--split_group=a=(b)", ["--split_group=a=(b)"], "a value with an equals sign"),
    (PREPARE, "--id_map=", [], "left empty in the console"),
    (SCORE, "--num_shards=4", ["--num_shards=4"], "a number"),
    (SCORE, "--region=r", ["--region=r"], "a flag of Beam's"),
]


@pytest.mark.parametrize(("parser", "word", "flags", "reason"), WORDS)
def test_words_of_the_launcher(parser, word, flags, reason):
    assert template_flags(parser, [word]) == [*flags, "--no_wait_until_finish"], reason


BAD = [
    ("--resume=maybe", "resume: expected true or false, found 'maybe'", "no switch"),
    ("--images='gs://b", "images: cannot split the values in", "a quote that is not closed"),
]


@pytest.mark.parametrize(("word", "line", "reason"), BAD)
def test_bad_words_of_the_launcher(word, line, reason):
    with pytest.raises(UsageError, match=line):
        pytest.fail(f"{reason}: {template_flags(PREPARE, [word])}")


def test_what_dataflows_launcher_passes_is_understood():
    """As the launcher's log shows it in Google's documentation."""
    passed = shlex.split(
        "--images=gs://b/i/* --annotations=gs://b/a/*.xml --output=gs://b/o --runner=DataflowRunner --project=p"
        " --template_location=gs://b/staging/template_launches/1/job_object --temp_location=gs://b/tmp --job_name=j"
        " --region=r --staging_location=gs://b/staging --num_workers=1 --max_num_workers=5 --service_account_email=w@p"
        " --labels=goog-dataflow-provided-template-type=flex --experiments=use_runner_v2 --sdk_container_image=i"
    )
    flags, rest = PREPARE.parse_known_args(template_flags(PREPARE, passed))
    assert (flags.images, flags.output) == (["gs://b/i/*"], "gs://b/o")
    options = beam_options(rest).get_all_options()
    assert options["labels"] == ["goog-dataflow-provided-template-type=flex"] and options["no_wait_until_finish"]


def test_the_files_are_written_where_they_are_wanted(tmp_path):
    command = [sys.executable, "scripts/make_templates.py", "--folder", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
