"""The loss on a plane: exact on a quadratic, the eigenvalues' parabola on a network, and w as it was."""

import pytest
import torch
from torch import nn

from ltzoo.errors import InputError
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.plane import Plane, loss_plane
from tests.landscape.conftest import CE, chunks, make_images, make_network


class Quadratic(nn.Module):
    """loss_i = w'Hw / 2 + <image_i, w>, w in two parameters with a frozen one between."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.hessian = torch.randn(6, 6, dtype=torch.float64, generator=generator)
        self.hessian = self.hessian + self.hessian.T
        self.one = nn.Parameter(torch.randn(2, 2, dtype=torch.float64, generator=generator))
        self.frozen = nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)
        self.two = nn.Parameter(torch.randn(2, dtype=torch.float64, generator=generator))

    def at(self, w, images):
        return w @ self.hessian @ w / 2 + images @ w

    def flat(self):
        return torch.cat([self.one.flatten(), self.two])

    def forward(self, images):
        return self.at(self.flat(), images)


def directions(size, count=2):
    generator = torch.Generator().manual_seed(2)
    return torch.linalg.qr(torch.randn(size, count, dtype=torch.float64, generator=generator))[0].T


def test_a_quadratic_is_exact_at_every_point():
    model = Quadratic()
    images = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    curvature = Curvature(model, lambda losses, _: losses, chunks(2, images, torch.zeros(5, dtype=torch.int64)))
    w, (first, second) = model.flat().detach(), directions(6)
    plane = loss_plane(curvature, first, 3 * second, 2.5, 5)
    assert plane.first == plane.second == (-2.5, -1.25, 0.0, 1.25, 2.5)
    expected = [
        [float(model.at(w + a * first + b * 3 * second, images).mean()) for b in plane.second] for a in plane.first
    ]
    torch.testing.assert_close(
        torch.tensor(plane.loss, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("points", [3, 7])
def test_in_the_middle_lie_the_weights(curvature, points):
    plane = loss_plane(curvature, *directions(curvature.size), 0.7, points)
    middle = points // 2
    assert plane.first[middle] == plane.second[middle] == 0
    assert plane.loss[middle][middle] == curvature.value()
    assert (plane.first[0], plane.first[-1], len(plane.first)) == (-0.7, 0.7, points)
    assert plane.first == tuple(-a for a in reversed(plane.first))
    assert len(plane.loss) == points and {len(row) for row in plane.loss} == {points}


def test_along_eigenvectors_the_loss_is_the_eigenvalues_parabola(curvature, exact):
    """(L(w + move) + L(w - move)) / 2 takes the gradient and the third order away; the fourth is left."""
    eigenvalues, vectors = torch.linalg.eigh(exact)
    assert eigenvalues[0] < -0.01
    reach = 1e-4  # beyond, a ReLU turns on or off
    plane = loss_plane(curvature, vectors[:, 0], vectors[:, -1], reach, 5)
    loss = torch.tensor(plane.loss, dtype=torch.float64)
    a, b = (torch.tensor(steps, dtype=torch.float64) for steps in (plane.first, plane.second))
    even = (loss + loss.flip(0, 1)) / 2 - curvature.value()
    expected = (eigenvalues[0] * a[:, None] ** 2 + eigenvalues[-1] * b[None, :] ** 2) / 2
    torch.testing.assert_close(even, expected, rtol=0, atol=float(eigenvalues[-1]) * reach**2 / 2 * 1e-2)
    # Along the lowest alone, where it curves down.
    torch.testing.assert_close(even[:, 2], expected[:, 2], rtol=1e-2, atol=1e-14)
    g = curvature.gradient()
    slope = (loss - loss.flip(0, 1)) / 2
    moved = (g @ vectors[:, 0]) * a[:, None] + (g @ vectors[:, -1]) * b[None, :]
    torch.testing.assert_close(slope, moved, rtol=0, atol=float(moved.abs().max()) * 1e-2)


class Failing:
    """A criterion that fails at one of its calls, from 1."""

    def __init__(self, at):
        self.left = at

    def __call__(self, logits, labels):
        self.left -= 1
        if not self.left:
            raise OSError("no space")
        return CE(logits, labels)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("fails_at", [None, 1, 4, 25])
def test_the_weights_are_as_before_whatever_fails(fails_at, dtype):
    """Three calls a point; 25 is the first of the last point's."""
    model = make_network().to(dtype)
    model[8].bias.data[0] = -0.0
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    pointers = {key: value.data_ptr() for key, value in model.state_dict().items()}
    curvature = Curvature(model, CE if fails_at is None else Failing(fails_at), chunks(5, *make_images()))
    first, second = directions(curvature.size)
    if fails_at is None:
        loss_plane(curvature, first, second, 0.3, 3)
    else:
        with pytest.raises(OSError, match="no space"):
            loss_plane(curvature, first, second, 0.3, 3)
    for key, value in model.state_dict().items():
        assert value.numpy().tobytes() == state[key].numpy().tobytes(), key
        assert value.data_ptr() == pointers[key], key
    assert all(torch.equal(p.grad, torch.ones_like(p)) and p.requires_grad for p in model.parameters())


def test_a_loss_that_is_not_finite_is_none_and_the_rest_is_kept(curvature):
    state = {key: value.clone() for key, value in curvature.model.state_dict().items()}
    plane = loss_plane(curvature, *directions(curvature.size), 1e200, 3)
    assert plane.loss[0][0] is None and plane.loss[1][1] == curvature.value()
    assert all(torch.equal(value, state[key]) for key, value in curvature.model.state_dict().items())


def test_what_makes_no_sense_is_refused(curvature):
    first, second = directions(curvature.size)
    for points in (-1, 0, 1, 4):
        with pytest.raises(InputError, match=f"^points must be odd and at least 3, .*, not {points}$"):
            loss_plane(curvature, first, second, 1.0, points)
    for reach in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match=f"^reach must be finite and above 0, not {reach}; choose"):
            loss_plane(curvature, first, second, reach, 3)
    with pytest.raises(InputError, match=r"^the second direction must be \(98,\), .*, not \(97,\); take it"):
        loss_plane(curvature, first, second[1:], 1.0, 3)
    with pytest.raises(InputError, match=r"^the first direction is not finite; use weights"):
        loss_plane(curvature, first / 0, second, 1.0, 3)


def test_a_plane_is_a_record_that_json_holds(curvature):
    plane = loss_plane(curvature, *directions(curvature.size), 0.1, 3)
    assert isinstance(plane, Plane)
    assert all(type(value) is float for row in (plane.first, plane.second, *plane.loss) for value in row)
