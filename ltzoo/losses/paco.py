"""PaCo: supervised contrastive loss with learnable class centres and a queue."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltzoo.losses.attached import Attached
from ltzoo.losses.loss import LossModule, as_counts, check_num_features, log_prior
from ltzoo.losses.momentum_copy import MomentumCopy
from ltzoo.losses.outputs import Outputs
from ltzoo.losses.projection import ProjectionHead, ProjectionLoss
from ltzoo.losses.views import check_unmixed, take_views

_FEWEST_IMAGES = 2
"""BatchNorm in the projection head has no variance of a single one."""


@dataclass(frozen=True)
class PaCo(ProjectionLoss):
    """Parametric contrastive learning (Cui 2021).

    The model sees view 0 of an image, a copy of it that follows with momentum sees view 1. Projections q of the first
    are compared with the keys X: the other q of the batch, the projections of view 1, and a queue of those of earlier
    batches. For image i of class y, with logits f, p is the softmax of

        f_j + log pi_j for each class j,  and  <q_i, x> / T for each x in X,

    and the loss is the weighted mean of -log p over class y (weight 1) and all x of class y (weight alpha each).

    In its code, queue entries that no image has filled yet are random vectors with random classes; here they are left
    out. The copy follows the model at the end of a step, there at its beginning: it lags by one step more, of which its
    weights take the share 1 - momentum.

    Attributes:
        temperature: T, above 0.
        alpha: weight of another image of the same class.
        momentum: of the copy, at most 1; 0.999 in its code.
        queue_size: images in the queue, at least as many as in a batch.
        hidden_size: hidden units of the projection head.
        projection_size: the size of a projection.
    """

    temperature: float
    alpha: float
    momentum: float
    queue_size: int
    hidden_size: int
    projection_size: int
    name: ClassVar[str] = "paco"
    asks: ClassVar[frozenset[str]] = frozenset({"features", "images"})
    single_process: ClassVar[bool] = True
    views: ClassVar[int] = 2
    model_views: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum > 1:
            raise ValueError(f"momentum must be at most 1, not {self.momentum}")
        if self.queue_size < 1:
            raise ValueError(f"queue_size must be a whole number from 1 on, not {self.queue_size!r}")

    def check_batch_size(self, images: int) -> None:
        """See `Loss.check_batch_size`; BatchNorm needs two images, and the queue must have room for a batch."""
        if images < _FEWEST_IMAGES:
            raise ValueError(
                f"the loss paco needs batches of at least {_FEWEST_IMAGES} images, not {images}: leave out a smaller "
                "last one (DataLoader's drop_last=True)"
            )
        if images > self.queue_size:
            raise ValueError(
                f"the loss paco has a queue of {self.queue_size}, which is less than the batch of {images}: set "
                "queue_size to at least the batch size"
            )

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> "PaCoModule":
        """See `Loss.bind`. The initial weights are drawn from torch's random generator."""
        return PaCoModule(self, class_counts, check_num_features(self.name, num_features))


class PaCoModule(LossModule):
    """`PaCo` for a data set.

    Call `attach` with the model before the first batch, and before a state is loaded: the copy is part of the state.
    Call `commit` after each step, once the gradients are computed. `perturbed_backward` does so in each of its calls: a
    step that is accumulated over several calls fills the queue and moves the copy once for each.

    A deep copy refers to no model. Call its `attach`, which copies the model anew, and load its state afterwards.

    Example:
        ```python
        criterion = ltzoo.create_loss(
            "paco", class_counts, num_features=64, temperature=0.05, alpha=0.01, momentum=0.999, queue_size=1024,
            hidden_size=64, projection_size=32,
        )
        criterion.attach(model)
        optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.05, momentum=0.9)
        for views, targets in loader:  # (B, 2, channels, H, W)
            features = model.forward_head(model.forward_features(views[:, 0]), pre_logits=True)
            outputs = Outputs(model.get_classifier()(features), features=features, images=views)
            criterion(outputs, targets).mean().backward()
            criterion.commit(outputs.detach(), targets)
            optimizer.step()
            optimizer.zero_grad()
        ```

    Args:
        loss: the hyper-parameters.
        class_counts: (C,).
        num_features: F.
    """

    log_prior: Tensor
    queue: Tensor
    queue_labels: Tensor
    position: Tensor

    unwritten: ClassVar[frozenset[str]] = frozenset({"log_prior", "queue", "queue_labels", "position"})

    def __init__(self, loss: PaCo, class_counts: Tensor | Sequence[int], num_features: int) -> None:
        super().__init__(loss)
        self.loss, self.num_features = loss, num_features
        self.head = ProjectionHead(num_features, loss.hidden_size, loss.projection_size)
        self.register_buffer("log_prior", log_prior(as_counts(class_counts)))
        self.register_buffer("queue", torch.zeros(loss.queue_size, loss.projection_size))
        self.register_buffer("queue_labels", torch.full((loss.queue_size,), -1))  # -1: not filled yet
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.key_model: MomentumCopy | None = None
        self.key_head: MomentumCopy | None = None
        self._model = Attached()
        self._precision: torch.dtype | None = None  # of the model's last forward pass, if it is a half
        self._computed: tuple[Tensor, tuple[Any, ...], Tensor] | None = None
        self.register_load_state_dict_post_hook(_forget_keys)

    def attach(self, model: nn.Module) -> None:
        """Copy the model and the projection head.

        Args:
            model: a model with timm's `forward_features` and `forward_head`.

        Raises:
            ValueError: it is none.
        """
        if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
            raise ValueError(
                f"the loss paco needs a model with forward_features and forward_head, as timm's; not "
                f"{type(model).__name__}"
            )
        self.key_model = MomentumCopy(model, self.loss.momentum)
        self.key_head = MomentumCopy(self.head, self.loss.momentum)
        self._model = Attached(model)
        self._forget()

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """See `LossModule.forward`; logits (B, C) or (B, 1, C), features (B, F) or (B, 1, F), images (B, 2, ...)."""
        logits, features = self._take(outputs)
        self.loss.check_batch_size(len(targets))
        self._precision = _half_precision(logits)
        queries, keys = self.head(features), self._keys(outputs)
        compared = torch.cat([queries, keys.to(queries.dtype), self.queue.to(queries.dtype)])
        labels = torch.cat([targets, targets, self.queue_labels])
        itself = torch.eye(len(targets), len(compared), dtype=torch.bool, device=targets.device)
        positive = (targets.unsqueeze(1) == labels) & ~itself
        of_images = queries @ compared.T / self.loss.temperature
        of_classes = logits + self.log_prior.to(logits.dtype)

        left_out = itself | (labels < 0)
        log_denominator = torch.cat([of_classes, of_images.masked_fill(left_out, -torch.inf)], dim=1).logsumexp(dim=1)
        own_class = of_classes.gather(1, targets.unsqueeze(1)).squeeze(1)
        weights = self.loss.alpha * positive.to(of_images.dtype)
        same_class = own_class + (weights * of_images).sum(dim=1)
        return log_denominator - same_class / (1 + weights.sum(dim=1))

    @torch.no_grad()
    def commit(self, outputs: Outputs | Tensor, targets: Tensor) -> None:
        """See `LossModule.commit`."""
        check_unmixed(self.loss.name, targets)
        self._take(outputs)
        keys = self._keys(outputs)
        self._forget()
        places = (self.position + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys.to(self.queue.dtype)
        self.queue_labels[places] = targets
        self.position.copy_((self.position + len(keys)) % len(self.queue))
        for copied, network in ((self.key_model, self._model.module), (self.key_head, self.head)):
            assert copied is not None and network is not None
            copied.follow(network)

    def _take(self, outputs: Any) -> tuple[Tensor, Tensor]:
        """Take logits (B, C) and features (B, F) of view 0, with a second dimension for it or without."""
        if self._model.module is None:
            raise ValueError(
                "the loss paco compares with a copy of the model: call attach(model) before training, also for a copy "
                "of the loss"
            )
        features, images = getattr(outputs, "features", None), getattr(outputs, "images", None)
        if features is not None and features.ndim == 2:
            outputs = Outputs(outputs.logits.unsqueeze(1), features=features.unsqueeze(1))
        logits, features = take_views(self.loss.name, outputs, 1, self.num_features)
        if images is None or images.shape[:2] != (len(features), 2):
            found = "none" if images is None else str(tuple(images.shape))
            raise ValueError(f"the loss paco needs Outputs.images ({len(features)}, 2, channels, H, W), not {found}")
        return logits[:, 0], features[:, 0]

    @torch.no_grad()
    def _keys(self, outputs: Any) -> Tensor:
        """Project view 1, once per step: the copy is the same in all passes, so are its outputs for the same images."""
        images = outputs.images[:, 1]
        place = images.data_ptr(), images.shape, images.stride(), images.dtype, images._version
        if self._computed is None or self._computed[1] != place:
            assert self.key_model is not None and self.key_head is not None
            # The copy runs as the model did, the heads as the loss is called.
            precision = self._precision
            half = nullcontext() if precision is None else torch.autocast(images.device.type, precision)
            with half:
                features = self.key_model.features(images)
            features = features.float() if features.dtype == precision else features
            # The images are kept too, so that no others can take their place in memory.
            self._computed = images, place, self.key_head(features)
        return self._computed[2]

    def _forget(self) -> None:
        """Forget the keys of the step."""
        self._computed = None


def _half_precision(logits: Tensor) -> torch.dtype | None:
    """Return the half precision that logits were computed in before conversions and changes of shape, or None."""
    node, place = logits.grad_fn, logits.output_nr
    while node is not None:
        dtype: torch.dtype = node._input_metadata[place].dtype
        if dtype in (torch.float16, torch.bfloat16):
            return dtype
        if len(node.next_functions) != 1:
            break
        node, place = node.next_functions[0]
    return None


def _forget_keys(module: nn.Module, _: object) -> None:
    """Forget the keys of an earlier state; a function, so that the module can be pickled."""
    assert isinstance(module, PaCoModule)
    module._forget()
