"""What is trained below the head: where adapters are put, what they compute, how they are merged, what is frozen."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from ltzoo.errors import InputError
from ltzoo.recipes import Trainable
from ltzoo.train import trainable as module
from ltzoo.train.trainable import check_peft, freeze, in_words, merge_adapters, put_adapters

LORA = Trainable("lora", "frozen", lora_rank=4)
SIZE = 64
IMAGE = (3, SIZE, SIZE)


def network(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    if "vit" in name:
        options["img_size"] = SIZE
    return timm.create_model(name, num_classes=7, **options).eval()


def learn(model: nn.Module) -> None:
    """Give adapters other values than their first, with which they add nothing."""
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            nn.init.normal_(parameter, std=0.05)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet", "resnet10t"])
def test_merged_equals_unmerged_and_is_the_plain_model(name):
    model, images = network(name), torch.randn(3, *IMAGE)
    plain, keys = model(images), list(model.state_dict())
    put_adapters(model, LORA, IMAGE)
    assert torch.equal(model(images), plain)
    learn(model)
    unmerged = model(images)
    assert (unmerged - plain).abs().max() > 1e-3
    merge_adapters(model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(images), unmerged, rtol=0, atol=1e-5)
    assert not any("peft" in type(part).__module__ for part in model.modules())


def test_an_adapter_adds_b_a_to_the_weights():
    """Of a linear layer and a strided convolution, in float64: W + B A, from the definition."""
    model = network("test_vit").double()
    put_adapters(model, LORA, IMAGE)
    model.double()
    learn(model)
    linear, conv = model.blocks[0].mlp.fc1, model.patch_embed.proj
    expected = linear.base_layer.weight + linear.lora_B["default"].weight @ linear.lora_A["default"].weight
    a, b = conv.lora_A["default"].weight, conv.lora_B["default"].weight
    assert (a.shape[0], a.shape[2:], b.shape[2:]) == (4, (16, 16), (1, 1))
    images = torch.randn(2, *IMAGE, dtype=torch.float64)
    kernel = conv.base_layer.weight + torch.einsum("or,rikl->oikl", b[:, :, 0, 0], a)
    found = conv(images)
    torch.testing.assert_close(found, F.conv2d(images, kernel, conv.base_layer.bias, stride=16))
    merge_adapters(model)
    torch.testing.assert_close(model.blocks[0].mlp.fc1.weight, expected)
    torch.testing.assert_close(model.patch_embed.proj.weight, kernel)


def adapted(model: nn.Module) -> set[str]:
    return {name for name, part in model.named_modules() if hasattr(part, "get_base_layer")}


def test_layers_that_an_adapter_does_not_fit_have_none():
    efficient = network("test_efficientnet")
    grouped = {name for name, part in efficient.named_modules() if getattr(part, "groups", 1) > 1}
    put_adapters(efficient, LORA, IMAGE)
    assert grouped and not grouped & adapted(efficient)
    assert not any(name.startswith("classifier") for name in adapted(efficient))
    standardised = network("test_nfnet")  # its convolutions standardise their weights
    put_adapters(standardised, LORA, IMAGE)
    assert all(type(standardised.get_submodule(name).get_base_layer()) is nn.Conv2d for name in adapted(standardised))
    # BEiT takes the weights of qkv without calling it.
    beit = network("beit_base_patch16_224", img_size=SIZE, depth=1, embed_dim=32, num_heads=2)
    put_adapters(beit, LORA, IMAGE)
    assert adapted(beit) == {"patch_embed.proj", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2"}
    learn(beit)
    freeze(beit, LORA)
    trained = [parameter for parameter in beit.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(beit(torch.randn(2, *IMAGE)).square().sum(), trained)
    assert all(bool(gradient.any()) for gradient in gradients)


def is_trained(name: str, weights: str, head: str) -> bool:
    """Say by its name whether a parameter of the networks below is trained."""
    if name.startswith(f"{head}."):
        return True
    if weights == "bias":
        return name.endswith("bias")
    norms = ("norm", "bn", "downsample.2")  # downsample.2: the BatchNorm behind ResNet's pooling and convolution
    return {
        "head": False,
        "lora": ".lora_" in name,
        "norm": any(word in name for word in norms) or name.startswith(("conv1.1", "conv1.4")),
    }[weights]


@pytest.mark.parametrize("weights", ["head", "lora", "norm", "bias"])
@pytest.mark.parametrize(("name", "head"), [("test_vit", "head"), ("resnet10t", "fc")])
def test_all_but_what_is_named_is_frozen(name, head, weights):
    model, trainable = network(name), LORA if weights == "lora" else Trainable(weights, "frozen")
    put_adapters(model, trainable, IMAGE)
    in_eval = freeze(model, trainable)
    found = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert found == {key for key, _ in model.named_parameters() if is_trained(key, weights, head)}
    assert len(found) > 2 or weights == "head"
    assert bool(in_eval) == (weights == "head")
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert f"{count:,} of {sum(p.numel() for p in model.parameters()):,} parameters are trained" in in_words(
        model, trainable
    )


def test_what_a_head_has_frozen_stays_frozen():
    model = network("test_vit")
    model.head.bias.requires_grad_(False)
    put_adapters(model, LORA, IMAGE)
    freeze(model, LORA)
    assert model.head.weight.requires_grad and not model.head.bias.requires_grad


def test_how_many_layers_have_one_is_said():
    model = network("test_efficientnet")
    layers = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    put_adapters(model, LORA, IMAGE)
    freeze(model, LORA)
    count = len(adapted(model))
    said = f"{count} layers have a LoRA adapter of rank 4, {len(layers) - count} other linear layers and convolutions"
    assert in_words(model, LORA).startswith(said)


class Depthwise(nn.Module):
    """A network without a layer that an adapter fits, and without biases and norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Linear(3, 2)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(images).mean(dim=(2, 3)))


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(InputError, match="Depthwise has no linear layer or convolution that a LoRA adapter fits; choo"):
        put_adapters(Depthwise(), LORA, IMAGE)
    for weights, said in (("norm", "no normalisation layer with weights"), ("bias", "no bias")):
        with pytest.raises(InputError, match=f"Depthwise has {said} below its head; choose another --tuning"):
            freeze(Depthwise(), Trainable(weights, "frozen"))


def test_without_peft_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"LoRA needs the library peft .pip install peft."):
        check_peft(LORA)
    check_peft(Trainable("norm", "frozen"))
