"""A model that needs no weights: it turns an issue's examples into asserts, and mutates the function under suspicion.

It stands in for a real one where what is measured is what goes on around the model (`killed.py --model mutant`).
Answers depend on the request alone. Some of its edits are right, most are wrong, as with any small model.
"""

from __future__ import annotations

import ast
import re

from agent.model.base import Request, Stage
from agent.model.scripted import Rule, ScriptedModel

SWAPS = (
    *((" + ", " - "), (" - ", " + "), (" * ", " + "), (" // ", " / "), (" % ", " // "), (" <= ", " < ")),
    (" < ", " <= "),
    *((" >= ", " > "), (" > ", " >= "), (" == ", " != "), (" != ", " == "), (" and ", " or "), (" or ", " and ")),
    *(("True", "False"), ("False", "True"), (" 1", " 2"), (" 2", " 1"), (" 0", " 1"), ("-1", "0"), ("min(", "max(")),
    *(("max(", "min("), ("append", "extend"), ("not ", ""), (" in ", " not in ")),
)  # fmt: skip
_EXAMPLE = re.compile(r"^\s*>>> (.+)\n\s*([^\s>].*)$", re.MULTILINE)
_BLOCK = re.compile(r"```(?:python)?\n(def .*?)\n```", re.DOTALL)
_FUNCTION = re.compile(r"^def \w+\(.*?(?=^\S|\Z)", re.DOTALL | re.MULTILINE)


def script(request: Request, number: int) -> str:
    """One or two of the issue's examples as asserts."""
    text = request.messages[0].content
    names = re.findall(r"^def (\w+)\(", text, re.MULTILINE)
    found = [(call, value) for call, value in _EXAMPLE.findall(text) if _is_literal(value)]
    if not found or not names:
        return "There is no example in the issue."
    some = [found[(number + step) % len(found)] for step in range(1 + number % 2)]
    lines = [f"from solution import {', '.join(dict.fromkeys(names))}", *(f"assert {c} == {v}" for c, v in some)]
    return "```python\n" + "\n".join(lines) + "\n```\n"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def edit(request: Request, number: int) -> str:
    """The suspected function with one of the swaps that it has room for."""
    blocks = _BLOCK.findall(request.messages[-1].content) or _FUNCTION.findall(request.messages[0].content)
    if not blocks:
        return "I see no function."
    function = blocks[0].rstrip() + "\n"
    places = [(old, new, at.start()) for old, new in SWAPS for at in re.finditer(re.escape(old), function)]
    if not places:
        return "I see nothing to change."
    old, new, at = places[(number * 7 + request.turn * 3) % len(places)]
    return f"```python\n{function[:at]}{new}{function[at + len(old) :]}```\n"


def mutant() -> ScriptedModel:
    """The model."""
    scripts = [lambda request, number=number: script(request, number) for number in range(16)]
    edits = [lambda request, number=number: edit(request, number) for number in range(16)]
    return ScriptedModel(
        [
            Rule(*edits, match="^(?!Write a short Python test script|Several candidates)"),
            Rule(*scripts, match="^Write a short Python test script"),
            Rule("```python\nimport solution\nprint(sorted(vars(solution)))\n```", stage=Stage.EDITING),
        ]
    )
