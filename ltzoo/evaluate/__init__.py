"""Evaluation: predictions to overall, group and class accuracy; tables and pictures of them."""

from ltzoo.evaluate.benchmark import evaluate_model
from ltzoo.evaluate.figures import Figures, group_accuracy, measure
from ltzoo.evaluate.pictures import draw_classes, draw_curves
from ltzoo.evaluate.predict import Predictions, predict
from ltzoo.evaluate.seeds import seeds_table, summarize_runs
from ltzoo.evaluate.tables import accuracy_table, append_results, results_row

__all__ = [
    "Figures",
    "Predictions",
    "accuracy_table",
    "append_results",
    "draw_classes",
    "draw_curves",
    "evaluate_model",
    "group_accuracy",
    "measure",
    "predict",
    "results_row",
    "seeds_table",
    "summarize_runs",
]
