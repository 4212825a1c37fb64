"""tune_gc: an interpreter that ends does not walk through all that it holds; nothing else changes."""

import gc
import subprocess
import sys

_SCRIPT = """
import atexit, gc, sys
atexit.register(lambda: print("frozen" if gc.get_freeze_count() else "not frozen"))  # runs after what comes later
from retinanet_odm.cli.program import tune_gc
tune_gc()
print(gc.isenabled(), gc.get_threshold()[0] > 700)
"""


def test_garbage_is_looked_for_seldom_and_not_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["True True", "frozen", ""]
    assert gc.get_freeze_count() == 0, "of this process nothing is frozen"
