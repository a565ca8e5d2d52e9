"""docs/other-loops.md: each example trains as it stands there, in fewer epochs, where its library is installed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

import ltzoo
from ltzoo.data import ClassAwareSampler
from ltzoo.sharpness import ImbSAM, StepOptions, perturbed_backward

PAGE = (Path(__file__).parents[1] / "docs" / "other-loops.md").read_text(encoding="utf-8")
DATA, TIMM, LIGHTNING, LOSS_ALONE, STEP = re.findall(r"```python\n(.*?)```", PAGE, re.S)
ALL = "DataLoader(train, batch_size=32, shuffle=True)"
FEW = "DataLoader(torch.utils.data.Subset(train, range(0, 438, 5)), batch_size=32)"
"""Every fifth image in order, three batches an epoch, where the loop does not make its own loader."""
NOT_THERE = "the example needs this library, which ltzoo does not depend on"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with the page's shared file."""
    assert ALL in DATA
    (tmp_path / "long_tail.py").write_text(DATA.replace(ALL, FEW), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    torch.manual_seed(0)
    yield tmp_path
    sys.modules.pop("long_tail", None)
    AcceleratorState._reset_state(reset_partial_state=True)


def run(code):
    """Run an example; the names that it defines."""
    names: dict = {"__name__": "example"}
    exec(code, names)
    return names


def test_the_sampler_draws_what_ltzoos_draws(folder):
    names = run(DATA)
    labels = names["train"].targets
    sampler = names["EpochSampler"](ClassAwareSampler(), labels, 32, seed=2)
    first, second = list(sampler), list(sampler)
    expected = ClassAwareSampler().order(torch.tensor(labels), 32, torch.Generator().manual_seed(2000))
    assert first == expected.tolist() and first != second
    assert len(sampler) == len(first) == len(labels)
    counts = np.bincount(np.array(labels)[first], minlength=10)
    assert counts.min() >= 40 and counts.max() <= 48  # 438 images in runs of four of each class


def test_a_loop_in_timms_manner(folder):
    names = run(TIMM)
    assert names["updates"] == 3 * 3
    assert names["losses"].count == 88 and names["losses"].avg < 2.6  # guessing among ten classes: 2.3
    assert set(names["accuracy"]) == {"head", "mid", "tail"}


def test_lightning_steps_as_a_plain_loop_does(folder):
    """The same batches in the same order, with nothing of Lightning around the step."""
    pytest.importorskip("lightning", reason=NOT_THERE)
    torch.manual_seed(1)
    names = run(LIGHTNING)
    assert names["trainer"].global_step == 5 * 3
    torch.manual_seed(1)
    plain = names["LongTailed"](names["train"].class_counts, 5).train()
    before = [parameter.detach().clone() for parameter in plain.parameters()]
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5 * 3)
    for epoch in range(5):
        weights = None if epoch < 4 else ltzoo.class_weights(names["train"].class_counts, "drw", beta=0.9999)
        for images, targets in names["loader"]:
            loss = perturbed_backward(plain.model, plain.criterion, images, targets, plain.table, weights)
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    torch.testing.assert_close(names["trainer"].callback_metrics["train_loss"], loss, atol=1e-4, rtol=1e-3)
    for found, expected, first in zip(names["module"].parameters(), plain.parameters(), before, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
        assert not torch.equal(found, first)


def test_transformers_with_another_loss(folder):
    pytest.importorskip("transformers", reason=NOT_THERE)
    names = run(LOSS_ALONE)
    images, labels = zip(*[names["train"][k] for k in range(4)], strict=True)
    outputs = names["trainer"].model.cpu().eval()(pixel_values=torch.stack(images))
    prior = torch.tensor(names["train"].class_counts).double()
    expected = torch.nn.functional.cross_entropy(
        outputs.logits.double() + (prior / prior.sum()).log(), torch.tensor(labels)
    )
    found = names["adjusted"](outputs, torch.tensor(labels))
    assert found.item() == pytest.approx(float(expected), abs=1e-5)
    assert names["result"].global_step == 2 * 14 and names["result"].training_loss < 4


def test_transformers_with_the_step(folder):
    pytest.importorskip("transformers", reason=NOT_THERE)
    names = run(STEP)
    assert names["result"].global_step == 2 * 14 and names["result"].training_loss < 3
    trainer = names["trainer"]
    drawn = trainer._get_train_sampler()
    assert isinstance(drawn, names["EpochSampler"])
    fresh = names["ResNetForImageClassification"](names["config"])
    batch = names["collate"]([names["train"][k] for k in range(0, 400, 40)])
    trainer.model = trainer.model.cpu()
    trainer.model.load_state_dict(fresh.state_dict())
    trainer.model.zero_grad()
    trainer.training_step(trainer.model, batch)
    counts = torch.tensor(names["train"].class_counts)
    options = StepOptions(forward=lambda images: fresh(pixel_values=images).logits)
    criterion = torch.nn.CrossEntropyLoss(reduction="none")
    table = ImbSAM(0.05, 20).table(counts)
    perturbed_backward(fresh.train(), criterion, batch["pixel_values"], batch["labels"], table, options=options)
    for found, expected in zip(trainer.model.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)
