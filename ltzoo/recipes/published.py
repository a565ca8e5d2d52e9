"""The papers' tables: published accuracies, row by row, in the papers' order of columns.

Rows that Rangwani 2022 (Table 3) and Lyu 2025 (Table 2) quote from other papers are left out, because those used other
networks and schedules.
"""

from ltzoo.recipes.recipe import Accuracy, Published

Row = tuple[float | None, float | None, float | None, float | None]
"""Overall, head, mid, tail."""

Cell = tuple[str, str, str]
"""Benchmark, LOSS[_RULE] and perturbation of a recipe's name."""

# Rangwani 2022, Table 1 (ResNet-32, IF 100, 3 seeds): benchmark, LOSS[_RULE], perturbation -> row, mean, std.
_RANGWANI_TABLE_1: dict[Cell, tuple[str, Row, Row]] = {
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


# Rangwani 2022, Table 2 (ResNet-32, step profile, IF 100): overall, head, tail on CIFAR-10 and CIFAR-100.
_RANGWANI_TABLE_2 = {
    ("ce", "sgd"): ("CE", (65.1, 88.6, 41.7), (38.6, 76.3, 0.9)),
    ("ce", "sam"): ("CE + SAM", (66.1, 92.9, 39.4), (39.3, 78.6, 0.0)),
    ("ce_drw", "sgd"): ("CE + DRW", (72.2, 93.1, 51.2), (45.8, 73.9, 17.8)),
    ("ce_drw", "sam"): ("CE + DRW + SAM", (79.3, 92.7, 65.8), (48.3, 73.1, 23.4)),
    ("ldam_drw", "sgd"): ("LDAM + DRW", (77.6, 89.2, 66.0), (45.3, 70.3, 20.4)),
    ("ldam_drw", "sam"): ("LDAM + DRW + SAM", (81.0, 90.5, 71.5), (49.2, 74.0, 24.4)),
    ("vs", "sgd"): ("VS", (77.0, 91.7, 62.3), (46.5, 69.0, 24.1)),
    ("vs", "sam"): ("VS + SAM", (82.0, 91.7, 72.3), (48.3, 70.4, 26.2)),
}

# Rangwani 2022, Table 3, its own rows (ResNet-50): overall, head, mid, tail on iNaturalist 2018 and ImageNet-LT.
_RANGWANI_TABLE_3: dict[tuple[str, str], tuple[str, Row, Row]] = {
    ("ce", "sgd"): ("CE", (60.3, 72.8, 62.7, 54.8), (42.7, 62.5, 36.6, 12.5)),
    ("ce_drw", "sgd"): ("CE + DRW", (63.0, 59.8, 64.4, 62.3), (44.9, 57.9, 42.2, 21.6)),
    ("ce_drw", "sam"): ("CE + DRW + SAM", (65.3, 60.5, 66.2, 65.5), (47.1, 56.6, 45.8, 28.1)),
    ("ldam_drw", "sgd"): ("LDAM + DRW", (67.5, 63.0, 68.3, 67.8), (49.9, 61.1, 48.2, 28.3)),
    ("ldam_drw", "sam"): ("LDAM + DRW + SAM", (70.1, 64.1, 70.5, 71.2), (53.1, 62.0, 52.1, 34.8)),
}

# Rangwani 2022, Table 4 (ResNet-32, IF 100, CE + DRW): overall, head, mid, tail on CIFAR-10-LT and CIFAR-100-LT.
_RANGWANI_TABLE_4: dict[str, tuple[str, Row, Row]] = {
    "pgd": ("CE + DRW + PGD", (77.2, 92.0, 75.2, 65.0), (42.2, 63.0, 41.6, 17.0)),
    "lpfsgd": ("CE + DRW + LPF-SGD", (78.5, 90.8, 77.7, 67.2), (42.9, 64.0, 43.7, 15.8)),
}

# Rangwani 2022, Figure 4 (CIFAR-10-LT, CE + DRW + SAM): tail accuracy by radius, as the text has it.
_RANGWANI_FIGURE_4 = {"sam05": ("rho 0.05", 63.0), "sam80": ("rho 0.8", 73.0)}

# Lyu 2025, Table 1 (ResNet-34, IF 100, one seed): many, medium, few, overall on CIFAR-100-LT and CIFAR-10-LT.
_LYU_TABLE_1 = {
    ("ce", "sgd"): ("CE", (74.3, 43.1, 11.6, 44.6), (92.3, 78.6, 54.8, 77.0)),
    ("ce", "sam"): ("CE + SAM", (75.3, 45.6, 12.9, 46.2), (93.2, 79.8, 60.4, 79.4)),
    ("ce", "imbsam"): ("CE + ImbSAM", (72.3, 50.4, 16.6, 47.9), (92.2, 79.2, 65.8, 80.4)),
    ("ce", "ssesam"): ("CE + SSE-SAM", (71.7, 54.5, 17.1, 49.3), (93.0, 80.5, 72.8, 83.2)),
    ("ldam", "sgd"): ("LDAM", (74.3, 48.4, 17.7, 48.3), (90.8, 76.0, 61.5, 77.6)),
    ("ldam", "sam"): ("LDAM + SAM", (76.3, 49.6, 19.4, 49.9), (91.2, 77.4, 62.6, 78.5)),
    ("ldam", "imbsam"): ("LDAM + ImbSAM", (72.0, 55.4, 23.3, 51.6), (89.1, 78.9, 71.7, 80.8)),
    ("ldam", "ssesam"): ("LDAM + SSE-SAM", (72.3, 54.7, 21.5, 50.9), (91.1, 81.8, 69.7, 81.9)),
    ("la", "sgd"): ("LA", (75.0, 45.7, 16.2, 47.1), (91.8, 80.0, 65.4, 80.4)),
    ("la", "sam"): ("LA + SAM", (75.2, 49.9, 21.2, 50.2), (92.3, 80.8, 73.3, 83.1)),
    ("la", "imbsam"): ("LA + ImbSAM", (68.7, 54.1, 23.5, 50.0), (91.1, 80.5, 74.0, 82.8)),
    ("la", "ssesam"): ("LA + SSE-SAM", (68.8, 58.7, 28.6, 53.2), (92.5, 81.1, 79.2, 85.1)),
    ("vs", "sgd"): ("VS", (73.5, 46.7, 19.3, 47.8), (92.0, 80.1, 65.1, 80.4)),
    ("vs", "sam"): ("VS + SAM", (73.0, 53.9, 24.6, 51.8), (89.9, 81.2, 81.9, 84.9)),
    ("vs", "imbsam"): ("VS + ImbSAM", (68.9, 55.2, 25.4, 51.0), (90.9, 80.0, 76.6, 83.3)),
    ("vs", "ssesam"): ("VS + SSE-SAM", (69.7, 57.2, 30.5, 53.5), (91.6, 82.6, 79.0, 85.1)),
}

# Lyu 2025, Table 2, its own rows (ImageNet-LT, CE, a network that it does not name): many, medium, few, overall.
_LYU_TABLE_2 = {
    "sgd": ("CE", (54.8, 43.8, 25.7, 45.1)),
    "sam": ("CE + SAM", (54.9, 44.8, 28.4, 46.0)),
    "imbsam": ("CE + ImbSAM", (54.9, 44.6, 29.2, 46.1)),
    "ssesam": ("CE + SSE-SAM", (56.0, 46.0, 31.2, 47.5)),
}

# Lyu 2025, Table 3 (CIFAR-100-LT, CE; rho of head and tail): many, medium, few, overall at IF 100 and IF 50.
_LYU_TABLE_3 = {
    "sgd": ("SGD", (74.3, 43.1, 11.6, 44.6), (73.6, 41.4, 15.4, 49.9)),
    "sam": ("SAM (0.05, 0.05)", (75.3, 45.6, 12.9, 46.2), (74.7, 43.9, 19.1, 52.1)),
    "imbsam05": ("ImbSAM (0, 0.05)", (73.0, 50.1, 15.2, 47.6), (71.4, 48.5, 23.2, 53.3)),
    "ssesam0505": ("SSE-SAM (0.05, 0.05)", (73.1, 51.3, 15.8, 48.3), (73.4, 49.7, 22.4, 54.5)),
    "samext": ("SAM (ext.) (0.05, 0.10)", (75.2, 48.6, 14.9, 47.8), (74.4, 46.4, 21.3, 53.4)),
    "imbsam": ("ImbSAM (0, 0.10)", (72.3, 50.4, 16.6, 47.9), (70.9, 50.2, 24.1, 54.0)),
    "ssesam": ("SSE-SAM (0.05, 0.10)", (71.7, 54.5, 17.1, 49.3), (72.2, 51.9, 26.1, 55.6)),
}


# From the papers' repositories: network, benchmark and method to row, overall, head, mid, tail. First stages of second
# stages have other settings than this zoo's, except those of Zhong 2021.
_REPOSITORIES: dict[str, dict[Cell, tuple[str, Row]]] = {
    "cui2021": {
        ("resnet32", "cifar100lt", "paco"): ("PaCo, CIFAR-100 IF 100", (52.0, None, None, None)),
        ("resnet50", "imagenetlt", "paco"): ("PaCo, ImageNet-LT, ResNet-50", (57.0, None, None, None)),
        ("resnet50", "inat18", "paco"): ("PaCo, iNaturalist 2018, ResNet-50", (73.2, None, None, None)),
    },
    # The paper's own runs (87.75 and 55.88 with IF 100) have a subset with repeated images; these have none.
    "du2023": {
        ("resnet32wide", "cifar10lt", "glmc"): ("GLMC, updated, CIFAR-10 IF 100", (88.5, None, None, None)),
        ("resnet32wide", "cifar10lt50", "glmc"): ("GLMC, updated, CIFAR-10 IF 50", (91.04, None, None, None)),
        ("resnet32wide", "cifar10lt10", "glmc"): ("GLMC, updated, CIFAR-10 IF 10", (94.87, None, None, None)),
        ("resnet32wide", "cifar100lt", "glmc"): ("GLMC, updated, CIFAR-100 IF 100", (57.97, None, None, None)),
        ("resnet32wide", "cifar100lt50", "glmc"): ("GLMC, updated, CIFAR-100 IF 50", (63.78, None, None, None)),
        ("resnet32wide", "cifar100lt10", "glmc"): ("GLMC, updated, CIFAR-100 IF 10", (73.4, None, None, None)),
        ("resnext50", "imagenetlt", "glmc"): ("GLMC, ImageNet-LT, ResNeXt-50", (56.3, 70.1, 52.4, 30.4)),
        ("resnext50", "inat18", "glmc"): ("GLMC, iNaturalist 2018, ResNeXt-50", (72.21, 64.6, 73.16, 73.01)),
    },
    "du2024": {
        ("resnet32", "cifar10lt", "proco"): ("ProCo, CIFAR-10 IF 100", (85.9, None, None, None)),
        ("resnet32", "cifar10lt50", "proco"): ("ProCo, CIFAR-10 IF 50", (88.2, None, None, None)),
        ("resnet32", "cifar10lt10", "proco"): ("ProCo, CIFAR-10 IF 10", (91.9, None, None, None)),
        ("resnet32", "cifar100lt", "proco"): ("ProCo, CIFAR-100 IF 100", (52.8, None, None, None)),
        ("resnet32", "cifar100lt50", "proco"): ("ProCo, CIFAR-100 IF 50", (57.1, None, None, None)),
        ("resnet32", "cifar100lt10", "proco"): ("ProCo, CIFAR-100 IF 10", (65.5, None, None, None)),
        ("resnet50", "imagenetlt", "proco"): ("ProCo, ImageNet-LT, ResNet-50, 90 epochs", (57.3, None, None, None)),
        ("resnet50", "inat18", "proco"): ("ProCo, iNaturalist 2018, ResNet-50", (73.5, None, None, None)),
    },
    "wang2021": {
        ("resnet32", "cifar100lt", "ride"): ("RIDE, 3 experts, with routing", (48.6, 67.0, 49.9, 25.7)),
        ("resnet50", "inat18", "ride"): ("RIDE, 3 experts, with routing", (71.2, 70.2, 71.2, 71.6)),
    },
    "zhang2022": {
        ("resnet32", "cifar100lt", "sade"): ("SADE, CIFAR-100 IF 100", (49.8, None, None, None)),
        ("resnet50", "inat18", "sade"): ("SADE, iNaturalist 2018", (72.9, None, None, None)),
    },
    "kang2020": {("resnet50", "inat18", "lws"): ("LWS, 90 epochs", (65.9, 65.0, 66.3, 65.5))},
    "zhang2021": {
        ("resnet50", "imagenetlt", "disalign"): ("DisAlign, ResNet-50", (52.9, 61.3, 52.2, 31.4)),
        ("resnet50", "inat18", "disalign"): ("DisAlign, ResNet-50", (69.5, 61.6, 70.8, 69.9)),
    },
    "zhong2021": {
        ("resnet32", "cifar10lt", "ce_mixup"): ("stage 1, CIFAR-10 IF 100", (72.8, None, None, None)),
        ("resnet32", "cifar100lt", "ce_mixup"): ("stage 1, CIFAR-100 IF 100", (39.5, None, None, None)),
        ("resnet50", "imagenetlt", "ce_mixup"): ("stage 1, ImageNet-LT", (45.5, None, None, None)),
        ("resnet50", "inat18", "ce_mixup"): ("stage 1, iNaturalist 2018", (66.9, None, None, None)),
        ("resnet32", "cifar10lt", "mislas"): ("MiSLAS, CIFAR-10 IF 100", (82.5, None, None, None)),
        ("resnet32", "cifar100lt", "mislas"): ("MiSLAS, CIFAR-100 IF 100", (47.0, None, None, None)),
        ("resnet50", "imagenetlt", "mislas"): ("MiSLAS, ImageNet-LT", (52.7, 61.7, 51.3, 35.8)),
        ("resnet50", "inat18", "mislas"): ("MiSLAS, iNaturalist 2018", (71.6, 73.2, 72.4, 70.4)),
    },
}

# From a paper itself, in a table that is not named here: its repository has none of this network.
_PAPERS: dict[str, dict[Cell, tuple[str, Row]]] = {
    "samuel2021": {("resnet32", "cifar100lt", "drolt"): ("DRO-LT, CIFAR-100 IF 100", (47.3, None, None, None))},
    "zhu2022": {
        ("resnet32", "cifar100lt", "bcl"): ("BCL, CIFAR-100 IF 100", (51.9, 67.2, 53.1, 32.9)),
        ("resnet32", "cifar100lt50", "bcl"): ("BCL, CIFAR-100 IF 50", (56.6, None, None, None)),
        ("resnet32", "cifar100lt10", "bcl"): ("BCL, CIFAR-100 IF 10", (64.9, None, None, None)),
        ("resnet50", "imagenetlt", "bcl"): ("BCL, ImageNet-LT, ResNet-50", (56.0, None, None, None)),
        ("resnet50", "inat18", "bcl"): ("BCL, iNaturalist 2018", (71.8, None, None, None)),
    },
}


def _gather() -> dict[tuple[str, Cell], list[Published]]:
    """Bring all tables into one: architecture and cell to what was printed for it, Rangwani 2022 before Lyu 2025."""
    gathered: dict[tuple[str, Cell], list[Published]] = {}

    def add(architecture: str, cell: Cell, figure: Published) -> None:
        gathered.setdefault((architecture, cell), []).append(figure)

    for cell, (row, mean, std) in _RANGWANI_TABLE_1.items():
        add("resnet32", cell, Published("rangwani2022", "Table 1", row, Accuracy(*mean), Accuracy(*std), n=3))
    for (loss, perturbation), (row, *found) in _RANGWANI_TABLE_2.items():
        for data_set, (overall, head, tail) in zip(("cifar10", "cifar100"), found, strict=True):
            accuracy = Accuracy(overall, head, None, tail)
            add(
                "resnet32",
                (f"{data_set}step", loss, perturbation),
                Published("rangwani2022", "Table 2", row, accuracy, None, n=3),
            )
    for (loss, perturbation), (row, *means) in _RANGWANI_TABLE_3.items():
        for benchmark, mean in zip(("inat18", "imagenetlt"), means, strict=True):
            figure = Published("rangwani2022", "Table 3", row, Accuracy(*mean), None, n=None)
            add("resnet50", (benchmark, loss, perturbation), figure)
    for perturbation, (row, *means) in _RANGWANI_TABLE_4.items():
        for benchmark, mean in zip(("cifar10lt", "cifar100lt"), means, strict=True):
            add(
                "resnet32",
                (benchmark, "ce_drw", perturbation),
                Published("rangwani2022", "Table 4", row, Accuracy(*mean), None, n=3),
            )
    for perturbation, (row, tail) in _RANGWANI_FIGURE_4.items():
        accuracy = Accuracy(None, None, None, tail)
        add(
            "resnet32",
            ("cifar10lt", "ce_drw", perturbation),
            Published("rangwani2022", "Figure 4", row, accuracy, None, n=None),
        )
    for (loss, perturbation), (row, *printed) in _LYU_TABLE_1.items():
        for benchmark, columns in zip(("cifar100lt", "cifar10lt"), printed, strict=True):
            add(
                "resnet34",
                (benchmark, loss, perturbation),
                Published("lyu2025", "Table 1", row, _in_our_order(columns), None, n=1),
            )
    for perturbation, (row, columns) in _LYU_TABLE_2.items():
        figure = Published("lyu2025", "Table 2", row, _in_our_order(columns), None, n=1)
        add("resnet50", ("imagenetlt", "ce", perturbation), figure)
    for perturbation, (row, *printed) in _LYU_TABLE_3.items():
        for benchmark, columns in zip(("cifar100lt", "cifar100lt50"), printed, strict=True):
            add(
                "resnet34",
                (benchmark, "ce", perturbation),
                Published("lyu2025", "Table 3", row, _in_our_order(columns), None, n=1),
            )
    for table, papers in (("repository", _REPOSITORIES), ("paper", _PAPERS)):
        for paper, rows in papers.items():
            for (architecture, benchmark, method), (row, mean) in rows.items():
                figure = Published(paper, table, row, Accuracy(*mean), None, n=None)
                add(architecture, (benchmark, method, "sgd"), figure)
    return gathered


def _in_our_order(columns: tuple[float, ...]) -> Accuracy:
    """Put Lyu 2025's columns, many, medium, few and overall, into our order."""
    many, medium, few, overall = columns
    return Accuracy(overall, many, medium, few)


_PUBLISHED = _gather()


def published_figures(
    architecture: str, benchmark: str, loss_and_rule: str, perturbation: str
) -> tuple[Published, ...]:
    """Look up what papers printed for a recipe; an empty tuple where none did.

    Args:
        architecture: as in a recipe's name, `resnet32`.
        benchmark: name of the benchmark.
        loss_and_rule: `LOSS[_RULE]`, `ce_drw`.
        perturbation: its word, with radii, `sam05`.
    """
    return tuple(_PUBLISHED.get((architecture, (benchmark, loss_and_rule, perturbation)), ()))
