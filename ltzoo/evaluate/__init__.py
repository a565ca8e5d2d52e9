"""Evaluation: predictions to accuracy, calibration and confusion; tables and pictures of them; stored logits."""

from ltzoo.evaluate.accuracy import GroupAccuracy, class_accuracy, group_accuracy
from ltzoo.evaluate.benchmark import evaluate_model, predict_test
from ltzoo.evaluate.calibration import BINS, Calibration, measure_calibration
from ltzoo.evaluate.confusion import confusion_matrix, write_confusion
from ltzoo.evaluate.figures import Figures, measure
from ltzoo.evaluate.gather import gather
from ltzoo.evaluate.logits import LinearClassifier, StoredLogits, linear_classifier, read_logits, write_logits
from ltzoo.evaluate.pictures import (
    COLOURS,
    PERTURBATION_COLOURS,
    draw_classes,
    draw_confusion,
    draw_curves,
    draw_reliability,
    save_figure,
)
from ltzoo.evaluate.posthoc import adjust_logits, tau_normalize
from ltzoo.evaluate.precision import tf32
from ltzoo.evaluate.predict import Predictions, predict, predict_classes
from ltzoo.evaluate.seeds import seeds_table, summarize_runs
from ltzoo.evaluate.spread import Spread, spread
from ltzoo.evaluate.tables import RESULT_COLUMNS, accuracy_table, append_results, markdown_table, results_row

__all__ = [
    "BINS",
    "COLOURS",
    "PERTURBATION_COLOURS",
    "RESULT_COLUMNS",
    "Calibration",
    "Figures",
    "GroupAccuracy",
    "LinearClassifier",
    "Predictions",
    "Spread",
    "StoredLogits",
    "accuracy_table",
    "adjust_logits",
    "append_results",
    "class_accuracy",
    "confusion_matrix",
    "draw_classes",
    "draw_confusion",
    "draw_curves",
    "draw_reliability",
    "evaluate_model",
    "gather",
    "group_accuracy",
    "linear_classifier",
    "markdown_table",
    "measure",
    "measure_calibration",
    "predict",
    "predict_classes",
    "predict_test",
    "read_logits",
    "results_row",
    "save_figure",
    "seeds_table",
    "spread",
    "summarize_runs",
    "tau_normalize",
    "tf32",
    "write_confusion",
    "write_logits",
]
