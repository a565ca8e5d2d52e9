"""What test_interrupts.py starts: the command that trains; in a step, another process sends its group a SIGTERM."""

import subprocess
import sys
import time

from ltzoo.cli import train
from ltzoo.train.step import Step

SEND = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.killpg(0, signal.SIGTERM)"


def main() -> None:
    run, count = Step.run, []

    def signal_group_then_run(self: Step, *arguments):
        count.append(None)
        if len(count) == 2:
            subprocess.run([sys.executable, "-c", SEND], check=True)
            time.sleep(0.5)  # in which torch would notice that workers have ended
        return run(self, *arguments)

    Step.run = signal_group_then_run
    sys.exit(train.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
