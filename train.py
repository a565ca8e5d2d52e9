"""Train a recipe: `python train.py --recipe NAME`, in several processes `accelerate launch train.py --recipe NAME`."""

import sys

from ltzoo.__main__ import run_command

if __name__ == "__main__":
    sys.exit(run_command("train", sys.argv[1:], "train.py"))
