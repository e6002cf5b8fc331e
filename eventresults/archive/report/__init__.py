"""The saved questions and their answers as one HTML page, which needs nothing beside itself."""

from eventresults.archive.report.page import write_report

__all__ = ["write_report"]
