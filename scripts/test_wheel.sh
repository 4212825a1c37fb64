#!/usr/bin/env bash
# Builds the package, installs its wheel with the pinned versions into an empty environment, and runs the steps of the
# quickstart in small, in an empty folder: nothing is read from the checkout.
# An argument is a folder to which the source distribution and the wheel are copied.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
# Apart from the folder given, which may hold other wheels.
dist="$folder/dist"
.venv/bin/python -m build --no-isolation --outdir "$dist" . >"$folder/build.log" 2>&1 || { cat "$folder/build.log" >&2; exit 1; }
wheel="$(ls "$dist"/*.whl)"
if [ $# -gt 0 ]; then
  mkdir -p "$1"
  cp "$dist"/* "$1"
fi
.venv/bin/python -m venv "$folder/env"
unset PYTHONPATH
export PATH="$folder/env/bin:$PATH"
pip install --quiet --disable-pip-version-check --constraint requirements.lock "$wheel[cpu]"
pip check

mkdir "$folder/empty"
cd "$folder/empty"
python -m retinanet_odm.samples sample --images=48 --archive_images=4
retinanet-data check --images 'sample/images/*' --annotations 'sample/annotations/*.xml' --output data
retinanet-data prepare --images 'sample/images/*' --annotations 'sample/annotations/*.xml' --output data \
  --splits train=0.8,val=0.2
retinanet-train --mode=train_and_eval --preset=tiny --dataset=data --model_dir=model --num_epochs=1
retinanet-score score --images sample/archive.zip --model model/export --output scored --formats=counts,cvat,report
retinanet-score evaluate scored --annotations 'sample/archive_truth/*.xml'
retinanet-tpu --help >/dev/null
retinanet-odm --help >/dev/null
test "$(cat scored/predictions-*.jsonl | wc -l)" -eq 4
ls data/report.html model/eval.html scored/counts.csv scored/report.html
echo "the wheel passed: $(basename "$wheel")"
