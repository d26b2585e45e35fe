"""Reports of studies: a text table, JSON, one page of HTML.

summary, comparing, budgets: the numbers. text: what the command line prints. origin: settings, versions, commands.
tables, pictures: parts of the page. markup: the HTML that they are made of. page: the whole.
"""

from plastic_env.study.report.page import Asked, write_report
from plastic_env.study.report.summary import Details, Summary, details, summarise
from plastic_env.study.report.text import aligned, as_json, as_table, interval_text

__all__ = [
    "Asked",
    "Details",
    "Summary",
    "aligned",
    "as_json",
    "as_table",
    "details",
    "interval_text",
    "summarise",
    "write_report",
]
