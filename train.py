"""Train a recipe: `python train.py --recipe NAME`, in several processes `accelerate launch train.py --recipe NAME`."""

import sys

from ltzoo.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
