#!/usr/bin/env bash
# Sets up what is missing, then checks and tests everything. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
lint-imports
# Two at once: most tests keep one core busy. A file's tests stay together, and with them what they share.
pytest -n 2 --dist loadfile "$@"
