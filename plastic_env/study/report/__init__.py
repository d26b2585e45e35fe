"""Reports of studies: a text table, JSON, one page of HTML.

summary, comparing, budgets: the numbers. text, tickets: what the command line prints. origin, commands: settings,
versions, and what redoes results. tables, pictures, cycle, troubles: parts of the page. markup: the HTML that they are
made of. page: the whole.
"""

from plastic_env.study.report.page import ReportSettings, write_report
from plastic_env.study.report.summary import Details, Summary, details, summarise
from plastic_env.study.report.text import as_json, as_table

__all__ = [
    "Details",
    "ReportSettings",
    "Summary",
    "as_json",
    "as_table",
    "details",
    "summarise",
    "write_report",
]
