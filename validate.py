"""Measure a checkpoint: `python validate.py --model NAME`."""

import sys

from ltzoo.cli.validate import main

if __name__ == "__main__":
    sys.exit(main())
