"""The report: results of runs, held against their checkpoints, beside what papers printed; tables, pictures, a page."""

from ltzoo.report.document import leaderboard_document
from ltzoo.report.entry import load_weights, make_model, measure_entry
from ltzoo.report.kept import contradictions, place_of, weights_in
from ltzoo.report.leaderboard import leaderboard_page
from ltzoo.report.paper_tables import count_text, measured_text, paper_tables, table_text
from ltzoo.report.pictures import pictures_of
from ltzoo.report.result import RULES, Claim, Result, check_name
from ltzoo.report.result_files import is_there, read_results, result_of, write_result
from ltzoo.report.standing import Standing, standings
from ltzoo.report.tables import benchmark_table, by_benchmark, csv_text

__all__ = [
    "RULES",
    "Claim",
    "Result",
    "Standing",
    "benchmark_table",
    "by_benchmark",
    "check_name",
    "contradictions",
    "count_text",
    "csv_text",
    "is_there",
    "leaderboard_document",
    "leaderboard_page",
    "load_weights",
    "make_model",
    "measure_entry",
    "measured_text",
    "paper_tables",
    "pictures_of",
    "place_of",
    "read_results",
    "result_of",
    "standings",
    "table_text",
    "weights_in",
    "write_result",
]
