"""Makes test scripts of the issue's examples, and runs them on the unedited tree.

An example that fails there is a valid script that no model misread. One that holds there may be what is wrong today,
which reports like to show. It is a guard, which votes as well, only where an example of the same block fails, none
says something else of the same call, and it is no traceback; else it has no vote.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.context.sources import is_test
from agent.examples import Example, examples_of, literal, parsed
from agent.exchange import Ground
from agent.parallel import each
from agent.snippet import Script, Symbols, read_script, unbound
from agent.test_writing import is_valid, on_unedited
from agent.trajectory import ISSUE, ScriptId, TestScript
from sandbox.base import RepoPath, Tree
from sandbox.errors import SandboxError
from sandbox.script import Verdict

_LONGEST = 4_000
"""Characters of one script."""

# Equal up to 1e-6, as doctests of floats are read: what they print depends on the machine.
_NEAR = """\
def _near(found, expected):
    if isinstance(expected, float):
        try:
            return found == expected or abs(found - expected) <= 1e-6 * max(1.0, abs(expected))
        except TypeError:
            return False
    if isinstance(expected, (list, tuple)) and type(found) is type(expected):
        return len(found) == len(expected) and all(map(_near, found, expected))
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(_near(found[key], expected[key]) for key in expected)
    return found == expected
"""

_RAISES = """\
try:
    {call}
except Exception as error:
    raised = [kind.__name__ for kind in type(error).__mro__]
else:
    raised = ["nothing"]
assert {expected!r} in raised, "raised " + raised[0]
"""

_PRINTS = """\
import contextlib, doctest, io
with contextlib.redirect_stdout(io.StringIO()) as printed:
    {call}
found = printed.getvalue()
"""

_SHOWS = """\
import doctest
found = repr({call}) + "\\n"
"""

_LIKE = """\
assert doctest.OutputChecker().check_output({expected!r}, found, doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS), found
"""


async def issue_scripts(ground: Ground) -> tuple[TestScript, ...]:
    """The issue's examples as test scripts that have run on the unedited tree, in the order of the issue.

    An example for which the sandbox failed is left out. Raises nothing of the sandbox.
    """
    functions = functions_named(ground.task.issue, ground.context.tree, ground.context.paths)
    sources: dict[str, Example] = {}
    for example in examples_of(ground.task.issue, functions):
        meant = _meant(example, functions, ground.symbols)
        if (source := script_of(meant, ground.symbols)) is not None:
            sources.setdefault(source, meant)

    async def one(numbered: tuple[int, str]) -> TestScript | None:
        number, source = numbered
        try:
            # The issue says what the call gives: any exception of the code called is something else.
            kept, run = await on_unedited(ground, source, any_exception=True)
        except SandboxError as error:
            ground.recorder.note("example_failed", {"script": number, "error": type(error).__name__})
            return None
        return TestScript(ScriptId(f"script-{ISSUE}-{number}"), kept, is_valid(run, ground), ISSUE, run)

    made = await each(list(enumerate(sources)), one, at_once=max(1, len(sources)))
    pairs = [(script, example) for script, example in zip(made, sources.values(), strict=True) if script is not None]
    return tuple(replace(script, guard=_guards(script, example, pairs)) for script, example in pairs)


def _guards(script: TestScript, example: Example, others: Sequence[tuple[TestScript, Example]]) -> bool:
    if script.on_unedited.verdict is not Verdict.PASSED or example.raises:
        return False
    contested = any(other.question == example.question and other != example for _, other in others)
    return not contested and any(shows.valid and other.block == example.block for shows, other in others)


def _meant(example: Example, functions: Mapping[str, Sequence[str]], symbols: Symbols) -> Example:
    """The example with the call of the function that it means.

    Where it calls what nobody defines, and the issue names one function only, which takes as many arguments, it is that
    one: whoever renamed it forgot the example.
    """
    call = parsed(example.call)
    if len(functions) != 1 or example.setup or not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return example
    ((name, parameters),) = functions.items()
    unknown = unbound(ast.Module([ast.Expr(call.func)], []), symbols)
    if not unknown or any(unknown[0] in names for names in symbols.modules.values()):
        return example
    if call.keywords or len(call.args) > len(parameters):
        return example
    call.func.id = name
    return replace(example, call=ast.unparse(call))


def script_of(example: Example, symbols: Symbols) -> str | None:
    """The example as a script; None where it calls nothing of the repository, or names what nobody defines."""
    source = "\n".join([*example.setup, _check(example)])
    if "```" in source or len(source) > _LONGEST:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd literals in a stranger's text
        read = read_script(f"```python\n{source}\n```", symbols, asserts=True)
        module = ast.parse(read.source) if isinstance(read, Script) else ast.Module([], [])
    if not isinstance(read, Script) or unbound(module, symbols):
        return None
    return read.source if any(symbols.package(name) for name in _imported(module)) else None


def _check(example: Example) -> str:
    call, expected = example.call, example.expected
    if example.raises:
        return _RAISES.format(call=call, expected=expected)
    if re.match(r"print\(", call):
        return (_PRINTS + _LIKE).format(call=call, expected=f"{expected}\n")
    value = parsed(expected) if literal(expected) is not None else None
    if value is None:
        return (_SHOWS + _LIKE).format(call=call, expected=f"{expected}\n")
    if any(isinstance(node, ast.Constant) and isinstance(node.value, float) for node in ast.walk(value)):
        return f"{_NEAR}\nfound = {call}\nassert _near(found, {expected}), f'found {{found!r}}'"
    same = "is" if expected == "None" else "=="
    return f"found = {call}\nassert found {same} {expected}, f'found {{found!r}}'"


def _imported(module: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def functions_named(issue: str, tree: Tree, shown: Sequence[RepoPath]) -> Mapping[str, Sequence[str]]:
    """The top-level functions of the shown files that the issue names, with the names of their parameters."""
    found: dict[str, Sequence[str]] = {}
    for path in shown:
        if not path.endswith(".py") or is_test(path):
            continue
        try:
            module = ast.parse(tree[path])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and re.search(rf"\b{node.name}\b", issue):
                found[node.name] = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return found
