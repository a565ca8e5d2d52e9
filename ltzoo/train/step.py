"""One training step: perturbed gradient, gradient clipping, optimizer, moving average of the weights."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from accelerate import Accelerator
from timm.utils import ModelEmaV3, distribute_bn
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ltzoo.data import RandomStream, seed_torch, seeded_generator
from ltzoo.errors import InputError
from ltzoo.losses import LossModule
from ltzoo.recipes import Recipe
from ltzoo.sharpness import MixedTargets, StepOptions, Table, perturbed_backward
from ltzoo.sharpness.options import BatchNormPolicy
from ltzoo.train.forward import feature_size, make_forward
from ltzoo.train.head import slow_parameters
from ltzoo.train.optimizer import make_optimizer
from ltzoo.train.trainable import freeze


class Step:
    """Takes the steps of a recipe's training, one epoch after the other.

    Args:
        recipe: the recipe to train.
        class_counts: (C,) training images of each class.
        model: the model, on its device and in its memory format.
        accelerator: provides precision, loss scaler and processes.
        seed: seed of the noise.
        compile_backend: backend of `torch.compile`, None for eager.
        on_features: whether its batches are of features, for which the head alone is computed.
    """

    def __init__(
        self,
        recipe: Recipe,
        class_counts: Sequence[int],
        model: nn.Module,
        accelerator: Accelerator,
        seed: int,
        compile_backend: str | None,
        on_features: bool = False,
    ) -> None:
        self.recipe, self.model, self.seed = recipe, model, seed
        self.device, self.scaler = accelerator.device, accelerator.scaler
        self.process, self.processes = accelerator.process_index, accelerator.num_processes
        self.group = dist.group.WORLD if self.processes > 1 else None
        # A projection head is the same whatever was drawn before, on every device and in each process.
        seed_torch(seed, 0, RandomStream.LOSS)
        criterion = recipe.loss.bind(class_counts, feature_size(model))
        self.criterion = criterion.to(self.device, torch.float32)
        if isinstance(self.criterion, LossModule):
            self.criterion.attach(model)
        if self.group is not None:
            for value in (*model.state_dict().values(), *self.criterion.state_dict().values()):
                dist.broadcast(value, 0)
        self.forward = make_forward(model, accelerator, compile_backend, recipe.loss, on_features)
        self.class_counts = torch.tensor(class_counts, device=self.device)
        self.modules_in_eval = self._freeze()
        self.optimizer = make_optimizer(
            recipe.optimizer, model, list(self.criterion.parameters()), slow_parameters(model, recipe.head)
        )
        self.ema = None if recipe.ema_decay is None else ModelEmaV3(model, decay=recipe.ema_decay)
        self.compared = self.group is None or not isinstance(self.criterion, LossModule)
        self.begin(0)

    def _freeze(self) -> list[nn.Module]:
        """Freeze the weights that are not trained; returns the modules that stay in evaluation mode."""
        trainable = self.recipe.trainable
        frozen = freeze(self.model, trainable)
        norms = [module for module in self.model.modules() if _has_running_statistics(module)]
        in_eval = [*frozen, *norms] if trainable.batchnorm == "frozen" else []
        self.moves_statistics = not set(norms) <= set(in_eval)
        return in_eval

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated: the moving average if the recipe has one, else the model itself."""
        return self.model if self.ema is None else self.ema.module

    @property
    def lr(self) -> float:
        """The learning rate of the epoch."""
        return self.recipe.optimizer.lr * self.recipe.schedule.factor(self.epoch)

    def begin(self, epoch: int) -> None:
        """Set learning rate, table, class weights and noise for an epoch, from 0."""
        recipe, self.epoch = self.recipe, epoch
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group.get("lr_scale", 1.0)
        self.table = recipe.perturbation.table(self.class_counts, epoch, recipe.schedule.epochs)
        weights = recipe.reweighting.weights(self.class_counts.tolist(), epoch)
        self.class_weights = weights.to(self.device, torch.float32)
        # With another ascent than `averaged`, each process draws its own noise.
        own = () if recipe.ascent == "averaged" else (self.process,)
        self.noise = seeded_generator(self.seed, epoch, RandomStream.NOISE, *own, device=self.device)
        # For the model's own draws (dropout): different in each process, and the same after a resume.
        seed_torch(self.seed, epoch, RandomStream.MODEL, self.process)
        self.model.train()
        for module in self.modules_in_eval:
            module.eval()
        if isinstance(self.criterion, LossModule):
            self.criterion.begin(epoch)

    def __call__(self, images: Tensor, targets: Tensor, target_weights: Tensor | None = None) -> Tensor:
        """Take a step on a batch; returns the mean loss over all processes, a detached scalar.

        Args:
            images: (B, channels, H, W), or (B, V, channels, H, W) for a loss of V views.
            targets: (B,) int64, or (B, M) if each image has M classes.
            target_weights: (B, M) float32, the weights of these classes.
        """
        return self.run(images, targets, target_weights, self.table, self.class_weights)

    def run(
        self,
        images: Tensor,
        targets: Tensor,
        target_weights: Tensor | None,
        table: Table,
        class_weights: Tensor,
    ) -> Tensor:
        """Take a step with a given table and given class weights, see `__call__`.

        Raises:
            InputError: the step cannot be taken on this batch.
        """
        recipe = self.recipe
        options = StepOptions(
            forward=self.forward,
            batchnorm=self._batchnorm(table),
            scaler=self.scaler,
            generator=self.noise,
            ascent=recipe.ascent,
            micro_batches=recipe.micro_batches,
            process_group=self.group,
        )
        labels = targets if target_weights is None else MixedTargets(targets, target_weights)
        try:
            loss = perturbed_backward(self.model, self.criterion, images, labels, table, class_weights, options)
        except InputError:
            raise
        except ValueError as error:  # what the step or the model cannot do with this batch
            raise InputError(str(error)) from error
        if not self.compared:
            self._check_state_of_loss()
            self.compared = True
        if recipe.optimizer.clip_grad is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            parameters = [*self.model.parameters(), *self.criterion.parameters()]
            nn.utils.clip_grad_norm_(parameters, recipe.optimizer.clip_grad)
        skipped = False
        if self.scaler is not None:
            skipped = self._scaled_step(self.scaler)
        else:
            self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None and not skipped:
            self.ema.update(self.model)
        return loss

    def _batchnorm(self, table: Table) -> BatchNormPolicy:
        """Return which passes update running statistics.

        Frozen BatchNorm is in evaluation mode, so that no pass does; but the head can have statistics too. With noise
        there is no pass at w.
        """
        policy = self.recipe.trainable.batchnorm
        if policy == "frozen":
            return "clean" if table.direction == "gradient" else "all"
        return policy

    def _check_state_of_loss(self) -> None:
        """Check, after the first step, that processes with other images have the same state of the loss."""
        same = torch.ones((), device=self.device)
        for name, value in self.criterion.state_dict().items():
            if "running_" not in name:  # BatchNorm's are averaged when the epoch ends
                of_first = value.clone()
                dist.broadcast(of_first, 0)
                same *= bool((of_first == value).logical_or(of_first != of_first).all())
        dist.all_reduce(same, dist.ReduceOp.MIN)
        if not same:
            raise InputError(
                f"the loss {self.recipe.loss.name!r} has another state in each of {self.processes} processes after "
                "the first step: its commit must gather their images, or the loss say single_process; launch one"
            )

    def _scaled_step(self, scaler: GradScaler) -> bool:
        """Take the optimizer's step; returns whether the scaler has skipped it, which only the average asks for."""
        before = scaler.get_scale() if self.ema is not None else 0.0
        scaler.step(self.optimizer)
        scaler.update()
        # The scale falls if and only if a gradient was not finite.
        return self.ema is not None and scaler.get_scale() < before

    def end(self) -> bool:
        """Average running statistics over processes; returns whether weights and statistics are finite."""
        models = [self.model] if self.ema is None else [self.model, self.ema.module]
        # Frozen statistics are not averaged: they are equal already, and (x + x + x) / 3 is not always x.
        for model in models if self.group is not None and self.moves_statistics else []:
            distribute_bn(model, self.processes, reduce=True)
        if isinstance(self.criterion, LossModule):
            models.append(self.criterion)
            if self.group is not None:
                distribute_bn(self.criterion, self.processes, reduce=True)
        values = [value.isfinite().all() for model in models for value in model.state_dict().values()]
        return bool(torch.stack(values).all())


def _has_running_statistics(module: nn.Module) -> bool:
    """Return whether a layer itself keeps running statistics: BatchNorm, InstanceNorm or EvoNorm, by their names."""
    return any("running_" in name for name, _ in module.named_buffers(recurse=False))
