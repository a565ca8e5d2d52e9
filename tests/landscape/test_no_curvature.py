"""Where there is no second derivative, or nothing to differentiate, one line says so; no wrong product is given."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from ltzoo.errors import InputError
from ltzoo.landscape.curvature import Curvature
from tests.landscape.conftest import CE, chunks, make_images, make_network, random_vector


class OnceSquare(torch.autograd.Function):
    """A square whose derivative is not differentiated: autograd knows."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @once_differentiable
    def backward(ctx, given):
        return 2 * ctx.saved_tensors[0] * given


class Full(torch.autograd.Function):
    """A layer that finds no memory when it is differentiated."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, given):
        raise torch.OutOfMemoryError("no memory is left")


class Layer(nn.Module):
    """A layer that applies a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def margin_loss(logits, labels):
    return F.multilabel_margin_loss(logits, F.pad(labels[:, None], (0, 3), value=-1), reduction="none")


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).double()


def linear_loss(logits, labels):
    return logits.gather(1, labels[:, None]).squeeze(1)


@pytest.mark.parametrize(
    ("model", "loss", "found"),
    [
        (
            lambda: nn.Sequential(*make_network(), Layer(OnceSquare)),
            CE,
            "the loss or the model has no second derivative: OnceSquare is marked once_differentiable",
        ),
        (
            make_network,
            margin_loss,
            "the loss or the model has no second derivative: derivative for aten::multilabel_margin_loss_backward",
        ),
        (
            make_network,
            lambda logits, labels: OnceSquare.apply(CE(logits, labels)),
            "the loss or the model has no second derivative: OnceSquare is marked once_differentiable",
        ),
        (
            make_network,
            lambda logits, labels: CE(logits.detach(), labels),
            "the loss or the model has no second derivative: element 0 of tensors does not require grad",
        ),
        (linear, linear_loss, "the loss has no second derivative: its gradient does not depend on the weights"),
    ],
)
def test_without_a_second_derivative_there_is_no_product(model, loss, found):
    curvature = Curvature(model(), loss, chunks(5, *make_images()))
    with pytest.raises(InputError, match=f"^{found}[^\n]*$"):
        curvature.product(random_vector(curvature.size))


def test_without_a_derivative_there_is_no_gradient(curvature):
    severed = Curvature(curvature.model, lambda logits, labels: CE(logits.detach(), labels), curvature.batches)
    with pytest.raises(InputError, match=r"^the loss or the model has no derivative: element 0 of tensors[^\n]*$"):
        severed.gradient()


def test_a_full_memory_is_no_missing_derivative(curvature):
    full = Curvature(nn.Sequential(*make_network(), Layer(Full)), CE, curvature.batches)
    with pytest.raises(torch.OutOfMemoryError, match="no memory is left"):
        full.product(random_vector(full.size))


def compiled_in_place():
    model = make_network()
    model[0].compile(backend="eager")
    return model


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (
            lambda: torch.compile(make_network(), backend="eager"),
            "the model is compiled, and compiled code has no second",
        ),
        (lambda: nn.Sequential(torch.compile(make_network(), backend="eager")), "the model is compiled"),
        (compiled_in_place, "the model is compiled"),
        (lambda: make_network().requires_grad_(False), "the model has no trainable parameter"),
    ],
)
def test_a_model_without_curvature_is_refused(model, found):
    with pytest.raises(InputError, match=f"^{found}[^\n]*$"):
        Curvature(model(), CE, chunks(5, *make_images()))


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_diverged_weights_have_no_product(curvature, broken):
    with torch.no_grad():
        curvature.model[8].weight[1, 2] = broken
    with pytest.raises(InputError, match=r"^a Hessian-vector product is not finite: the weights have diverged[^\n]*$"):
        curvature.product(random_vector(curvature.size))


@pytest.mark.parametrize(
    ("batches", "weights"),
    [
        (list, None),
        (lambda: iter(chunks(5, *make_images())), None),  # gone through by the first product
        (lambda: chunks(5, *make_images()), torch.zeros(4)),
    ],
)
def test_without_images_there_is_no_loss(batches, weights):
    curvature = Curvature(make_network(), CE, batches(), weights)
    with pytest.raises(InputError, match=r"^there are no images, or all their class weights are 0; [^\n]*$"):
        for _ in range(2):
            curvature.product(random_vector(curvature.size))
    with pytest.raises(InputError, match="there are no images"):
        curvature.value()


def test_a_loss_that_is_summed_already_is_refused(curvature):
    summed = Curvature(curvature.model, nn.CrossEntropyLoss(reduction="sum"), curvature.batches)
    with pytest.raises(InputError, match=r"^the loss must return one value per image, \(5,\), not \(\); [^\n]*$"):
        summed.product(random_vector(summed.size))
