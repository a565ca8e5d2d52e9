"""Measure a checkpoint: `python validate.py --model NAME`."""

import sys

from ltzoo.__main__ import run_command

if __name__ == "__main__":
    sys.exit(run_command("validate", sys.argv[1:], "validate.py"))
