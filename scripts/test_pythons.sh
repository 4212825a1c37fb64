#!/usr/bin/env bash
# Runs a selection of the tests on each supported Python that is installed: the help of every program, files and archives,
# annotations, a data set, a training, an export and a scored archive. Each Python has an environment of its own in a
# copy of the checkout, in a temporary folder. Arguments: the versions to test; default: 3.11 3.12 3.13.
set -euo pipefail
cd "$(dirname "$0")/.."
selection=(tests/test_entry_points.py
  tests/retinanet_odm/annotations tests/retinanet_odm/imaging tests/retinanet_odm/storage
  tests/beam_jobs/test_prepare.py tests/trainer/test_run.py tests/inference/test_score.py)
[[ $# -gt 0 ]] || set -- 3.11 3.12 3.13

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
outcomes=() passed=0 failed=0
for version in "$@"; do
  printf '\n== Python %s\n' "$version"
  copy="$folder/$version"
  mkdir "$copy"
  git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- |
    tar --extract --directory="$copy"
  status=0
  (cd "$copy" && PYTHON="$version" scripts/setup.sh) || status=$?
  if [[ $status -eq 2 && ! -e "$copy/.venv" ]]; then
    outcomes+=("Python $version: not installed")
  elif [[ $status -eq 0 ]] && (cd "$copy" && PATH="$copy/.venv/bin:$PATH" pytest -n 2 --dist loadfile "${selection[@]}"); then
    outcomes+=("Python $version: passed") passed=1
  else
    outcomes+=("Python $version: FAILED") failed=1
  fi
  rm -rf "$copy"
done
printf '\n'
printf '%s\n' "${outcomes[@]}"
[[ $failed -eq 0 && $passed -eq 1 ]]
