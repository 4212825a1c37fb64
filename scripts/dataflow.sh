#!/usr/bin/env bash
# Starts prepare, check, export or score on Dataflow: see scripts/dataflow.sh --help.
set -euo pipefail
root="$(realpath "$(dirname "$0")/..")"
"$root/scripts/setup.sh"
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m retinanet_odm.dataflow.launcher "$@"
