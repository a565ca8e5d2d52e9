"""What test_views.py launches through torchrun: a loss of two views with state, stopped, resumed, and refused."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from ltzoo.errors import InputError, Interrupted
from ltzoo.evaluate import plots
from ltzoo.losses import register_loss
from ltzoo.train import TrainOptions, train
from ltzoo.train.step import Step
from tests.train.two_views import TwoViews, TwoViewsModule, recipe


def main() -> None:
    output, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    plots.save_figure = lambda figure, path: path.touch()
    register_loss(TwoViews)
    run, end, count, equal = Step.run, Step.end, [], []

    def run_then_signal(self: Step, *arguments):
        count.append(None)
        if len(count) == signal_at and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(self, *arguments)

    def end_and_look(self: Step) -> bool:
        sound = end(self)
        if "whole" in where:
            own = torch.cat([value.detach().flatten().double() for value in self.criterion.state_dict().values()])
            both = [torch.empty_like(own) for _ in range(2)]
            dist.all_gather(both, own)
            equal.append(torch.equal(*both))
        return sound

    def attempt(folder: str, resume: bool = False) -> str:
        nonlocal where, said
        where = folder
        try:
            train(recipe(), TrainOptions(Path("data"), output / folder, workers=0, resume=resume))
        except (InputError, Interrupted) as error:
            said = str(error)
            return type(error).__name__
        return "done"

    Step.run, Step.end = run_then_signal, end_and_look
    where, said, signal_at = "", "", -1
    codes = [attempt("whole")]
    signal_at = len(count) + 6  # in the second epoch
    codes += [attempt("parts"), attempt("parts", resume=True)]
    TwoViewsModule.gathers = False
    codes.append(attempt("apart"))
    (output / f"{rank}.json").write_text(json.dumps({"codes": codes, "equal": equal, "said": said}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
