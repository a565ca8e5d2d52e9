"""Products with the Hessian are those of the exact one, of any part of the images, in any chunks."""

import pytest
import torch
import torch.nn.functional as F
from curvlinops import HessianLinearOperator
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from ltzoo.errors import InputError
from ltzoo.landscape.curvature import Curvature
from tests.landscape.conftest import CE, COUNTS, chunks, dense, exact_hessian, make_images, make_network, random_vector

WEIGHTS = torch.tensor([0.3, 0.7, 1.4, 2.6], dtype=torch.float64)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def relative(found, exact):
    return float((found - exact).norm() / exact.norm())


def test_the_products_with_the_identity_are_the_hessian_and_have_its_eigenvalues(exact):
    found = dense(Curvature(make_network(), CE, chunks(14, *make_images())))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)
    eigenvalues = torch.linalg.eigvalsh(exact)
    torch.testing.assert_close(torch.linalg.eigvalsh(found), eigenvalues, rtol=0, atol=1e-8)
    assert eigenvalues[0] < -0.1 < 0.1 < eigenvalues[-1]  # a saddle: there are both signs to be missed


def test_the_products_are_those_of_curvlinops(curvature):
    loss, parameters = nn.CrossEntropyLoss(), curvature.parameters
    other = HessianLinearOperator(curvature.model, loss, parameters, chunks(5, *make_images()))
    for seed in range(3):
        vector = random_vector(curvature.size, seed)
        torch.testing.assert_close(curvature.product(vector), other @ vector, rtol=0, atol=1e-12)


def test_value_and_gradient_are_those_of_the_mean_loss(curvature):
    images, labels = make_images()
    loss = nn.CrossEntropyLoss()(curvature.model(images), labels)
    assert curvature.value() == pytest.approx(loss.item(), abs=1e-14)
    gradient = torch.autograd.grad(loss, curvature.parameters)
    torch.testing.assert_close(curvature.gradient(), torch.cat([g.flatten() for g in gradient]), rtol=0, atol=1e-14)


def test_a_product_is_the_finite_difference_of_the_gradient_and_that_of_the_value(curvature):
    vector, step = random_vector(curvature.size), 1e-5
    here = [parameter.detach().clone() for parameter in curvature.parameters]

    def at(distance):
        with torch.no_grad():
            for parameter, place, piece in zip(curvature.parameters, here, curvature.split(vector), strict=True):
                parameter.copy_(place + distance * piece)
        return curvature.value(), curvature.gradient()

    (ahead, gradient_ahead), (behind, gradient_behind), (_, gradient) = at(step), at(-step), at(0)
    assert (ahead - behind) / (2 * step) == pytest.approx(float(gradient @ vector), rel=1e-6)
    assert relative((gradient_ahead - gradient_behind) / (2 * step), curvature.product(vector)) < 1e-6


def test_the_hessian_is_symmetric(curvature):
    u, v = (random_vector(curvature.size, seed) for seed in (1, 2))
    assert float(u @ curvature.product(v)) == pytest.approx(float(v @ curvature.product(u)), abs=1e-13)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_hessian_is_the_mean_of_the_classes_hessians_by_their_images_and_weights(weights):
    model, (images, labels) = make_network(), make_images()
    whole = Curvature(model, CE, chunks(4, images, labels), weights)
    vector, parts = random_vector(whole.size), torch.zeros(whole.size, dtype=torch.float64)
    shares = (1 if weights is None else weights) * COUNTS.double()
    for j, share in enumerate(shares / shares.sum()):
        own = labels == j
        parts += share * Curvature(model, CE, chunks(3, images[own], labels[own]), weights).product(vector)
    torch.testing.assert_close(whole.product(vector), parts, rtol=0, atol=1e-13)


def test_class_weights_are_those_of_torchs_weighted_mean():
    model, (images, labels) = make_network(), make_images()
    weighted = nn.CrossEntropyLoss(weight=WEIGHTS)
    curvature = Curvature(model, CE, chunks(5, images, labels), WEIGHTS)
    assert curvature.value() == pytest.approx(weighted(model(images), labels).item(), abs=1e-14)
    exact = exact_hessian(model, lambda logits: weighted(logits, labels), images)
    vector = random_vector(curvature.size)
    torch.testing.assert_close(curvature.product(vector), exact @ vector, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_size_of_the_chunks_changes_nothing(weights):
    model, vector = make_network(), random_vector(98)
    *others, whole = (Curvature(model, CE, chunks(size, *make_images()), weights) for size in (1, 7, 9, 14))
    for other in others:
        assert other.value() == pytest.approx(whole.value(), abs=1e-12)
        torch.testing.assert_close(other.gradient(), whole.gradient(), rtol=0, atol=1e-12)
        torch.testing.assert_close(other.product(vector), whole.product(vector), rtol=0, atol=1e-12)


def test_single_precision_agrees_with_double(curvature):
    single, vector = Curvature(make_network().float(), CE, curvature.batches, WEIGHTS), random_vector(98)
    double = Curvature(curvature.model, CE, curvature.batches, WEIGHTS)
    assert single.dtype == torch.float32
    assert single.value() == pytest.approx(double.value(), rel=1e-5)
    assert relative(single.gradient().double(), double.gradient()) < 1e-5
    product = single.product(vector.float())
    assert product.dtype == torch.float32
    assert 0 < relative(product.double(), double.product(vector)) < 1e-5


def test_the_memory_format_changes_nothing(curvature):
    """A vector's entries are in the order of the parameters' indices, however the parameters lie in memory."""
    model = make_network().to(memory_format=torch.channels_last)
    batches = [(images.to(memory_format=torch.channels_last), labels) for images, labels in curvature.batches]
    other, vector = Curvature(model, CE, batches), random_vector(curvature.size)
    assert not model[3].weight.is_contiguous()
    torch.testing.assert_close(other.gradient(), curvature.gradient(), rtol=0, atol=1e-12)
    torch.testing.assert_close(other.product(vector), curvature.product(vector), rtol=0, atol=1e-12)


@CUDA
def test_the_device_changes_nothing(curvature):
    """The images come from the CPU, as the class weights do."""
    vector = random_vector(curvature.size)
    here = Curvature(curvature.model, CE, curvature.batches, WEIGHTS)
    there = Curvature(make_network().cuda(), CE, curvature.batches, WEIGHTS)
    assert there.device.type == "cuda"
    assert there.value() == pytest.approx(here.value(), abs=1e-10)
    torch.testing.assert_close(there.gradient().cpu(), here.gradient(), rtol=0, atol=1e-10)
    torch.testing.assert_close(there.product(vector.cuda()).cpu(), here.product(vector), rtol=0, atol=1e-10)


def test_frozen_parameters_are_no_part_of_the_hessian(exact):
    model = make_network()
    model[0].weight.requires_grad_(False)
    rest, vector = slice(model[0].weight.numel(), None), random_vector(98)
    curvature = Curvature(model, CE, chunks(5, *make_images()))
    assert curvature.size == len(exact[rest])
    found = curvature.product(vector[rest])
    torch.testing.assert_close(found, exact[rest, rest] @ vector[rest], rtol=0, atol=1e-12)


def test_parameters_that_the_loss_does_not_see_have_no_curvature(exact):
    model = make_network()
    model[3].register_parameter("unused", nn.Parameter(torch.ones(2, 3, dtype=torch.float64)))
    curvature = Curvature(model, CE, chunks(5, *make_images()))
    used = torch.cat([torch.full((p.numel(),), p.shape != (2, 3)) for p in curvature.parameters])
    vector = random_vector(curvature.size)
    product, gradient = curvature.product(vector), curvature.gradient()
    torch.testing.assert_close(product[used], exact @ vector[used], rtol=0, atol=1e-12)
    assert product[~used].tolist() == gradient[~used].tolist() == [0.0] * 6
    assert gradient[used].all()


def test_the_model_is_left_as_it_was_but_for_its_mode(curvature):
    model = make_network().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    other, vector = Curvature(model, CE, curvature.batches), random_vector(curvature.size)
    other.value(), other.gradient()
    torch.testing.assert_close(other.product(vector), curvature.product(vector), rtol=0, atol=0)
    assert not model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_vector_is_cut_as_the_parameters_are(curvature):
    pieces = curvature.split(torch.cat([p.detach().flatten() for p in curvature.parameters]))
    assert all(torch.equal(piece, p) for piece, p in zip(pieces, curvature.parameters, strict=True))


class Attention(nn.Module):
    """Attention of a vector to itself and its double, by torch's own operator."""

    def forward(self, x):
        x = torch.stack([x, 2 * x], dim=1)[:, None]
        return F.scaled_dot_product_attention(x, x, x)[:, 0, 0]


def test_attention_has_the_curvature_that_its_fused_kernel_lacks():
    model, (images, labels) = nn.Sequential(*make_network(), Attention()), make_images()
    curvature = Curvature(model, CE, chunks(5, images, labels))
    with sdpa_kernel(SDPBackend.MATH):
        exact = exact_hessian(model, lambda logits: CE(logits, labels).mean(), images)
    vector = random_vector(curvature.size)
    torch.testing.assert_close(curvature.product(vector), exact @ vector, rtol=0, atol=1e-12)


def test_layers_that_run_again_in_the_backward_pass_attend_plainly_there_too():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Attention()

        def forward(self, tokens):
            return checkpoint(self.inner, tokens, use_reentrant=False)

    found = []
    for attention in (Attention(), Checkpointed()):
        curvature = Curvature(nn.Sequential(*make_network(), attention), CE, chunks(5, *make_images()))
        found.append(curvature.product(random_vector(curvature.size)))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-12)


def test_a_linear_model_has_the_curvature_of_its_loss():
    images, labels = make_images()
    curvature = Curvature(nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).double(), CE, chunks(5, images, labels))
    exact = exact_hessian(curvature.model, lambda logits: CE(logits, labels).mean(), images)
    vector = random_vector(curvature.size)
    torch.testing.assert_close(curvature.product(vector), exact @ vector, rtol=0, atol=1e-12)


def test_products_are_the_same_where_gradients_are_kept(curvature):
    vector = random_vector(curvature.size)
    plain = curvature.product(vector)
    with curvature.gradients_kept(10**9) as kept:
        assert kept
        curvature.batches = []  # they are not gone through again
        assert torch.equal(curvature.product(vector), plain)
        assert torch.equal(curvature.product(2 * vector), 2 * plain)
    with pytest.raises(InputError, match="no images"):
        curvature.product(vector)


def test_gradients_that_take_too_much_are_not_kept(curvature):
    plain = curvature.product(random_vector(curvature.size))
    for most, expected in ((0, False), (1000, False), (10**6, True)):
        with curvature.gradients_kept(most) as kept:
            assert kept is expected
            assert torch.equal(curvature.product(random_vector(curvature.size)), plain)


def test_weights_that_change_beside_kept_gradients_are_noticed(curvature):
    with curvature.gradients_kept(10**9), torch.no_grad():
        curvature.parameters[0].add_(1)
        with pytest.raises(InputError, match="the weights have changed inside gradients_kept"):
            curvature.product(random_vector(curvature.size))
