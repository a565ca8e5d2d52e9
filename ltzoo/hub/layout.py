"""The layout of a checkpoint: a folder whose files have these names, on a disk and on the Hub."""

CONFIG = "config.json"
"""What timm needs to build the model; beside it recipe, class names and counts, groups, metrics, subset, versions.
Where the weights are not the last epoch's, the epochs that they were trained."""

WEIGHTS = "model.safetensors"
"""The last epoch's state dict, in half precision where that changes no class's accuracy; any other's, in float32."""

METRICS = "metrics.json"
"""All figures."""

SUMMARY = "summary.csv"
"""The training curve, a row an epoch."""

CLASSES_PICTURE, CURVES_PICTURE = "classes.png", "curves.png"
"""Each class's accuracy over its training images; the training curves."""

EXAMPLE = "test/rand_tensors.safetensors"
"""An `input`, and the `output` that the written weights give for it in float32 on a CPU."""

CARD = "README.md"
"""The model card."""

MANIFEST = "SHA256SUMS"
"""The SHA-256 of every other file, as `sha256sum --check` reads it."""

FILES = (CONFIG, WEIGHTS, METRICS, SUMMARY, CLASSES_PICTURE, CURVES_PICTURE, EXAMPLE, CARD)
"""All that the manifest covers. Other files may lie beside them, on the Hub a licence, say; they are none of ours."""
