"""The table of formats: every entry can be called, and the table itself loads no format."""

import subprocess
import sys

import pytest

from retinanet_odm.predictions.formats import EXPORTERS, Exporter
from tests.retinanet_odm.prediction_rows import ROWS, RUN

FILES = [pytest.param(exporter, id=name) for files in EXPORTERS.values() for name, exporter in files.items()]


@pytest.mark.parametrize("exporter", FILES)
def test_every_exporter_yields_bytes(exporter: Exporter) -> None:
    assert all(isinstance(piece, bytes) for piece in exporter(ROWS, RUN))
    assert b"".join(exporter(ROWS, RUN)) == b"".join(exporter(ROWS, RUN)), "equal rows make equal bytes"


def test_file_names_are_distinct() -> None:
    names = [name for files in EXPORTERS.values() for name in files]
    assert len(set(names)) == len(names)


def test_the_table_loads_no_format() -> None:
    code = (
        "import sys, retinanet_odm.predictions.formats; print({'lxml', 'pyarrow', 'PIL', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
