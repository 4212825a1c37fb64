#!/usr/bin/env bash
# Creates the environment if needed, then runs all checks and tests. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
lint-imports
# Two processes, because most tests keep one core busy. The tests of a file stay together, to share their fixtures.
pytest -n 2 --dist loadfile "$@"
