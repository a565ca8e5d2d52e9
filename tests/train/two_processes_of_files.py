"""What test_files_in_processes.py launches through torchrun: the command, several times in one launch."""

import json
import os
import sys
from pathlib import Path

import torch.distributed as dist

from ltzoo.evaluate import plots
from tests.train.folders import code_of
from tests.train.test_files_in_processes import RUNS


def main() -> None:
    root, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    plots.save_figure = lambda figure, path: path.touch()  # painting takes as long as an epoch
    data, codes = root / "data", {}
    for where, (name, options) in RUNS.items():
        codes[where] = code_of(data, root / "two" / where, *options, name=name)
    name, options = RUNS["frozen sgd"]
    codes["of one"] = code_of(data, root / "one" / "frozen sgd", *options, "--resume", name=name)
    codes["nowhere"] = code_of(root / "nowhere", root / "two" / "nowhere", *options, name=name)
    codes["no weights"] = code_of(data, root / "two" / "none", *options, "--initial-checkpoint", "x.pth", name=name)
    codes["unreadable"] = code_of(
        root / "spoilt", root / "two" / "spoilt", *options, "--skip-unreadable", "0", name=name
    )
    codes["skipped"] = code_of(root / "spoilt", root / "two" / "spoilt", *options, "--skip-unreadable", "1", name=name)
    (root / f"{rank}.json").write_text(json.dumps(codes))
    dist.barrier()
    sys.stderr.write("\nthe end\n")
    # The second test image is the second process's; the first waits for it. An error in one ends both.
    sys.exit(code_of(root / "spoilt", root / "two" / "met", *options, name=name))


if __name__ == "__main__":
    main()
