#!/usr/bin/env bash
# Makes docs/pictures/overview.jpg, the picture of the README: an image that the quickstart's detector has scored, and
# the top of the report of the scored archive. Run scripts/quickstart.sh first; needs Chromium (Debian: chromium).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
out="${1:-quickstart}"

python -m inference convert "$out/scored" --formats=report --replace
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking \
  --user-data-dir="$work/profile" --window-size=1180,1120 --screenshot="$work/report.png" \
  "file://$(realpath "$out/scored/report.html")" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
python - "$work/report.png" "$(find "$out/drawn" -name '*.jpg' -o -name '*.JPG' -o -name '*.png' | sort | head -1)" <<'PY'
import sys

from PIL import Image

HEIGHT = 560  # pixels of the picture, which is shown at half its size on dense screens
report, drawn = (Image.open(path).convert("RGB") for path in sys.argv[1:])
sheet = [image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS) for image in (drawn, report)]
picture = Image.new("RGB", (sum(image.width for image in sheet) + 16, HEIGHT), "white")
picture.paste(sheet[0], (0, 0))
picture.paste(sheet[1], (sheet[0].width + 16, 0))
picture.save("docs/pictures/overview.jpg", quality=88, optimize=True)
PY
