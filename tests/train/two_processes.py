"""What test_processes.py launches through torchrun: the command that trains, several times in one launch."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from ltzoo.cli import train
from ltzoo.evaluate import plots
from ltzoo.train.step import Step

NAME = "resnet20_digitslt_la_sam"


def main() -> None:
    output, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    ended: list[torch.Tensor] = []
    end = Step.end

    def end_and_look(self: Step) -> bool:
        sound = end(self)
        ended.append(torch.cat([value.detach().flatten().double() for value in self.evaluated.state_dict().values()]))
        if "interrupted" in str(folder) and len(ended) == interrupt_at:
            raise KeyboardInterrupt
        return sound

    def run(where: str, *options: str) -> int:
        nonlocal folder
        folder = output / where
        return train.main(
            [
                *f"--recipe {NAME} --arch test_resnet --epochs 1 --lr 0.001 -b 128 --output".split(),
                str(folder),
                *options,
            ]
        )

    folder, interrupt_at = output, -1
    plots.save_figure = lambda figure, path: path.touch()  # painting takes as long as an epoch
    Step.end = end_and_look
    ema = ("--seed", "3", "--epochs", "2", "--model-ema", "--model-ema-decay", "0.9", "--save-epochs", "1")
    codes = [
        run("whole"),
        run("whole"),  # the folder is there
        run("whole", "--resume"),  # and finished
        run("whole", "--seed", "1", "--set", "ascent=local"),
        run("whole", "--seed", "2", "-b", "437"),  # 438 images
        run("whole", *ema),
    ]
    interrupt_at = len(ended) + 2
    codes += [run("interrupted", *ema), run("interrupted", *ema, "--resume"), run("tuned", "--tune")]
    equal = []
    for state in ended:
        other = [torch.empty_like(state) for _ in range(2)]
        dist.all_gather(other, state)
        equal.append(torch.equal(*other))
    (output / f"{rank}.json").write_text(json.dumps({"codes": codes, "equal": equal}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
