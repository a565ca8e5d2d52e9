"""The training step as a CUDA graph: one launch instead of hundreds of kernels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.losses import LossModule
from ltzoo.recipes import Recipe, ScaledHead
from ltzoo.sharpness import Table
from ltzoo.train.step import Step

_WARM_UP_STEPS = 3
"""Eager steps before a capture: libraries choose their kernels during these, which is impossible while capturing."""

_MOST_SHAPES = 4
"""The most batch shapes to capture. An epoch usually has two: that of most batches and that of a smaller last one."""


def why_not_captured(
    recipe: Recipe, class_counts: Sequence[int], accelerator: Accelerator, num_features: int | None = None
) -> str | None:
    """Return the reason why a recipe's step cannot be captured; None if it can be."""
    if accelerator.device.type != "cuda":
        return f"{accelerator.device.type} has no CUDA graphs"
    if accelerator.num_processes > 1:
        return "there are several processes"
    if accelerator.scaler is not None:
        return "float16 uses a loss scaler; bfloat16 does not"
    if recipe.optimizer.kind != "sgd":
        return f"{recipe.optimizer.kind} creates its state in the first step"
    if recipe.optimizer.layer_decay is not None:
        return "the learning rate differs between groups of layers"
    if isinstance(recipe.head, ScaledHead) and recipe.head.lr_factor not in (0, 1):
        return "the learning rate differs within the head"
    if isinstance(recipe.loss.bind(class_counts, num_features), LossModule):
        return f"the loss {recipe.loss.name} keeps a state"
    epochs = recipe.schedule.epochs
    if any(recipe.perturbation.table(class_counts, epoch, epochs).direction != "gradient" for epoch in range(epochs)):
        return f"{recipe.perturbation.name} draws new noise in each step"
    return None


@dataclass(frozen=True)
class _Captured:
    """A captured step, and the tensors that it reads and writes; they must live as long as the graph."""

    images: Tensor
    targets: Tensor
    target_weights: Tensor | None
    table: Table
    loss: Tensor
    replay: Callable[[], object]


class CapturedStep(Step):
    """A step that is captured once for each stage of the recipe and each batch shape, and then replayed.

    Learning rate, radii and class weights are tensors on the device that are changed in place, so that schedules need
    no new capture. If a step cannot be captured, it runs eagerly.

    Args:
        recipe: see `Step`.
        class_counts: see `Step`.
        model: see `Step`.
        accelerator: see `Step`.
        seed: see `Step`.
        compile_backend: see `Step`.
        say: called with a message if a step cannot be captured.
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
        # A graph keeps the memory of all its activations; graphs of earlier stages are not needed any more.
        self.recorded = {key: captured for key, captured in self.recorded.items() if key[0] == self.stage}
        radii = torch.tensor(self.table.radii)
        self.radii_on_device.setdefault(self.stage, torch.zeros(len(radii), device=self.device)).copy_(radii)

    def __call__(self, images: Tensor, targets: Tensor, target_weights: Tensor | None = None) -> Tensor:
        """See `Step`. The next step overwrites the returned loss."""
        key = (self.stage, images.shape, targets.dim())  # targets have two dimensions while images are mixed
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
        """Capture a step, and restore weights, statistics, momentum and moving average afterwards."""
        if sum(key[0] == self.stage and key[2] == targets.dim() for key in self.recorded) == _MOST_SHAPES:
            raise ValueError(
                f"steps are captured for at most {_MOST_SHAPES} batch shapes, and {tuple(images.shape)} is one more; "
                "use batches of one size, or train without capture"
            )
        images, targets = images.clone(), targets.clone()
        table = self.table.with_radii(self.radii_on_device[self.stage])
        target_weights = None if target_weights is None else target_weights.clone()

        def step() -> Tensor:
            return self.run(images, targets, target_weights, table, self.weights_on_device)

        state = self._state()
        before = [value.clone() for value in state]
        try:
            # Dropout must draw the same numbers afterwards with and without a capture.
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                loss, replay = record(step, _WARM_UP_STEPS)
        finally:
            for value, was in zip(state, before, strict=True):
                value.copy_(was)
            self.optimizer.zero_grad()
        return _Captured(images, targets, target_weights, table, loss, replay)

    def _state(self) -> list[Tensor]:
        """Return all tensors that a step changes."""
        models = [self.model] if self.ema is None else [self.model, self.ema.module]
        momentum = [value for state in self.optimizer.state.values() for value in state.values()]
        return [value for model in models for value in model.state_dict().values()] + momentum


def record(step: Callable[[], Tensor], warm_up: int) -> tuple[Tensor, Callable[[], object]]:
    """Capture a function as a CUDA graph.

    Args:
        step: the function; it reads and writes tensors at fixed addresses.
        warm_up: number of eager calls before the capture.

    Returns:
        The tensor that `step` returned, which each replay overwrites, and the function that replays the graph.
    """
    # A separate stream: libraries keep a workspace per stream, and graphs of other runs may run at the same time.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warm_up):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads, such as the one that pins a loader's batches, may call CUDA during the capture.
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        loss = step()
    return loss, graph.replay
