"""Renders a result as one HTML file that needs nothing else, and runs and loads nothing else.

Model text is hostile: every value is escaped by Jinja's autoescape, and should that ever fail, the page's content
security policy allows no script, style, image, frame, form or connection but the two inline blocks it names by digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report.matrix_svg import BAR
from harness.report.text import clean, seconds
from harness.report.view import make_view
from harness.result import Result, TurnRecord

OUTPUT_CHARS = 100_000
"""Of one printed value; what may be long was cut by the view before."""


def render(result: Result, turns: Sequence[TurnRecord]) -> str:
    """The report of one run: a whole HTML document, to be written as UTF-8.

    `turns` in any order; they are grouped by trajectory. Equal arguments give equal text.
    """
    css, script = asset("report.css"), asset("report.js")
    view = make_view(result, turns)
    return (
        environment()
        .get_template("report.html")
        .render(
            view=view,
            result=result,
            picture=view.picture,
            patch=escape(view.patch),  # byte for byte, for copying: escaped, but not cleaned
            bar_room=BAR,
            css=Markup(css),  # noqa: S704 - our own file, not a stranger's text
            script=Markup(script),  # noqa: S704
            policy=policy(css, script),
        )
    )


@cache
def environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = seconds
    return environment


def _shown(value: object) -> object:
    """The last gate: whatever a template prints is cleaned, also what a view forgot. `Markup` is our own."""
    return clean(value, OUTPUT_CHARS) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def asset(name: str) -> str:
    return files("harness.report").joinpath("templates", name).read_text("utf-8").strip()


def policy(css: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_digest(css)}; script-src {_digest(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
