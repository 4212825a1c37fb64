#!/usr/bin/env bash
# Creates .venv with the pinned dependencies and this package, unless it exists for this lock file.
# Takes the newest supported Python that runs, and keeps the Python of an environment that is there.
# PYTHON=3.12 chooses a version, PYTHON=/usr/bin/python3 an interpreter.
# Uses uv where it is installed, otherwise venv and pip.
set -euo pipefail
cd "$(dirname "$0")/.."

supported=(3.13 3.12 3.11)
modules="ctypes, ssl, sys"
uv="$(command -v uv || true)"
[[ -n "$uv" ]] || modules+=", ensurepip"

# Prints the version of an interpreter, such as 3.13, if it is supported and can make an environment. The interpreter is
# run, because a command may be there and fail: pyenv puts one on PATH for each version, and runs only the selected one.
version_of() {
  local version
  version="$("$1" -c "import $modules; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)" || return 1
  [[ " ${supported[*]} " == *" $version "* ]] && echo "$version"
}

# Prints the newest Python that runs, of the versions given.
find_python() {
  local version found pyenv="${PYENV_ROOT:-${HOME:-}/.pyenv}/versions"
  for version in "$@"; do
    for found in "python$version" "$pyenv/$version".*[0-9]/bin/python python3 python; do
      if [[ "$(version_of "$found")" == "$version" ]]; then
        echo "$found"
        return
      fi
    done
  done
}

# Whether .venv is an environment with pip of any supported Python, or of the given one.
has_environment() {
  local version
  version="$(version_of .venv/bin/python)" && [[ "$version" == "${1:-$version}" ]] &&
    .venv/bin/python -c "import pip" 2>/dev/null
}

python="${PYTHON:-}"
if [[ -z "$python" ]]; then
  if has_environment; then python=.venv/bin/python; else python="$(find_python "${supported[@]}")"; fi
elif [[ "$python" =~ ^3\.[0-9]+$ ]]; then
  if has_environment "$python"; then python=.venv/bin/python; else python="$(find_python "$python")"; fi
fi
if ! version="$(version_of "$python")"; then
  echo "error: Python 3.11, 3.12 or 3.13 with its module venv is needed${PYTHON:+, not $PYTHON}; on Debian and Ubuntu:" \
    "apt-get install python3-venv" >&2
  exit 2
fi
stamp=".venv/installed-$version-$(cat requirements.lock pyproject.toml | "$python" -c "import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])")"
if [[ -e "$stamp" ]] && has_environment "$version"; then
  exit 0
fi
echo "setup: installing the pinned dependencies for Python $version into .venv (a few minutes the first time)" >&2
if ! has_environment "$version"; then
  if [[ -n "$uv" ]]; then uv venv --quiet --clear --seed --python "$python" .venv; else "$python" -m venv --clear .venv; fi
fi
rm -f .venv/installed-*
if [[ -n "$uv" ]]; then
  install=(uv pip install --quiet --python .venv/bin/python)
else
  install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
fi
"${install[@]}" --requirement requirements.lock
"${install[@]}" --no-deps --no-build-isolation --editable .
touch "$stamp"
