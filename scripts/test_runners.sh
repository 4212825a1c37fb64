#!/usr/bin/env bash
# Runs prepare and score on Beam's other runners and compares the files with those of the in-memory runner.
# Downloads what a runner needs once. Arguments: runners that must run, of prism, portable, spark and flink; default: all
# that are available on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
PYTHONPATH="$PWD" exec .venv/bin/pytest tests/runners -m runners -vv --runners="$*"
