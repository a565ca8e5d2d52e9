"""What test_processes.py launches through torchrun: the command that trains, several times in one launch."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from ltzoo.cli import train
from ltzoo.train.step import Step

NAME = "resnet20_digitslt_la_ssesam"


def main() -> None:
    output, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    ended: list[torch.Tensor] = []
    end = Step.end

    def end_and_look(self: Step) -> bool:
        sound = end(self)
        ended.append(torch.cat([value.detach().flatten().double() for value in self.model.state_dict().values()]))
        return sound

    Step.end = end_and_look
    command = ["--recipe", NAME, "--epochs", "2", "--lr", "0.001", "--output", str(output)]
    codes = [
        train.main(command),
        train.main(command),  # the folder is there
        train.main([*command, "--resume"]),  # and finished
        train.main([*command, "--seed", "1", "--set", "ascent=local", "--epochs", "1"]),
        train.main([*command, "--seed", "2", "-b", "437"]),  # 438 images
    ]
    equal = []
    for state in ended:
        other = [torch.empty_like(state) for _ in range(2)]
        dist.all_gather(other, state)
        equal.append(torch.equal(*other))
    (output / f"{rank}.json").write_text(json.dumps({"codes": codes, "equal": equal}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
