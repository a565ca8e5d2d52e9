"""One of two processes that test_process_failure.py starts: the second fails, and stays as a process that does not end.

It must not be seen to end, as NCCL does not see it.
"""

import os
import signal
import sys
import time

from ltzoo.cli import train
from ltzoo.errors import InputError
from ltzoo.train import preparation
from ltzoo.train.run import Run

REFUSAL = "this device has no bfloat16; use float32"


def main() -> None:
    where, output = sys.argv[1:]

    def refuse(*arguments: object) -> None:
        if os.environ["RANK"] == "1":
            raise InputError(REFUSAL)

    def fail(*arguments: object) -> None:
        if os.environ["RANK"] == "1":
            raise TypeError("a fault of ours")

    def be_stopped(*arguments: object) -> None:
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)

    if where == "alone":
        preparation.check_classes_drawn = refuse
    elif where == "agreed":
        preparation.find_start = fail
    elif where == "training":
        Run._announce = fail  # type: ignore[method-assign]  # the run folder exists by then
    else:
        preparation.find_start = be_stopped
    try:
        recipe = ["--recipe", "resnet20_digitslt_ce_sgd", "--arch", "test_resnet", "--epochs", "1"]
        code = train.main([*recipe, "--output", output])
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr, flush=True)
        code = 1
    print(f"code {code}", flush=True)
    if os.environ["RANK"] == "1":
        time.sleep(600)
    os._exit(code)


if __name__ == "__main__":
    main()
