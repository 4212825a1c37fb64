"""Runs commands one after the other in one process, since a start takes seconds: python commands.py JSON."""

import importlib
import json
import sys


def _run(program: str, *words: str) -> int:
    main = importlib.import_module(f"{program}.main").main
    return main(words)


if __name__ == "__main__":
    for command in json.loads(sys.argv[1]):
        status = _run(*command)
        print(f"exit status {status}: {' '.join(command)}", flush=True)
        if status:
            sys.exit(status)
