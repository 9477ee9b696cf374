"""`dim report`: any number of runs in one comparison, with intervals, paired tests and what was published."""

from dim.report.command import report

__all__ = ["report"]
