"""Reads a test script out of a completion and mends what small models get wrong, by rule and without executing it.

Mended: calls of test functions that are only defined, imports that are missing or name a module that does not exist,
a copy of the repository's function in place of its import. Everything else is said back to the model.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from agent.context.sources import is_test
from sandbox.base import RepoPath, Tree

_FENCE = re.compile(r"^[ \t]*(`{3,})[ \t]*([\w+-]*)[^\n`]*$", re.MULTILINE)
_PYTHON = frozenset({"", "python", "py", "python3"})
_NEVER_CODE = frozenset({"diff", "json", "bash", "sh", "text", "console", "toml", "yaml"})


@dataclass(frozen=True)
class Script:
    source: str
    """It can be run."""


@dataclass(frozen=True)
class ScriptProblem:
    """Why there is none; told to the model."""

    message: str
    unchecked: str = ""  # a script that checks nothing can still show an issue that is an exception


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks as (language, content), in order. A block that the end of the text cuts off counts."""
    blocks: list[tuple[str, str]] = []
    at = 0
    while (opening := _FENCE.search(text, at)) is not None:
        fence = opening.group(1)
        closing = re.compile(rf"^[ \t]*{fence}`*[ \t]*$", re.MULTILINE).search(text, opening.end())
        end = closing.start() if closing else len(text)
        blocks.append((opening.group(2).lower(), text[opening.end() + 1 : end]))
        at = closing.end() if closing else len(text)
    return blocks


class Symbols:
    """Where the repository's Python modules define which top-level names, and which others they import."""

    def __init__(self, tree: Tree, shown: Collection[RepoPath]) -> None:
        self.modules: dict[str, frozenset[str]] = {}
        homes: dict[str, list[str]] = {}
        self.shown: set[str] = set()
        for path in sorted(tree):
            if not path.endswith(".py") or is_test(path) or len(tree[path]) > 400_000:
                continue
            module = module_name(path)
            defined, imported = _names(tree[path])
            self.modules[module] = defined | imported
            for name in sorted(defined):
                homes.setdefault(name, []).append(module)
            if path in shown:
                self.shown.update(defined)
        self._shown_modules = {module_name(path) for path in shown if path.endswith(".py")}
        self._homes = homes

    def home(self, name: str) -> str | None:
        """The one module that defines a name: of those shown to the model, else of all; None when there are several."""
        homes = self._homes.get(name, [])
        shown = [module for module in homes if module in self._shown_modules]
        for found in (shown, homes):
            if len(found) == 1:
                return found[0]
        return None

    def package(self, name: str) -> bool:
        """Whether a dotted name is a module of the repository or a folder with modules."""
        return name in self.modules or any(module.startswith(f"{name}.") for module in self.modules)


def module_name(path: str) -> str:
    """The dotted name under which a file is imported: the root and `src` are on the path."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts and parts[0] == "src" and len(parts) > 1:
        parts = parts[1:]
    if parts and parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


@lru_cache(maxsize=4096)
def _names(content: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Top-level names that a module defines, and those that it imports; `*` stands for whatever it imports so."""
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        found = re.findall(rb"^(?:def|class|async def)[ \t]+(\w+)", content, re.MULTILINE)
        return frozenset(name.decode() for name in found), frozenset()
    defined: set[str] = set()
    imported: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.If | ast.Try):  # imports under a condition: anything may come of them
            imported.add("*")
    return frozenset(name for name in defined if not name.startswith("__")), frozenset(imported)


def read_script(text: str, symbols: Symbols, *, asserts: bool) -> Script | ScriptProblem:
    """The script in a completion, mended. With `asserts` it must hold an assertion."""
    chosen = _chosen(text)
    if chosen is None:
        return ScriptProblem("There was no Python block in your answer.")
    parsed = _parsed(chosen)
    if isinstance(parsed, ScriptProblem):
        return parsed
    source, module = parsed
    if not module.body:
        return ScriptProblem("The Python block was empty.")
    before = ast.dump(module)
    _own_imports(module, symbols)
    if (problem := _copies(module, symbols)) is not None:
        return problem
    checks = _asserts(module)
    _called(module)
    _missing_imports(module, symbols)
    if not asserts and not checks and not re.search(r"\bexit\(|SystemExit", source):
        return ScriptProblem("The script never exits with code 2, so it cannot show the issue.")
    ast.fix_missing_locations(module)
    if asserts and not checks:  # the runner does not even begin a script without any check
        whole = ast.unparse(module) + "\nassert True, 'it came to its end'\n"
        return ScriptProblem("The script holds no assert statement, so it cannot fail.", whole)
    # Only a mended script is printed anew: that drops its comments.
    return Script(source.strip() + "\n" if ast.dump(module) == before else ast.unparse(module) + "\n")


def _chosen(text: str) -> str | None:
    """The last Python block with an assertion or an exit, else the last Python block, else a text that is all code."""
    python = [body for kind, body in code_blocks(text) if kind in _PYTHON and body.strip()]
    if not python:
        python = [body for kind, body in code_blocks(text) if kind not in _NEVER_CODE and body.strip()]
    telling = [body for body in python if re.search(r"\bassert|\bexit\(|SystemExit|raise ", body)]
    if telling or python:
        return (telling or python)[-1]
    stripped = text.strip()
    return stripped if stripped and not isinstance(_parsed(stripped), ScriptProblem) and "\n" in stripped else None


def _parsed(source: str) -> tuple[str, ast.Module] | ScriptProblem:
    """The script and its syntax tree; of one that was cut off at its end, what is complete."""
    lines = source.rstrip().splitlines()
    first: SyntaxError | None = None
    for cut in range(min(4, len(lines))):
        try:
            kept = "\n".join(lines[: len(lines) - cut])
            return kept, ast.parse(kept)
        except SyntaxError as error:
            first = first or error
            if error.lineno is not None and error.lineno < len(lines) - 3:
                break
        except (ValueError, RecursionError, MemoryError):
            return ScriptProblem("The script cannot be parsed.")
    line = f" in line {first.lineno}: {(first.text or '').strip()[:120]}" if first and first.lineno else ""
    return ScriptProblem(f"The script is not valid Python ({first.msg if first else 'syntax error'}{line}).")


def _asserts(module: ast.Module) -> bool:
    """Whether anything in the script can fail by an assertion."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Raise) and node.exc is not None and "AssertionError" in ast.unparse(node.exc):
            return True
        if isinstance(node, ast.Attribute) and re.match(r"assert[A-Z_]|fail$|raises$", node.attr):
            return True
    return False


def _own_imports(module: ast.Module, symbols: Symbols) -> None:
    """Point imports of names that are not where the script looks for them at the modules that define them."""
    body: list[ast.stmt] = []
    for node in module.body:
        if not isinstance(node, ast.ImportFrom) or any(alias.name == "*" for alias in node.names):
            body.append(node)
            continue
        name = ("" if node.level else node.module) or ""
        there = symbols.modules.get(name, frozenset[str]())
        for alias in node.names:
            right = name.split(".")[0] in sys.stdlib_module_names or alias.name in there or "*" in there
            home = None if right or symbols.package(f"{name}.{alias.name}") else symbols.home(alias.name)
            body.append(ast.ImportFrom(home or node.module, [alias], 0 if home else node.level))
    module.body = body


def _copies(module: ast.Module, symbols: Symbols) -> ScriptProblem | None:
    """Replace a copy of the repository's code by its import; a test of a copy tests nothing."""
    body: list[ast.stmt] = []
    for node in module.body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name in symbols.shown
            and not node.name.startswith("test")
            and node.name != "main"
        ):
            home = symbols.home(node.name)
            if home is None:
                return ScriptProblem(
                    f"The script defines `{node.name}` itself. Import it from the repository, or it is not tested."
                )
            body.append(ast.ImportFrom(home, [ast.alias(node.name)], 0))
        else:
            body.append(node)
    module.body = body
    return None


def _called(module: ast.Module) -> None:
    """Append calls of test functions without parameters that the script defines but never calls; run unittest cases."""
    used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    cases = [
        node
        for node in module.body
        if isinstance(node, ast.ClassDef) and any("TestCase" in ast.unparse(base) for base in node.bases)
    ]
    if cases:
        # unittest.main exits 1 on failures; the runner's contract wants the assertion itself.
        module.body = [node for node in module.body if "unittest.main(" not in ast.unparse(node)]
        names = ", ".join(case.name for case in cases)
        module.body += ast.parse(
            "import unittest as _unittest\n"
            f"for _case in ({names},):\n"
            "    _found = _unittest.TextTestRunner().run(_unittest.defaultTestLoader.loadTestsFromTestCase(_case))\n"
            "    if _found.errors: raise RuntimeError(_found.errors[0][1])\n"
            "    if _found.failures: raise AssertionError(_found.failures[0][1])\n"
        ).body
    for node in list(module.body):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and node.name not in used:
            needed = len(node.args.args) + len(node.args.kwonlyargs) - len(node.args.defaults)
            if needed <= 0:
                module.body += ast.parse(f"{node.name}()").body


def guarded(source: str, exception: str) -> str:
    """The script with one exception turned into a failed assertion: for an issue that says code raises it wrongly."""
    body = ast.parse(source).body
    head = "\n".join(ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom))
    rest = [ast.unparse(node) for node in body if not isinstance(node, ast.Import | ast.ImportFrom)] or ["pass"]
    inner = "\n".join(rest).replace("\n", "\n    ")
    return (
        f"{head}\n\ntry:\n    {inner}\nexcept {exception} as _raised:\n"
        f'    raise AssertionError(f"{exception}: {{_raised}}") from _raised\n'
    )


def unbound(module: ast.Module, symbols: Symbols) -> list[str]:
    """Names that a script uses but never binds, in the order of their use."""
    bound: set[str] = set(dir(builtins)) | {"__file__", "__name__", "__doc__"}
    used: dict[str, None] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used[node.id] = None
            else:
                bound.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
            for alias in node.names:
                if alias.name == "*" and isinstance(node, ast.ImportFrom):
                    bound.update(symbols.modules.get(node.module or "", ()))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
    return [name for name in used if name not in bound]


def _missing_imports(module: ast.Module, symbols: Symbols) -> None:
    """Import names that the script uses but never binds, where one module of the repository or Python defines them."""
    added: list[ast.stmt] = []
    for name in unbound(module, symbols):
        if (home := symbols.home(name)) is not None:
            added.append(ast.ImportFrom(home, [ast.alias(name)], 0))
        elif name in symbols.modules or name in sys.stdlib_module_names or name == "pytest":
            added.append(ast.Import([ast.alias(name)]))
    futures = sum(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in module.body)
    module.body[futures:futures] = added
