"""The training step as a CUDA graph: one launch instead of hundreds of kernels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.losses import LossModule
from ltzoo.recipes import Recipe
from ltzoo.sharpness import Table
from ltzoo.train.step import Step

_WARM_UP_STEPS = 3
"""Libraries choose their kernels in these, which cannot happen during a capture."""

_MOST_SHAPES = 4
"""An epoch has batches of one shape and a smaller last one; a capture for each of many shapes would not pay."""


def why_not_captured(recipe: Recipe, class_counts: Sequence[int], accelerator: Accelerator) -> str | None:
    """Return why a recipe's step cannot be captured here, or None."""
    if accelerator.device.type != "cuda":
        return f"there are no graphs on {accelerator.device.type}"
    if accelerator.num_processes > 1:
        return "several processes take part"
    if accelerator.scaler is not None:
        return "a loss scaler takes part; bfloat16 needs none"
    if recipe.optimizer.kind != "sgd":
        return f"{recipe.optimizer.kind} makes its state in the first step"
    if recipe.optimizer.layer_decay is not None:
        return "each group of layers has a learning rate of its own"
    if isinstance(recipe.loss.bind(class_counts, num_features=1), LossModule):
        return f"the loss {recipe.loss.name} keeps a state"
    epochs = recipe.schedule.epochs
    if any(recipe.perturbation.table(class_counts, epoch, epochs).direction != "gradient" for epoch in range(epochs)):
        return f"{recipe.perturbation.name} draws its noise anew for each step"
    return None


@dataclass(frozen=True)
class _Captured:
    """A recorded step, with the memory that it reads and writes, which must stay as long as the recording."""

    images: Tensor
    targets: Tensor
    target_weights: Tensor | None
    table: Table
    loss: Tensor
    replay: Callable[[], object]


class CapturedStep(Step):
    """A step that is recorded once for each stage of the recipe and each shape of a batch, then replayed.

    Learning rate, radii and class weights lie on the device and are changed in place, so that a schedule needs no new
    recording. Where the device refuses the recording, the step runs eagerly.

    Args:
        recipe: see `Step`.
        class_counts: see `Step`.
        model: see `Step`.
        accelerator: see `Step`.
        seed: see `Step`.
        compile_backend: see `Step`.
        say: tells the user that the step runs eagerly after all.
    """

    def __init__(
        self,
        recipe: Recipe,
        class_counts: Sequence[int],
        model: nn.Module,
        accelerator: Accelerator,
        seed: int,
        compile_backend: str | None,
        say: Callable[[str], None],
    ) -> None:
        device = accelerator.device
        self.say, self.possible = say, True
        self.lr_on_device = torch.zeros((), device=device)
        self.weights_on_device = torch.zeros(len(class_counts), device=device)
        self.radii_on_device: dict[tuple, Tensor] = {}
        self.recorded: dict[tuple, _Captured] = {}
        super().__init__(recipe, class_counts, model, accelerator, seed, compile_backend)

    def begin(self, epoch: int) -> None:
        """See `Step.begin`."""
        super().begin(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_on_device
        self.lr_on_device.fill_(self.lr)
        self.weights_on_device.copy_(self.class_weights)
        self.stage = self.table.structure
        # A recording holds on to all its activations; what an earlier stage recorded is not replayed again.
        self.recorded = {key: captured for key, captured in self.recorded.items() if key[0] == self.stage}
        radii = torch.tensor(self.table.radii)
        self.radii_on_device.setdefault(self.stage, torch.zeros(len(radii), device=self.device)).copy_(radii)

    def __call__(self, images: Tensor, targets: Tensor, target_weights: Tensor | None = None) -> Tensor:
        """See `Step`. The loss returned is overwritten by the next step."""
        key = (self.stage, images.shape)
        if self.possible and key not in self.recorded:
            try:
                self.recorded[key] = self._capture(images, targets, target_weights)
            except RuntimeError as error:
                self.possible = False
                self.recorded.clear()
                self.say(f"the step cannot be captured ({' '.join(str(error).split())[:200]}); it runs eagerly")
        if not self.possible:
            return super().__call__(images, targets, target_weights)
        captured = self.recorded[key]
        captured.images.copy_(images)
        captured.targets.copy_(targets)
        if captured.target_weights is not None and target_weights is not None:
            captured.target_weights.copy_(target_weights)
        captured.replay()
        return captured.loss

    def _capture(self, images: Tensor, targets: Tensor, target_weights: Tensor | None) -> _Captured:
        """Record a step; it leaves no trace in weights, statistics, momentum and average."""
        if sum(stage == self.stage for stage, _ in self.recorded) == _MOST_SHAPES:
            raise ValueError(
                f"a captured step is for batches of few shapes, and {tuple(images.shape)} is one too many: "
                "give all batches one size, or train without capture"
            )
        images, targets = images.clone(), targets.clone()
        table = self.table.with_radii(self.radii_on_device[self.stage])
        target_weights = None if target_weights is None else target_weights.clone()

        def step() -> Tensor:
            return self.run(images, targets, target_weights, table, self.weights_on_device)

        state = self._state()
        before = [value.clone() for value in state]
        try:
            # What dropout draws afterwards is the same whether a step was recorded or not.
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                loss, replay = record(step, _WARM_UP_STEPS)
        finally:
            for value, was in zip(state, before, strict=True):
                value.copy_(was)
            self.optimizer.zero_grad()
        return _Captured(images, targets, target_weights, table, loss, replay)

    def _state(self) -> list[Tensor]:
        """All that a step changes."""
        models = [self.model] if self.ema is None else [self.model, self.ema.module]
        momentum = [value for state in self.optimizer.state.values() for value in state.values()]
        return [value for model in models for value in model.state_dict().values()] + momentum


def record(step: Callable[[], Tensor], warm_up: int) -> tuple[Tensor, Callable[[], object]]:
    """Record what a function does on the device.

    Args:
        step: reads and writes tensors that stay where they are.
        warm_up: how often it is run before.

    Returns:
        What `step` returned, as memory that each replay fills anew; and the replay.
    """
    # A stream of its own: libraries keep a workspace for each, and recordings of other runs are replayed beside this.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warm_up):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads, the one that pins a loader's batches, may call CUDA meanwhile.
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        loss = step()
    return loss, graph.replay
