"""`report.html`: one file that says what a run did and why the winner won."""

from harness.report.render import render

__all__ = ["render"]
