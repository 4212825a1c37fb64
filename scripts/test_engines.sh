#!/usr/bin/env bash
# Runs prepare and score on Beam's other engines and compares with the in-memory runner; fetches what it needs once.
# Arguments: engines that must run, of prism, portable and flink. Without: all that can be had on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
PYTHONPATH="$PWD" exec .venv/bin/pytest tests/engines -m engines -vv --engines="$*"
