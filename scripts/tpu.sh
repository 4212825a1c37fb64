#!/usr/bin/env bash
# Trains on a TPU VM that is created for the run and removed after it: python -m trainer.submit in the repository's .venv.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
"$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -m trainer.submit "$@"
