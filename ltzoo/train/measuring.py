"""How a run measures its current weights after an epoch."""

from collections.abc import Iterable

from accelerate import Accelerator
from torch import Tensor

from ltzoo.data import Groups
from ltzoo.evaluate import class_accuracy, gather, group_accuracy, predict_classes
from ltzoo.train.forward import make_forward
from ltzoo.train.processes import reported
from ltzoo.train.step import Step


def measure(
    step: Step,
    batches: Iterable[tuple[Tensor, Tensor]],
    accelerator: Accelerator,
    groups: Groups,
    on_features: bool = False,
) -> tuple[float, dict[str, float | None]]:
    """Measure the evaluated model in the run's precision; the predictions of all processes are combined.

    Args:
        step: has the model, and may have a compiled forward pass of it.
        batches: this process's share of the images and labels to measure on.
        accelerator: precision and processes.
        groups: the groups of classes that accuracy is reported on.
        on_features: whether the batches are of features, for which the head alone is computed.

    Returns:
        The overall accuracy in per cent, and that of each group.
    """
    model = step.evaluated
    # The step's forward pass, which may be compiled, is used if it maps single images to logits of this model.
    trained = model is step.model and not step.recipe.loss.asks and step.recipe.loss.views == 1
    forward = step.forward if trained else make_forward(model, accelerator, None, None, on_features)
    # Predicted classes only: an overflow in reduced precision reduces this accuracy, but does not end the run.
    predicted, labels = map(gather, predict_classes(model, reported(accelerator, batches), forward=forward))
    overall = 100 * float((predicted == labels).double().mean())
    return overall, group_accuracy(class_accuracy(predicted, labels, len(step.class_counts)), groups)
