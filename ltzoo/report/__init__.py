"""The report: results compared with their checkpoints and with published figures; tables, plots and a web page."""

from ltzoo.report.benchmark_tables import benchmark_table, csv_text, group_by_benchmark
from ltzoo.report.external_model import load_weights, make_model, measure_external_model
from ltzoo.report.grid import grid_tables
from ltzoo.report.leaderboard import leaderboard_data, leaderboard_page
from ltzoo.report.model_results import ModelResults, group_by_model
from ltzoo.report.paper_tables import count_text, measured_text, paper_tables, table_text
from ltzoo.report.rebalancing import rebalancing_tables, tau_norm_sentence
from ltzoo.report.recipe_plots import available_plots
from ltzoo.report.references import references_table
from ltzoo.report.result import RULES, Claim, Result, check_name, check_url
from ltzoo.report.result_files import has_result, read_results, result_from_checkpoint, write_result
from ltzoo.report.stages import fresh_and_pretrained, is_pretrained, under_first_stages
from ltzoo.report.zoo_check import contradictions, zoo_path, zoo_weights

__all__ = [
    "RULES",
    "Claim",
    "ModelResults",
    "Result",
    "available_plots",
    "benchmark_table",
    "check_name",
    "check_url",
    "contradictions",
    "count_text",
    "csv_text",
    "fresh_and_pretrained",
    "grid_tables",
    "group_by_benchmark",
    "group_by_model",
    "has_result",
    "is_pretrained",
    "leaderboard_data",
    "leaderboard_page",
    "load_weights",
    "make_model",
    "measure_external_model",
    "measured_text",
    "paper_tables",
    "read_results",
    "rebalancing_tables",
    "references_table",
    "result_from_checkpoint",
    "table_text",
    "tau_norm_sentence",
    "under_first_stages",
    "write_result",
    "zoo_path",
    "zoo_weights",
]
