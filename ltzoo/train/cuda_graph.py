"""The training step as a CUDA graph: one launch instead of hundreds of kernels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.errors import InputError, first_line, root_cause
from ltzoo.losses import LossModule
from ltzoo.recipes import Recipe, ScaledHead
from ltzoo.sharpness import Table
from ltzoo.train.run_resources import RunResources
from ltzoo.train.step import Step

_WARM_UP_STEPS = 3
"""Eager steps before a capture: libraries choose their kernels during these, which is impossible while capturing."""

_MOST_SHAPES = 4
"""The most batch shapes to capture. An epoch usually has two: that of most batches and that of a smaller last one."""


class CaptureError(InputError):
    """A capture failed; the allocator and the stream of this process cannot be trusted any more.

    The message is the error that came first: torch's own, of the end of the capture, only follows from it.
    """


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
    criterion = recipe.loss.bind(class_counts, num_features)
    if isinstance(criterion, LossModule):
        return f"the loss {recipe.loss.name} {_what_changes(criterion)}"
    epochs = recipe.schedule.epochs
    if any(recipe.perturbation.table(class_counts, epoch, epochs).direction != "gradient" for epoch in range(epochs)):
        return f"{recipe.perturbation.name} draws new noise in each step"
    return None


def _what_changes(criterion: LossModule) -> str:
    """Say what a captured step of a loss would not restore or follow."""
    kind = type(criterion)
    if kind.commit is not LossModule.commit or any(True for _ in criterion.parameters()):
        return "keeps a state"
    return "changes over the epochs" if kind.begin is not LossModule.begin else "may keep a state"


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
    no new capture. No step is eager, so that a run whose steps are of this class has replayed all of them.

    Args:
        recipe: see `Step`.
        class_counts: see `Step`.
        model: see `Step`.
        accelerator: see `Step`.
        seed: see `Step`.
        compile_backend: see `Step`.
        resources: the run's stream, on which its graphs are captured, and the memory pool that they share.
    """

    def __init__(
        self,
        recipe: Recipe,
        class_counts: Sequence[int],
        model: nn.Module,
        accelerator: Accelerator,
        seed: int,
        compile_backend: str | None,
        resources: RunResources,
    ) -> None:
        device = accelerator.device
        self.resources = resources
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
        radii = torch.tensor(self.table.radii)
        self.radii_on_device.setdefault(self.stage, torch.zeros(len(radii), device=self.device)).copy_(radii)

    def __call__(self, images: Tensor, targets: Tensor, target_weights: Tensor | None = None) -> Tensor:
        """See `Step`. The next step overwrites the returned loss.

        Raises:
            CaptureError: the capture failed; nothing may be computed in this process any more.
            InputError: there are too many batch shapes.
        """
        key = (self.stage, images.shape, targets.dim())  # targets have two dimensions while images are mixed
        if key not in self.recorded:
            self.recorded[key] = self._capture(images, targets, target_weights)
            # Graphs of earlier stages are not needed any more. They go after the capture: their pool, which the new
            # graph shares, ends with its last graph.
            self.recorded = {key: captured for key, captured in self.recorded.items() if key[0] == self.stage}
        captured = self.recorded[key]
        captured.images.copy_(images)
        captured.targets.copy_(targets)
        if captured.target_weights is not None and target_weights is not None:
            captured.target_weights.copy_(target_weights)
        captured.replay()
        return captured.loss

    def _capture(self, images: Tensor, targets: Tensor, target_weights: Tensor | None) -> _Captured:
        """Capture a step, and restore weights, statistics, momentum, moving average and random states afterwards."""
        if sum(key[0] == self.stage and key[2] == targets.dim() for key in self.recorded) == _MOST_SHAPES:
            raise InputError(
                f"steps are captured for at most {_MOST_SHAPES} batch shapes, and {tuple(images.shape)} is one more; "
                "use batches of one size, or train without capture (--eager)"
            )
        images, targets = images.clone(), targets.clone()
        table = self.table.with_radii(self.radii_on_device[self.stage])
        target_weights = None if target_weights is None else target_weights.clone()

        def step() -> Tensor:
            return self.run(images, targets, target_weights, table, self.weights_on_device)

        state = self._state()
        before = [value.clone() for value in state]
        # Dropout must draw the same numbers afterwards with and without a capture.
        drawn = torch.get_rng_state(), torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        # After an error nothing is restored: that would need the device, and the run ends anyway.
        loss, replay = record(step, _WARM_UP_STEPS, self.resources)
        for value, was in zip(state, before, strict=True):
            value.copy_(was)
        self.optimizer.zero_grad()
        torch.set_rng_state(drawn[0])
        if drawn[1] is not None:
            torch.cuda.set_rng_state(drawn[1], self.device)
        return _Captured(images, targets, target_weights, table, loss, replay)

    def _state(self) -> list[Tensor]:
        """Return all tensors that a step changes."""
        models = [self.model] if self.ema is None else [self.model, self.ema.module]
        momentum = [value for state in self.optimizer.state.values() for value in state.values()]
        return [value for model in models for value in model.state_dict().values()] + momentum


def record(step: Callable[[], Tensor], warm_up: int, resources: RunResources) -> tuple[Tensor, Callable[[], object]]:
    """Capture a function as a CUDA graph.

    Args:
        step: the function; it reads and writes tensors at fixed addresses.
        warm_up: number of eager calls before the capture.
        resources: the stream and the pool of the graph's memory.

    Returns:
        The tensor that `step` returned, which each replay overwrites, and the function that replays the graph.

    Raises:
        CaptureError: the capture failed.
    """
    stream, current = resources.stream, torch.cuda.current_stream(resources.device)
    assert stream is not None  # what is captured is on CUDA, see `why_not_captured`
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        for _ in range(warm_up):
            step()
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads, such as the one that pins a loader's batches, may call CUDA during the capture.
        with torch.cuda.graph(graph, pool=resources.pool, stream=stream, capture_error_mode="thread_local"):
            loss = step()
    except Exception as error:  # whatever the model or torch raises: the capture has not ended well
        raise CaptureError(first_line(root_cause(error))) from error
    current.wait_stream(stream)
    return loss, graph.replay
