"""Reports of studies: a text table, JSON, one page of HTML.

summary, comparing, budgets: the numbers. text: what the command line prints. origin: settings, versions, commands.
tables, pictures: parts of the page. markup: the HTML that they are made of. page: the whole.
"""

from plastic_env.study.report.page import Asked, write_report
from plastic_env.study.report.summary import Details, Summary, details, summarise
from plastic_env.study.report.text import as_json, as_table

__all__ = ["Asked", "Details", "Summary", "as_json", "as_table", "details", "summarise", "write_report"]
