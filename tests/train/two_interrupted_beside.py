"""What test_stopped_turns.py launches through torchrun: runs beside each other; one of two processes is signalled."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import torch.distributed as dist

from ltzoo.errors import Interrupted
from ltzoo.evaluate import plots
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, processes, side_by_side, train_all
from ltzoo.train.run_resources import RunResources
from ltzoo.train.step import Step

RECIPE = override(
    get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1), {"architecture": "test_resnet", "batch_size": 128}
)


def main() -> None:
    output, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    plots.save_figure = lambda figure, path: path.touch()
    state = processes.join_processes()
    # Runs take turns as on a GPU.
    told = {"device": SimpleNamespace(type="cuda"), "num_processes": 2, "process_index": rank}
    side_by_side.join_processes = lambda: SimpleNamespace(**told)
    side_by_side.RunResources = lambda device: RunResources(state.device)
    run, count = Step.run, []

    def run_then_signal(self: Step, *arguments):
        count.append(None)
        if len(count) == 4 and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(self, *arguments)

    Step.run = run_then_signal
    jobs = [(RECIPE, TrainOptions(Path("data"), output, seed=seed)) for seed in range(2)]
    try:
        train_all(jobs)
    except Interrupted as stopped:
        assert stopped.agreed and stopped.number == signal.SIGTERM
    else:
        raise AssertionError("it was not stopped")
    for seed in range(2):
        assert RunFolder(output / RECIPE.name / f"seed{seed}").last_state.exists(), seed
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
