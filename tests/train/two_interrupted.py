"""What test_interrupts.py launches through torchrun: a run that one of two processes is asked to stop, and resumed."""

import os
import signal
import sys
from pathlib import Path

import torch.distributed as dist

from ltzoo.cli import train
from ltzoo.evaluate import plots
from ltzoo.train.step import Step

NAME = "resnet20_digitslt_la_sam"


def main() -> None:
    output, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    plots.save_figure = lambda figure, path: path.touch()
    run, count = Step.run, []

    def run_then_signal(self: Step, *arguments):
        count.append(None)
        if len(count) == signal_at and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(self, *arguments)

    def command(where: str, *options: str) -> int:
        words = f"--recipe {NAME} --arch test_resnet --epochs 2 --lr 0.001 -b 128 --output {output / where}"
        ema = ("--model-ema", "--model-ema-decay", "0.9", "--set", "ascent=local")
        return train.main([*words.split(), *ema, *options])

    Step.run, signal_at = run_then_signal, -1
    codes = [command("whole")]
    signal_at = len(count) + 3
    codes.append(command("parts"))
    signal_at = len(count) + 2  # in the second epoch
    codes += [command("parts", "--resume"), command("parts", "--resume")]
    assert codes == [0, 143, 143, 0], codes
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
