"""Which functions an edit should look at first: named by the issue, called by the test script, called by those.

A small model that is shown a whole repository mostly writes some function again as it was, or the wrong one. Shown
one suspect by itself, it corrects that. Where several are plausible, trajectories look at different ones.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from agent.context.outline import Symbol, symbols
from agent.context.sources import is_test
from sandbox.base import RepoPath, Tree

_CALLED, _NAMED, _MENTIONED, _INHERITED = 4.0, 6.0, 2.0, 0.6
_LEVELS = 2


@dataclass(frozen=True)
class Suspect:
    """A function or method with its source, as one Python block: a method stands inside its `class` line."""

    path: RepoPath
    qualified: str
    source: str
    score: float


@dataclass(frozen=True)
class Subject:
    """A function as a test script imports it."""

    module: str
    name: str


def suspects(issue: str, script: str | None, tree: Tree, shown: Sequence[RepoPath], *, most: int = 4) -> list[Suspect]:
    """The functions of the shown files that are most likely wrong, best first; empty when nothing points to any."""
    found: list[tuple[RepoPath, str, Symbol]] = []
    for path in shown:
        if path.endswith(".py") and not is_test(path):
            text = tree[path].decode("utf-8", "replace")
            found += [(path, text, symbol) for symbol in symbols(path, text) if symbol.kind == "function"]
    called = _called(script) if script else frozenset[str]()
    code = _in_code(issue)
    scores: dict[tuple[RepoPath, str], float] = {}
    for path, _, symbol in found:
        owner = symbol.qualified.split(".")[-2] if "." in symbol.qualified else ""
        # A class that is called runs its constructor.
        names = {owner} if symbol.name == "__init__" else {symbol.name}
        score = _CALLED * bool(names & called) + _NAMED * bool(names & code)
        if any(_telling(name) and re.search(rf"\b{re.escape(name)}\b", issue) for name in names):
            score += _MENTIONED
        if owner and owner in code and score:
            score += _MENTIONED
        scores[path, symbol.qualified] = score
    _inherit(found, scores)
    ranked = sorted(
        (
            (scores[path, symbol.qualified], -number, path, text, symbol)
            for number, (path, text, symbol) in enumerate(found)
        ),
        key=lambda item: (-item[0], -item[1]),
    )
    best = ranked[0][0] if ranked else 0.0
    return [
        Suspect(path, symbol.qualified, _source(text, symbol, symbols(path, text)), score)
        for score, _, path, text, symbol in ranked[:most]
        if score > 0 and score >= best / 5
    ]


def subject(issue: str, tree: Tree, shown: Sequence[RepoPath], home: Callable[[str], str | None]) -> Subject | None:
    """The one top-level function that the issue writes as code; None where it names none, several or only methods.

    `home` tells the one module that defines a name.
    """
    first, second = [*suspects(issue, None, tree, shown, most=2), None, None][:2]
    if first is None or first.score < _NAMED or "." in first.qualified:
        return None
    if second is not None and second.score == first.score:
        return None
    module = home(first.qualified)
    # A file's name is a stranger's text, and stands outside the parts of a prompt that are set apart as such.
    if module is None or not all(part.isidentifier() and not iskeyword(part) for part in module.split(".")):
        return None
    return Subject(module, first.qualified)


def dealt(found: Sequence[Suspect], number: int, turn: int = 0) -> Suspect | None:
    """The suspect of trajectory `number`: each in proportion to its score, the best most often; later turns move on.

    Sainte-Lague's method of dealing seats, which depends on nothing but the scores.
    """
    if not found:
        return None
    seats = [0] * len(found)
    seat = 0
    for _ in range(number + 1):
        seat = max(range(len(found)), key=lambda i: (found[i].score / (2 * seats[i] + 1), -i))
        seats[seat] += 1
    return found[(seat + turn) % len(found)]


def _telling(name: str) -> bool:
    """Whether a name in prose can only be an identifier: `split_bill` or `busyMinutes`, but not `bill`."""
    return "_" in name.strip("_") or re.search(r"[a-z][A-Z]", name) is not None


def _called(script: str) -> frozenset[str]:
    """Names that a script calls or imports from the repository."""
    try:
        module = ast.parse(script)
    except (SyntaxError, ValueError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                names.add(node.func.id)
            elif isinstance(node.func, ast.Attribute):
                names.add(node.func.attr)
    return frozenset(names)


def _in_code(issue: str) -> frozenset[str]:
    """Names that the issue writes as code: in backticks, before a parenthesis, after a dot, in an indented line."""
    parts = re.findall(r"`([^`\n]+)`", issue) + re.findall(r"^(?: {4}|\t|>>> ).*$", issue, re.MULTILINE)
    names = {name for part in parts for name in re.findall(r"[A-Za-z_]\w*", part)}
    names.update(re.findall(r"\b([A-Za-z_]\w*)\(", issue))
    return frozenset(names)


def _inherit(found: Sequence[tuple[RepoPath, str, Symbol]], scores: dict[tuple[RepoPath, str], float]) -> None:
    """What a suspect calls is suspect too, a little less, two calls deep."""
    homes: dict[str, list[tuple[RepoPath, str]]] = {}
    for path, _, symbol in found:
        homes.setdefault(symbol.name, []).append((path, symbol.qualified))
    for _ in range(_LEVELS):
        before = dict(scores)
        for path, text, symbol in found:
            mine = before[path, symbol.qualified]
            if mine <= 0:
                continue
            body = "\n".join(text.splitlines()[symbol.body : symbol.end])
            for name in set(re.findall(r"\b([A-Za-z_]\w*)\(", body)):
                targets = homes.get(name, [])
                for target in targets:
                    if target != (path, symbol.qualified) and len(targets) <= 3:
                        scores[target] = max(scores[target], _INHERITED * mine)


def _source(text: str, symbol: Symbol, around: Sequence[Symbol]) -> str:
    lines = text.splitlines()
    body = lines[symbol.start : symbol.end]
    if "." not in symbol.qualified:
        return "\n".join(body)
    owner = next(
        (other for other in reversed(around) if other.kind == "class" and other.start < symbol.start < other.end), None
    )
    if owner is None:
        return "\n".join(body)
    head = next((line for line in lines[owner.start : owner.end] if line.lstrip().startswith("class ")), "class _:")
    return "\n".join([head, *body])
