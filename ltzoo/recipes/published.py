"""The papers' tables: what they printed, row by row."""

from ltzoo.recipes.recipe import Accuracy, Published

Row = tuple[float, float, float | None, float]

# Paper A, Table 1 (ResNet-32, IF 100, mean of 3 seeds): benchmark, LOSS[_RULE], perturbation -> row label, mean, std.
_A_TABLE_1: dict[tuple[str, str, str], tuple[str, Row, Row]] = {
    ("cifar10lt", "ce", "sgd"): ("CE", (71.7, 90.8, 71.9, 52.3), (0.1, 3.6, 0.4, 3.7)),
    ("cifar10lt", "ce", "sam"): ("CE + SAM", (73.1, 93.3, 74.1, 51.7), (0.3, 0.2, 0.6, 1.0)),
    ("cifar10lt", "ce_drw", "sgd"): ("CE + DRW", (75.5, 91.6, 74.1, 61.4), (0.2, 0.4, 0.4, 0.9)),
    ("cifar10lt", "ce_drw", "sam"): ("CE + DRW + SAM", (80.6, 91.4, 78.0, 73.1), (0.4, 0.3, 0.4, 0.9)),
    ("cifar10lt", "ldam_drw", "sgd"): ("LDAM + DRW", (77.5, 91.1, 75.7, 66.4), (0.5, 0.8, 0.7, 0.2)),
    ("cifar10lt", "ldam_drw", "sam"): ("LDAM + DRW + SAM", (81.9, 91.0, 79.2, 76.4), (0.4, 0.2, 0.5, 1.1)),
    ("cifar10lt", "vs", "sgd"): ("VS", (78.6, 90.6, 75.8, 70.3), (0.3, 0.4, 0.5, 0.5)),
    ("cifar10lt", "vs", "sam"): ("VS + SAM", (82.4, 90.7, 79.6, 78.0), (0.4, 0.0, 0.5, 0.12)),
    ("cifar100lt", "ce", "sgd"): ("CE", (38.5, 64.5, 36.8, 8.2), (0.5, 0.7, 1.0, 1.0)),
    ("cifar100lt", "ce", "sam"): ("CE + SAM", (39.6, 66.5, 38.1, 8.0), (0.6, 0.7, 1.1, 0.6)),
    ("cifar100lt", "ce_drw", "sgd"): ("CE + DRW", (41.0, 61.3, 41.7, 14.7), (0.6, 1.3, 0.5, 0.9)),
    ("cifar100lt", "ce_drw", "sam"): ("CE + DRW + SAM", (44.6, 61.2, 47.5, 20.7), (0.4, 0.8, 0.6, 0.6)),
    ("cifar100lt", "ldam_drw", "sgd"): ("LDAM + DRW", (42.7, 61.8, 42.2, 19.4), (0.3, 0.6, 1.5, 0.9)),
    ("cifar100lt", "ldam_drw", "sam"): ("LDAM + DRW + SAM", (45.4, 64.4, 46.2, 20.8), (0.1, 0.3, 0.2, 0.3)),
    ("cifar100lt", "vs", "sgd"): ("VS", (41.7, 54.4, 41.1, 26.8), (0.5, 0.2, 0.6, 1.0)),
    ("cifar100lt", "vs", "sam"): ("VS + SAM", (46.6, 56.4, 48.8, 31.7), (0.4, 0.4, 0.6, 0.1)),
}


def published_figures(
    architecture: str, benchmark: str, loss_and_rule: str, perturbation: str
) -> tuple[Published, ...]:
    """Look up what papers printed for a recipe; an empty tuple where none did.

    Args:
        architecture: as in a recipe's name, `resnet32`.
        benchmark: name of the benchmark.
        loss_and_rule: `LOSS[_RULE]`, `ce_drw`.
        perturbation: its word, `sam`.
    """
    found = _A_TABLE_1.get((benchmark, loss_and_rule, perturbation)) if architecture == "resnet32" else None
    if found is None:
        return ()
    row, mean, std = found
    return (Published("A", "Table 1", row, Accuracy(*mean), Accuracy(*std), n=3),)
