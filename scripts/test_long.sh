#!/usr/bin/env bash
# Runs the tests marked long, which test.sh leaves out: trainings that are killed, of several replicas and hosts, of every
# recipe, and the notebooks. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
exec .venv/bin/pytest -n 2 -m long "$@"
