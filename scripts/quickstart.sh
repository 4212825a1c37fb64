#!/usr/bin/env bash
# Runs the complete workflow on a small synthetic data set: sample, prepare, train, export, score, detect, evaluate.
# Writes everything to quickstart/ (or the given folder); a second run reuses the folder, and may replace what it holds.
set -euo pipefail
out="$(realpath -m "${1:-"$(dirname "$0")/../quickstart"}")"
cd "$(dirname "$0")/.."
if [[ "$out" == *[\[*?]* ]]; then
  echo "error: $out: a folder with [, * or ? in its name would be read as a pattern; choose another" >&2
  exit 2
fi
# Relative if it is in the repository, so that the lines of the log are short.
out="$(realpath -m --relative-to=. --relative-base=. "$out")"

scripts/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
say() { printf '\n== %s\n' "$*"; }

say "1/6 sample: synthetic seafloor images with known animals"
python scripts/make_sample.py "$out/sample"

say "2/6 prepare: images and Pascal VOC XML to a TFRecord data set, each deployment in one split"
python -m beam_jobs prepare --images "$out/sample/images/*" --annotations "$out/sample/annotations/*.xml" \
  --output "$out/dataset" --splits train=0.8,val=0.2 --split_group=deployment --replace

say "3/6 train, evaluate and export: RetinaNet from random weights"
python -m trainer --mode=train_and_eval --preset=tiny --dataset="$out/dataset" --model_dir="$out/model" \
  --num_epochs="${EPOCHS:-12}"

say "4/6 score: an archive of deployments that the model has never seen (one image is corrupt on purpose)"
python -m inference score --images "$out/sample/archive.zip" --model "$out/model/export" --output "$out/scored" \
  --replace

say "5/6 detect: boxes drawn on images of the validation split"
mapfile -t held_out < <(awk -F, -v dir="$out/sample/images/" '$3 == "val" { print dir $2 }' "$out/dataset/id_map.csv" | head -4)
python -m inference detect "${held_out[@]}" --model "$out/model/export" --draw "$out/drawn"

say "6/6 evaluate: what was found in the archive, against what is there"
python -m inference evaluate "$out/scored" --annotations "$out/sample/archive_truth/*.xml" --replace

say "done"
python - "$out" <<'PY'
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])
metrics = json.loads((out / "model" / "eval.json").read_text())
counts = json.loads((out / "scored" / "evaluation.json").read_text())["details"]["counts"]
counts = ", ".join(f"{name} {count['found']} / {count['true']}" for name, count in counts.items())
print(f"AP50 on the validation deployments: {metrics['AP50']:.3f} ({metrics['images']} images)")
print(f"counts in the archive, found / true: {counts}")
print(f"data set report:  {out / 'dataset' / 'report.html'}")
print(f"evaluation:       {out / 'model' / 'eval.html'}")
print(f"detections:       {out / 'scored'}/predictions-*.jsonl")
print(f"drawn boxes:      {out / 'drawn'}")
PY
