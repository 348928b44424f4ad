"""Reads the examples that an issue gives: calls, and what should come of each. Pure; nothing is run.

Notations: a session of the Python prompt (`doctest` parses it), with what was "expected" instead behind it; lines such
as `f(x) == y`, `f(x) => y`, `f(x) should return y`; "Input: ... Output: ..." and "For n = 3, the result should be 4".
Whether an example shows the issue, or what is wrong today, no reader can know: see `agent.example_scripts`.
"""

from __future__ import annotations

import ast
import doctest
import keyword
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

MOST = 8
"""Examples of one issue: each becomes a script that runs on every class."""
_TEXT, _LINE = 60_000, 1_000
"""Characters of an issue, and of one of its lines, that are looked at."""
_INPUT_LINES, _STEPS, _SIGNS, _STARTS, _ENDS, _DEPTH = 8, 40, 8, 4, 40, 50
"""At most: lines of input, steps before a call, signs of a line, calls before one, ends of its value, nested nodes."""

_PROMPT = doctest.DocTestParser()
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_TRACEBACK = re.compile(r"^\s*(?:([\w.]+)\s+)?Traceback \(most recent call last\)", re.MULTILINE)
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?::.*)?$")
_EXPECTED = re.compile(r"\bexpect(?:ed|ing)?:?\s+(?=[`\[({'\"\d-]|None|True|False)", re.IGNORECASE)
_NEAR = 200
"""Characters behind a session within which a sentence says what was expected of its last call."""
_GIVES = re.compile(
    r"\s*(?:(?:#\s*)?(?:={1,2}>|--?>|[➞→⇒])|===?|(?<![<>!:=])=(?![=>])|`?\s+(?:should\s+)?(?:returns?|be|give|equal)\s)\s*"
)
_END = re.compile(r"[.,;`]*(?=\s+[#(])|[.,;`]+(?=\s|$)")
_BULLET = re.compile(r"^\s*(?:[*+-]|\d+[.)])\s+")
_CALL = re.compile(r"(?<![\w.])[A-Za-z_][\w.]*\(")
_NOTHING_BEFORE = frozenset("+-*/%@(,[.=<>&|^~\"'{")
_INPUT = re.compile(r"^\W*input\s*:\s*(.*)$", re.IGNORECASE)
_OUTPUT = re.compile(r"^\W*output\s*:\s*(.+)$", re.IGNORECASE)
_FOR = re.compile(r"^\W*for\s+(\w+\s*=.+?),?\s+(?:the\s+)?(?:result|output)\s+should\s+be\s+(.+)$", re.IGNORECASE)
_BINDING = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
_NAME = re.compile(r"^\s*([A-Za-z_]\w*)\s*[:=]\s*")


@dataclass(frozen=True)
class Example:
    """One call of an issue, and what the issue says comes of it."""

    block: int
    """Examples of one code block, or of the prose between two, stand together."""
    setup: tuple[str, ...]
    """Statements that the call needs, from earlier lines of its session."""
    call: str
    expected: str
    """A Python literal, the name of an exception, or what the prompt shows."""
    raises: bool = False

    @property
    def question(self) -> tuple[tuple[str, ...], str]:
        """Equal for examples that say what comes of the same call."""
        return self.setup, self.call


@dataclass(frozen=True)
class _Step:
    """One step of a session."""

    chunk: int | None
    """Where it stands, if it only prepares; an example is run again only for what it changes."""
    source: str


def examples_of(issue: str, functions: Mapping[str, Sequence[str]]) -> tuple[Example, ...]:
    """The first `MOST` different examples of an issue, in the order of its blocks. Never raises.

    `functions`: the names of their parameters by the names of functions that an example without a call may mean.
    """
    found: dict[Example, None] = {}
    for number, block in enumerate(_blocks(issue[:_TEXT])):
        for reader in (_session(number, block), _noted(number, block), _described(number, block, functions)):
            # A stranger's text may hold thousands, all of them the same.
            found.update((example, None) for example in islice(reader, 4 * MOST))
        if len(found) >= MOST:
            break
    return tuple(found)[:MOST]


def literal(text: str) -> str | None:
    """The text as a Python literal in its usual spelling; None when it is none, or leaves something out (`...`)."""
    value = parsed(text)
    if value is None or any(isinstance(n, ast.Constant) and n.value is Ellipsis for n in ast.walk(value)):
        return None
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None
    return ast.unparse(value)


def parsed(text: str) -> ast.expr | None:
    """The expression that a text is; None when it is none."""
    module = _module(text.strip())
    only = module.body[0] if module is not None and len(module.body) == 1 else None
    return only.value if isinstance(only, ast.Expr) else None


def _module(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd literals and comparisons in a stranger's text
        try:
            module = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    level: list[ast.AST] = [module]
    for _ in range(_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return module if not level else None  # what is nested deeper can be parsed, but not be written again


def _blocks(issue: str) -> list[list[str]]:
    """The lines of each fenced block and of the prose between them, without those that are too long."""
    blocks: list[list[str]] = [[]]
    for line in issue.splitlines():
        if _FENCE.match(line):
            blocks.append([])
        elif len(line) <= _LINE:
            blocks[-1].append(line.rstrip())
    return blocks


def _session(number: int, lines: Sequence[str]) -> Iterator[Example]:
    """What the Python prompt shows, with names carried on; and what a sentence behind it says was expected."""
    earlier: list[_Step] = []
    text = "\n".join(lines)
    for chunk, match in enumerate(re.finditer(r"[^\n]+(?:\n[^\n]+)*", text)):  # what stands between blank lines
        try:
            parts = _PROMPT.get_examples(match.group()) if ">>>" in match.group() else []
        except ValueError:  # not indented alike, no blank behind the prompt: no session
            continue
        last: Example | None = None
        for part in parts:
            last = _shown(number, chunk, earlier, part.source.strip(), part.want)
            if last is not None:
                yield last
            if last is None or not last.raises:
                step = _Step(chunk if last is None else None, part.source)
                earlier = [*earlier[1 - _STEPS :], step]
        behind = text[match.end() : match.end() + _NEAR].partition(">>>")[0]
        said = _EXPECTED.search(behind)
        if last is not None and said and (value := _leading_literal(behind[said.end() :])) is not None:
            yield Example(number, last.setup, last.call, value)


def _shown(number: int, chunk: int, earlier: Sequence[_Step], source: str, want: str) -> Example | None:
    """The example in one step of a session; None for a step that only prepares others."""
    call = parsed(source)
    if call is None:
        return None
    value: str | None = None
    if raised := _raised(want):
        return Example(number, _needed(earlier, chunk, call), ast.unparse(call), raised, raises=True)
    if want.strip():
        # Prose may follow without a blank line; a value that ends with the first line is not continued by it.
        value = want.strip()
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "print"):
            value = literal(want) or literal(want.partition("\n")[0]) or value
    elif isinstance(call, ast.Compare) and len(call.ops) == 1 and isinstance(call.ops[0], ast.Eq | ast.Is):
        value, call = literal(ast.unparse(call.comparators[0])), call.left
    return None if value is None else Example(number, _needed(earlier, chunk, call), ast.unparse(call), value)


def _raised(want: str) -> str | None:
    """The exception that a traceback shows."""
    trace = _TRACEBACK.search(want)
    if trace is None:
        return None
    ends = (_RAISED.match(line) for line in want[trace.end() :].splitlines())
    return next((end.group(1) for end in ends if end), trace.group(1))


def _needed(earlier: Sequence[_Step], chunk: int, call: ast.expr) -> tuple[str, ...]:
    """The earlier steps that prepare a call: those just before it, and what binds or touches a name that it needs."""
    modules = [(step.chunk == chunk, module) for step in earlier if (module := _module(step.source)) is not None]
    bound = {name for _, module in modules for name in _bound(module)}
    needed, kept = _names(call, ast.Load), list[str]()
    for near, module in reversed(modules):
        binds, uses = _bound(module), _names(module, ast.Load)
        # What only binds names changes no other; anything else may change what it touches.
        touched = set[str]() if binds and isinstance(module.body[0], _BINDING) else uses & bound
        if module.body and (near or "*" in binds or (binds | touched) & needed):
            kept.append(ast.unparse(module))
            needed |= uses
    return tuple(reversed(kept))


def _names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def _bound(module: ast.Module) -> set[str]:
    names = _names(module, ast.Store)
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    return names


def _noted(number: int, lines: Iterable[str]) -> Iterator[Example]:
    """Lines that say what a call gives, outside of sessions."""
    for line in lines:
        if ">>>" in line or "(" not in line:
            continue
        for sign in islice(_GIVES.finditer(line), _SIGNS):
            call = _last_call(line[: sign.start()])
            value = _leading_literal(line[sign.end() :])
            if call is not None and value is not None:
                yield Example(number, (), call, value)
                break


def _last_call(text: str) -> str | None:
    """The call that a text ends with; nothing but words or `assert` may stand before it."""
    text = _BULLET.sub("", text).strip().rstrip("`").rstrip()
    for start in islice(_CALL.finditer(text), _STARTS):
        call = parsed(text[start.start() :])
        if isinstance(call, ast.Compare) and len(call.ops) == 1 and isinstance(call.ops[0], ast.Eq):
            call = call.left  # f(x) == 1 + 9 = 10
        if not isinstance(call, ast.Call):
            continue
        before = text[: start.start()].rstrip()
        word = re.search(r"\w*$", before)
        ends = word.group() if word else ""
        if before[-1:] in _NOTHING_BEFORE or (ends != "assert" and keyword.iskeyword(ends)):
            return None
        return ast.unparse(call)
    return None


def _leading_literal(text: str) -> str | None:
    """The literal that a text begins with, if the sentence ends with it: nothing, a stop, or an aside follows."""
    text = text.lstrip("` ").partition("\n")[0].rstrip(" .,;`")
    ends = [len(text), *(end.start() for end in islice(_END.finditer(text), _ENDS))]
    for end in sorted(set(ends), reverse=True):
        if (value := literal(text[:end])) is not None:
            return value
    return None


def _described(number: int, lines: Iterable[str], functions: Mapping[str, Sequence[str]]) -> Iterator[Example]:
    """Arguments and a result in words; the function is the one that they fit."""
    given: list[str] | None = None
    for line in lines:
        if (spoken := _FOR.match(line)) is not None:
            yield from _of(number, [spoken.group(1)], spoken.group(2), functions)
        elif (begin := _INPUT.match(line)) is not None:
            given = [begin.group(1)]
        elif given is not None and (end := _OUTPUT.match(line)) is not None:
            yield from _of(number, given, end.group(1), functions)
            given = None
        elif given is not None:
            given = [*given, line] if len(given) < _INPUT_LINES else None


def _of(number: int, given: Sequence[str], result: str, functions: Mapping[str, Sequence[str]]) -> Iterator[Example]:
    value = _leading_literal(result)
    text = ", ".join(_NAME.sub(r"\1=", line.strip().strip("`")) for line in given if line.strip())
    call = parsed(f"_({text})")
    if value is None or not isinstance(call, ast.Call):
        return
    arguments = {keyword.arg or "": keyword.value for keyword in call.keywords} or dict(enumerate(call.args))
    if (call.args and call.keywords) or any(literal(ast.unparse(node)) is None for node in arguments.values()):
        return
    named = [name for name, parameters in functions.items() if set(arguments) <= set(parameters) and call.keywords]
    alike = [name for name, parameters in functions.items() if len(parameters) == len(arguments)]
    fitting = named or alike
    if len(fitting) != 1:
        return
    # Names that are no parameters' only tell the order.
    keys = [f"{name}={ast.unparse(node)}" if named else ast.unparse(node) for name, node in arguments.items()]
    yield Example(number, (), f"{fitting[0]}({', '.join(keys)})", value)
