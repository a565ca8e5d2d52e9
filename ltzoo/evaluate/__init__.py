"""Evaluation: from predictions to accuracy, calibration and confusion; tables and plots of them; stored logits."""

from ltzoo.evaluate.accuracy import (
    GroupAccuracy,
    class_accuracy,
    confusion_matrix,
    group_accuracy,
    write_confusion,
)
from ltzoo.evaluate.calibration import BINS, Calibration, measure_calibration
from ltzoo.evaluate.experts import measure_experts
from ltzoo.evaluate.features import (
    FeatureKey,
    FeatureOrigin,
    StoredFeatures,
    features_of,
    hash_tensors,
    read_features,
    weights_key,
    write_features,
)
from ltzoo.evaluate.figures import Figures, measure
from ltzoo.evaluate.gathering import gather
from ltzoo.evaluate.logits import (
    HELD_OUT_RULE,
    LinearClassifier,
    StoredLogits,
    linear_classifier,
    read_logits,
    write_logits,
)
from ltzoo.evaluate.model import EvalOptions, evaluate_model, predict_test
from ltzoo.evaluate.plots import (
    COLOURS,
    PERTURBATION_COLOURS,
    draw_class_counts,
    draw_classes,
    draw_confusion,
    draw_curves,
    draw_reliability,
    save_figure,
    shade_groups,
)
from ltzoo.evaluate.posthoc import adjust_logits, tau_normalize
from ltzoo.evaluate.precision import tf32
from ltzoo.evaluate.predict import Predictions, predict, predict_classes
from ltzoo.evaluate.prior import LogitPrior, prior_of_logits, with_prior
from ltzoo.evaluate.prior_file import read_shares
from ltzoo.evaluate.seeds import Spread, seeds_table, spread, summarize_runs
from ltzoo.evaluate.tables import (
    RESULT_COLUMNS,
    accuracy_table,
    append_results,
    escape_markdown,
    markdown_table,
    results_row,
)
from ltzoo.evaluate.worst import WorstClass, worst_classes, worst_table

__all__ = [
    "BINS",
    "COLOURS",
    "HELD_OUT_RULE",
    "PERTURBATION_COLOURS",
    "RESULT_COLUMNS",
    "Calibration",
    "EvalOptions",
    "FeatureKey",
    "FeatureOrigin",
    "Figures",
    "GroupAccuracy",
    "LinearClassifier",
    "LogitPrior",
    "Predictions",
    "Spread",
    "StoredFeatures",
    "StoredLogits",
    "WorstClass",
    "accuracy_table",
    "adjust_logits",
    "append_results",
    "class_accuracy",
    "confusion_matrix",
    "draw_class_counts",
    "draw_classes",
    "draw_confusion",
    "draw_curves",
    "draw_reliability",
    "escape_markdown",
    "evaluate_model",
    "features_of",
    "gather",
    "group_accuracy",
    "hash_tensors",
    "linear_classifier",
    "markdown_table",
    "measure",
    "measure_calibration",
    "measure_experts",
    "predict",
    "predict_classes",
    "predict_test",
    "prior_of_logits",
    "read_features",
    "read_logits",
    "read_shares",
    "results_row",
    "save_figure",
    "seeds_table",
    "shade_groups",
    "spread",
    "summarize_runs",
    "tau_normalize",
    "tf32",
    "weights_key",
    "with_prior",
    "worst_classes",
    "worst_table",
    "write_confusion",
    "write_features",
    "write_logits",
]
