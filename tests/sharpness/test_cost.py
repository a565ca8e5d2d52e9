"""What a step costs: passes, copies of the parameters, and no question to the device."""

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ltzoo.sharpness import LPFSGD
from tests.sharpness.methods import CE, COUNTS, METHODS, NOISE, step


class LiveBytes(TorchDispatchMode):
    """Watches the bytes of all storages that operations have made and that are still alive."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.before = {StorageWeakRef(parameter.untyped_storage()) for parameter in model.parameters()}
        self.live: dict[StorageWeakRef, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self.live[StorageWeakRef(value.untyped_storage())] = value.untyped_storage().nbytes()
        self.live = {
            storage: size for storage, size in self.live.items() if not (storage.expired() or storage in self.before)
        }
        self.peak = max(self.peak, sum(self.live.values()))
        return result


class Questions(TorchDispatchMode):
    """Collects the operations that make the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "equal"):
            self.asked.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "copies"),
    [
        ("sgd", 1),
        ("sam", 2),
        ("imbsam", 3),
        ("ssesam stage 1", 3),
        ("ssesam stage 2", 3),
        ("focalsam", 3),
        ("gsam", 3),
        ("asam", 3),
        ("ccsam all", 6),
    ],
)
def test_beside_the_gradient_sam_holds_one_copy_of_the_parameters_and_ssesam_two(name, copies):
    layers, images, targets = 16, torch.randn(4, 128), torch.tensor([0, 1, 2, 3])
    model = nn.Sequential(*(nn.Linear(128, 128, bias=False) for _ in range(layers)))
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    table = METHODS[name].table(COUNTS)
    with LiveBytes(model) as watched:
        step(model, CE, images, targets, table, forward=lambda x: model(x)[:, :4])
    # Two layers' gradients may lie there twice for a moment, and the activations are small.
    assert copies - 0.1 < watched.peak / size < copies + 3 / layers


@pytest.mark.parametrize(
    ("name", "forwards", "backwards"),
    [
        ("sgd", 1, 1),
        ("sam", 2, 2),
        ("imbsam", 2, 3),
        ("ssesam stage 1", 3, 4),
        ("ssesam stage 2", 2, 3),
        ("focalsam", 2, 3),
        ("asam", 2, 2),
        ("gsam", 2, 2),
        ("ccsam all", 5, 9),
    ],
)
def test_passes_and_batchnorm_updates_are_the_fewest(network, batches, name, forwards, backwards):
    table = METHODS[name].table(COUNTS)
    counted = {"forward": 0, "backward": 0}
    for batchnorm, updates in [("clean", 1), ("all", forwards)]:
        model = network()
        counted.update(forward=0, backward=0)

        def forward(images, model=model):
            counted["forward"] += 1
            logits = model(images)
            logits.register_hook(lambda _: counted.update(backward=counted["backward"] + 1))
            return logits

        step(model, CE, *batches[0], table, forward=forward, batchnorm=batchnorm)
        assert counted == {"forward": forwards, "backward": backwards}
        assert model[1].num_batches_tracked == updates


def test_noise_costs_what_sgd_costs(network, batches):
    model, seen = network(), []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    table = LPFSGD(std=0.1, parts=5).table(COUNTS)
    step(model, CE, *batches[0], table, batchnorm="all")
    assert seen == [3, 3, 2, 2, 2]
    assert model[1].num_batches_tracked == 5


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", [*METHODS, *NOISE])
def test_the_host_never_waits_for_the_device(network, batches, name, mixed, scaled, monkeypatch):
    """On a GPU every question would empty the queue of kernels."""
    model, (images, targets) = network(), batches[0]
    table = (METHODS | NOISE)[name].table(COUNTS)
    scaler = torch.amp.GradScaler("cpu") if scaled else None
    if mixed:
        targets = torch.stack([targets, targets.flip(0)], dim=1)
    # It asks a CPU alone whether the labels are classes of the table, and their weights not below 0.
    monkeypatch.setattr("ltzoo.sharpness.backward.check_batch", lambda *_: None)
    with Questions() as questions:
        step(
            model,
            CE,
            images,
            targets,
            table,
            class_weights=torch.ones(4, dtype=torch.float64),
            target_weights=torch.full((12, 2), 0.5) if mixed else None,
            batchnorm="all" if name in NOISE else "clean",
            scaler=scaler,
        )
    assert questions.asked == []
    with Questions() as questions:
        images.sum().item()
    assert questions.asked  # it does see them
