"""`ltzoo doctor`: what this machine is and can do, whether it computes the same in every way, and what to use on it."""

from ltzoo.doctor.examination import examine
from ltzoo.doctor.report import Report, read_report

__all__ = ["Report", "examine", "read_report"]
