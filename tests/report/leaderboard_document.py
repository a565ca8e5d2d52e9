"""A small document for the leaderboard page, with hostile strings in every text."""

HOSTILE = '</script><!--<script><img src=x onerror="window.broken = 1"> {{title}} \u2028 \u2029'


def figure(overall, head, mid, tail, epoch=2):
    """Figures by two groupings, of which `thirds` has others."""
    groups = {
        "mislas": {"head": head, "mid": mid, "tail": tail},
        "thirds": {"head": head + 1, "mid": mid + 1, "tail": tail + 1},
    }
    return {"epoch": epoch, "overall": overall, "groups": groups, "per_class": [tail, head, mid, tail]}


def run(seed, last, best=None):
    curve = {"epoch": [1, 2], "train_loss": [2.0, 1.0], "overall": [10.0, last["overall"]]}
    curve |= {"head": [20.0, 80.0], "mid": [None, 50.0], "tail": [0.0, 10.0]}
    figures = {"last": last, "best": best, "paper": None}
    return {
        "seed": seed,
        "precision": "float32",
        "machine": f"a processor {seed}",
        "minutes": 3.25,
        "figures": figures,
        "curve": curve,
    }


def published(overall, label="rangwani2022, Table 1"):
    return {"label": label, "overall": overall, "head": 70.0, "mid": 40.0, "tail": None} | {
        "rule": "paper",
        "groups": "mislas",
    }


def row(model, benchmark="long", backbone="resnet20_cifar", groups="mislas", **more):
    load = f'ltzoo.create_model("{model}", pretrained=True)'
    nothing = {"load": load, "published": [], "claimed": None, "note": None, "runs": []}
    return {"model": model, "benchmark": benchmark, "backbone": backbone, "groups": groups} | nothing | more


def benchmark(title):
    mislas = {"head": [1], "mid": [2], "tail": [0, 3]}
    thirds = {"head": [1, 2], "mid": [0], "tail": [3]}
    names = ["deer", "cat", HOSTILE, "dog"]
    counts = [5, 90, 30, 4]
    return {
        "title": title,
        "class_counts": counts,
        "class_names": names,
        "groupings": {"mislas": mislas, "thirds": thirds},
    }


SEEDS = [40.0, 42.0, 47.0]
DOCUMENT = {
    "title": "zoo & <co>",
    "columns": ["overall", "head", "mid", "tail"],
    "rules": {"last": "last epoch", "best": "best epoch on the test set", "paper": "the paper's own rule"},
    "benchmarks": {"long": benchmark("Long, IF 100"), "step": benchmark("Step, IF 10")},
    "rows": [
        row("unmeasured_a", published=[published(90.0)], load=None),
        row("single", runs=[run(0, figure(50.0, 80.0, 50.0, 10.0), figure(55.0, 81.0, 56.0, 20.0, 1))]),
        row(
            "seeds",
            backbone="resnet34_cifar",
            groups="thirds",
            published=[published(44.0) | {"limit": 0.9}, published(None, "lyu2025, Appendix")],
            runs=[run(seed, figure(overall, overall + 20, 40.0, 20.0)) for seed, overall in enumerate(SEEDS)],
            note="a note of its own",
        ),
        row("distant", benchmark="step", published=[published(61.6)], runs=[run(0, figure(60.0, 70.0, 60.0, 30.0))]),
        row(
            "elsewhere",
            benchmark="step",
            claimed={"overall": 52.8, "source": "https://example.org/models?name=one"},
            runs=[run(0, figure(51.3, 65.0, 50.0, 40.0))],
        ),
        row(
            HOSTILE,
            published=[published(12.0, HOSTILE)],
            load=HOSTILE,
            note=HOSTILE,
            claimed={"overall": 1.0, "source": "javascript:window.broken=1"},
        ),
    ],
}
MEASURED = ["distant", "elsewhere", "single", "seeds"]
"""From the highest overall accuracy to the lowest."""
