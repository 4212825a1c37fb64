#!/usr/bin/env bash
# Creates .venv with the pinned dependencies and this package, unless it exists for this lock file.
# Set PYTHON to use another interpreter than python3.11.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-$(command -v python3.11 || command -v python3 || true)}"
if [[ -z "$python" ]] || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  echo "error: Python 3.11 is needed (the lock file is made for it), found: $("${python:-python3}" --version 2>&1 || true)" >&2
  exit 2
fi
stamp=".venv/installed-$(cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)"
if [[ -e "$stamp" ]]; then
  exit 0
fi
echo "setup: installing the pinned dependencies into .venv (a few minutes the first time)" >&2
if ! "$python" -m venv .venv; then
  echo "error: cannot create .venv; on Debian and Ubuntu: apt-get install python3.11-venv" >&2
  exit 2
fi
.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.lock
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
rm -f .venv/installed-*
touch "$stamp"
