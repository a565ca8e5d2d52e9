"""Second stages of two-stage methods, as their authors' code has them; any protocol can take them."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from ltzoo.data import Augmentation, ClassAwareSampler, Sampler
from ltzoo.data.sampler import EACH_IMAGE_ONCE
from ltzoo.losses import CE, DROLT, BalancedSoftmax, InversePower, LabelAwareSmoothing, Loss, NoReweighting, Reweighting
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import DisAlignHead, Head, LinearHead, NearestMeanHead, ScaledHead, TauNormHead, Trainable

_UNWEIGHTED = NoReweighting()


@dataclass(frozen=True)
class SecondStage:
    """The settings of a method's second stage, which starts from another recipe's weights and has no perturbation.

    What is not named here is the first stage's, such as the batch size; so are optimizer, views and groups if None.

    Attributes:
        first: loss and rule of the first stage, as in a recipe's name: `("ce", "none")`; or another method of the
            protocol's second stages, whose stage comes before this one: `("drolt_backbone", "none")`.
        start_head: whether the first stage's classifier is `kept`, or the classifier is `fresh`.
        trainable: which weights are trained, and how BatchNorm's statistics are updated.
        head: the classifier.
        sampler: which images make an epoch, and in which order.
        loss: the loss.
        schedule: epochs and learning rate; no epochs for a head that is computed.
        reweighting: class weights.
        optimizer: the base optimizer; None for the protocol's own.
        views: how images are augmented; None for the protocol's crop and flip.
        groups: the method's own grouping rule; None for the protocol's.
        paper_rule: whether the method reports an epoch by the protocol's rule; if not, the recipe has no such rule.
    """

    first: tuple[str, str]
    start_head: Literal["kept", "fresh"]
    trainable: Trainable
    head: Head
    sampler: Sampler
    loss: Loss
    schedule: Schedule
    reweighting: Reweighting = _UNWEIGHTED
    optimizer: Optimizer | None = None
    views: tuple[Augmentation, ...] | None = None
    groups: str | None = None
    paper_rule: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe fields that the second stage fixes."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        inherited = {key for key in ("optimizer", "views", "groups") if own[key] is None}
        inherited |= {"paper_rule"} if self.paper_rule else set()
        own["paper_rule"] = None
        return {key: value for key, value in own.items() if key not in {"first", "start_head", *inherited}}


FIELDS = ("trainable", "head", "sampler", "loss", "reweighting", "optimizer", "schedule")
"""The recipe fields that a second stage brings; all of them are ours where no paper has the method on a benchmark."""


def cosine(epochs: int) -> Schedule:
    """Return a schedule with a cosine from the full learning rate, without warm-up."""
    return Schedule(epochs, warmup_epochs=0, milestones=(), factors=(), decay="cosine")


def two_stage_methods(rho: float = 1.2, tau: float = 1.0) -> dict[str, SecondStage]:
    """Return the second stages of a CE first stage, by method.

    BatchNorm under the frozen weights is as in each method's code. Kang's and DisAlign's leave the backbone in train
    mode, so that the running statistics follow the batches (`clean`); tau-norm and the nearest mean take features in
    evaluation mode (`frozen`).

    - `crt`, `lws` (Kang 2020): the class-aware sampler with 4 images in a row, whole batches only; 10 and 5 epochs.
    - `taunorm`, `ncm` (Kang 2020): computed, nothing is trained.
    - `disalign` (Zhang 2021): each image once, CE with weights pi_j^-rho, 10 epochs.
    - `bsrt` is ours: cRT with balanced softmax (LA with tau 1) in place of the class-aware sampler.

    Args:
        rho: DisAlign's exponent; 1.2 is that of its ResNeXt-50 on ImageNet-LT, the only one that is public.
        tau: of tau-norm. 1 gives every class vector unit length; another value is to be chosen on held-out images.
    """
    class_aware = ClassAwareSampler(per_class=4, epoch="whole_batches")
    first, head_only, computed = ("ce", "none"), Trainable("head", "clean"), Trainable("head", "frozen")
    no_epochs = Schedule(0, warmup_epochs=0, milestones=(), factors=())
    return {
        "crt": SecondStage(first, "fresh", head_only, LinearHead(), class_aware, CE(), cosine(10)),
        "lws": SecondStage(first, "kept", head_only, ScaledHead(lr_factor=0), class_aware, CE(), cosine(5)),
        "taunorm": SecondStage(first, "kept", computed, TauNormHead(tau), EACH_IMAGE_ONCE, CE(), no_epochs),
        "ncm": SecondStage(first, "fresh", computed, NearestMeanHead(), EACH_IMAGE_ONCE, CE(), no_epochs),
        "disalign": SecondStage(
            first, "kept", head_only, DisAlignHead(), EACH_IMAGE_ONCE, CE(), cosine(10), InversePower(rho)
        ),
        "bsrt": SecondStage(first, "fresh", head_only, LinearHead(), EACH_IMAGE_ONCE, BalancedSoftmax(), cosine(10)),
    }


def mislas(most: float, least: float, lr_factor: float, shifted_batchnorm: bool) -> SecondStage:
    """Return MiSLAS's second stage (Zhong 2021), which starts from CE with mixup: 10 epochs, no mixup.

    Args:
        most: label-aware smoothing of the largest class.
        least: that of the smallest class.
        lr_factor: the learning rate of classifier weights and biases, as a factor of that of the scale.
        shifted_batchnorm: whether BatchNorm's statistics under the frozen weights follow the balanced batches; if not,
            the layers below the head are in evaluation mode.
    """
    return SecondStage(
        first=("ce_mixup", "none"),
        start_head="kept",
        trainable=Trainable("head", "clean" if shifted_batchnorm else "frozen"),
        head=ScaledHead(lr_factor),
        sampler=ClassAwareSampler(per_class=4, epoch="one_more_batch"),
        loss=LabelAwareSmoothing(most, least),
        schedule=cosine(10),
    )


def dro_lt(draws: int, epochs: tuple[int, int], view: Augmentation) -> dict[str, SecondStage]:
    """Return DRO-LT's two stages after a CE first stage (Samuel 2021), by method.

    - `drolt_backbone`: all below the frozen head, with the robust loss.
    - `drolt`: then that head, with plain CE, and all below it frozen and in evaluation mode.

    Both have the class-aware sampler with 4 images in a row, and constant learning rates. In the code, the second one
    begins with the epoch whose nearest class means are best on the test images; here it begins with the last.

    Args:
        draws: images in an epoch: in the code as many as if all classes were as large as the largest.
        epochs: of the two stages.
        view: how images are augmented; on CIFAR in the code with AutoAugment and Cutout.
    """

    def stage(first: str, trainable: Trainable, loss: Loss, length: int, lr: float) -> SecondStage:
        return SecondStage(
            first=(first, "none"),
            start_head="kept",
            trainable=trainable,
            head=LinearHead(),
            sampler=ClassAwareSampler(per_class=4, draws=draws),
            loss=loss,
            schedule=Schedule(length, warmup_epochs=0, milestones=(), factors=()),
            optimizer=Optimizer(lr=lr, momentum=0.9, weight_decay=1e-4, nesterov=False),
            views=(view,),
        )

    robust = DROLT(radius=1.0, temperature=1.0)
    return {
        "drolt_backbone": stage("ce", Trainable("backbone", "clean"), robust, epochs[0], 0.005),
        "drolt": stage("drolt_backbone", Trainable("head", "frozen"), CE(), epochs[1], 0.01),
    }
