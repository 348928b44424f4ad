"""Which Python a project wants, read from its files. Pure functions on a tree.

Order: a pin (`.python-version`, `runtime.txt`, `.tool-versions`), then the declared range narrowed by classifiers and
tox's environments, and by what the sources import that later versions no longer have. Within a range 3.11 is
preferred, then the newest up to 3.12, then what is left.
"""

from __future__ import annotations

import ast
import collections.abc
import configparser
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from agent.context.sources import is_test
from sandbox.base import RepoPath, Tree

DEFAULT = "3.11"
KNOWN = tuple(f"3.{minor}" for minor in range(6, 15))
"""Versions that a base image can be had for."""
_USUAL_NEWEST = 12

_REMOVED: Mapping[str, tuple[int, frozenset[str]]] = {
    # Module -> the minor version that had it, or these names of it, for the last time ("What's New" of the next one).
    "collections": (9, frozenset(dir(collections.abc))),
    "inspect": (10, frozenset({"getargspec", "formatargspec"})),
    "fractions": (8, frozenset({"gcd"})),
    "cgi": (7, frozenset({"escape", "parse_qs", "parse_qsl"})),
    "asynchat": (11, frozenset()),
    "asyncore": (11, frozenset()),
    "imp": (11, frozenset()),
    "smtpd": (11, frozenset()),
    "cgitb": (12, frozenset()),
    "pipes": (12, frozenset()),
    "telnetlib": (12, frozenset()),
}
_SOME_REMOVED = re.compile(rb"^(?:from|import) .*\b(?:" + "|".join(_REMOVED).encode() + rb")\b", re.MULTILINE)


def python_version(tree: Tree) -> tuple[str, str]:
    """The version, such as `3.11`, and a few words on why."""
    for path in (".python-version", "runtime.txt", ".tool-versions"):
        pinned = _pinned(text(tree, path), path)
        if pinned:
            return pinned, f"{path} names it"
    requires = requires_python(tree)
    allowed = [version for version in KNOWN if _allows(requires, version)]
    claimed = _classifiers(tree) or _tox(tree)
    reasons = [f"requires-python {requires}"] if requires else []
    both = [version for version in allowed if version in claimed]
    if both:
        allowed = both
        reasons.append(f"classifiers or tox name {', '.join(both)}")
    newest, because = newest_by_imports(tree)
    runs = [version for version in allowed if _minor(version) <= newest]
    if runs and len(runs) < len(allowed):
        allowed = runs
        reasons.append(because)
    if not allowed:
        return DEFAULT, f"the default; nothing known satisfies {requires}" if requires else "the default"
    if DEFAULT in allowed:
        return DEFAULT, "; ".join(reasons) or "the default"
    usual = [version for version in allowed if _minor(version) <= _USUAL_NEWEST]
    return (usual[-1] if usual else allowed[0]), "; ".join(reasons)


def newest_by_imports(tree: Tree) -> tuple[int, str]:
    """The newest minor version on which the modules can be imported, as far as the standard library decides it.

    Only what a module imports whatever happens counts: at its top, outside of `try` and `if`. An old project declares
    no upper bound, for nobody knew of 3.10 then: its first import says it.
    """
    newest, because = _minor(KNOWN[-1]), ""
    for path, content in tree.items():
        if not path.endswith(".py") or is_test(path) or not _SOME_REMOVED.search(content):
            continue
        for module, names in _imports(content):
            last, gone = _REMOVED.get(module, (newest, frozenset[str]()))
            if last < newest and (not gone or gone & names):
                newest = last
                because = f"{path} imports from {module} what 3.{last} was the last to have"
    return newest, because


def _imports(content: bytes) -> Iterator[tuple[str, frozenset[str]]]:
    """Modules imported by the statements at a module's top level, with the names taken from each."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old source's invalid escapes are no business of the user's
        for node in ast.parse(content).body:
            if isinstance(node, ast.Import):
                yield from ((alias.name, frozenset[str]()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module, frozenset(alias.name for alias in node.names)


def requires_python(tree: Tree) -> str | None:
    """The version range that the project declares, as it stands there."""
    project = pyproject(tree)
    for path in (("project", "requires-python"), ("tool", "poetry", "dependencies", "python")):
        value = dig(project, *path)
        if isinstance(value, str):
            return _from_poetry(value) if path[0] == "tool" else value
    value = setup_cfg(tree).get("options", "python_requires", fallback=None)
    return value or _setup_py_string(text(tree, "setup.py"), "python_requires")


def text(tree: Tree, path: str) -> str:
    """A file's text, "" where there is none."""
    return tree.get(RepoPath(path), b"").decode("utf-8", "replace")


def pyproject(tree: Tree) -> Mapping[str, object]:
    """pyproject.toml as a table; empty where it is missing or malformed (the build will say so)."""
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(text(tree, "pyproject.toml"))
    return {}


def setup_cfg(tree: Tree, path: str = "setup.cfg") -> configparser.ConfigParser:
    """An ini file as a parser; empty where it is missing or malformed."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    with suppress(configparser.Error):
        parser.read_string(text(tree, path))
    return parser


def dig(table: Mapping[str, object], *path: str) -> object:
    """The value at a path of keys in nested tables, None where it ends."""
    for key in path[:-1]:
        inner = table.get(key)
        if not isinstance(inner, Mapping):
            return None
        table = cast("Mapping[str, object]", inner)
    return table.get(path[-1])


def strings(value: object) -> tuple[str, ...]:
    """The strings of a list, () for anything else."""
    if not isinstance(value, list):
        return ()
    return tuple(item for item in cast("list[object]", value) if isinstance(item, str))


def _pinned(content: str, path: str) -> str | None:
    prefix = {"runtime.txt": "python-", ".tool-versions": "python "}.get(path, "")
    for line in content.splitlines():
        match = re.match(rf"\s*{re.escape(prefix)}\s*v?(3\.\d+)(?:\.\d+)?\s*$", line)
        if match and match[1] in KNOWN:
            return match[1]
    return None


def _allows(requires: str | None, version: str) -> bool:
    if not requires:
        return True
    try:
        specifiers = SpecifierSet(requires)
    except InvalidSpecifier:
        return True
    # A bound such as >=3.8.1 or !=3.9.0 speaks of patch releases; a base image has a late one.
    return specifiers.contains(f"{version}.99") or specifiers.contains(version)


def _from_poetry(value: str) -> str:
    """`^3.8` -> `>=3.8,<4`; `~3.8` -> `>=3.8,<3.9`; the rest is the usual syntax or `*`."""
    parts: list[str] = []
    for part in (part.strip() for part in value.split(",")):
        match = re.fullmatch(r"([\^~])\s*(3)(?:\.(\d+))?(?:\.\d+)?", part)
        if match and match[1] == "^":
            parts += [f">=3.{match[3] or 0}", "<4"]
        elif match:
            parts += [f">=3.{match[3]}", f"<3.{int(match[3]) + 1}"] if match[3] else [">=3", "<4"]
        elif re.fullmatch(r"3(\.\d+)*(\.\*)?", part):
            parts.append(f"=={part}" if part.endswith("*") else f"=={part}.*")
        elif part != "*":
            parts.append(part)
    return ",".join(parts)


def _classifiers(tree: Tree) -> set[str]:
    listed = " \n".join(
        (
            "\n".join(strings(dig(pyproject(tree), "project", "classifiers"))),
            "\n".join(strings(dig(pyproject(tree), "tool", "poetry", "classifiers"))),
            setup_cfg(tree).get("metadata", "classifiers", fallback=""),
            text(tree, "setup.py"),
        )
    )
    return set(re.findall(r"Programming Language :: Python :: (3\.\d+)\b", listed))


def _tox(tree: Tree) -> set[str]:
    listed = setup_cfg(tree, "tox.ini").get("tox", "envlist", fallback="")
    found = {f"3.{minor}" for minor in re.findall(r"\bpy3\.?(\d+)\b", listed)}
    for group in re.findall(r"\bpy\{([^}]*)\}", listed):
        found |= {f"3.{minor}" for minor in re.findall(r"\b3\.?(\d+)\b", group)}
    return found


def _setup_py_string(source: str, keyword: str) -> str | None:
    """A keyword argument of setup() that is a plain string."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                for item in node.keywords:
                    if (
                        item.arg == keyword
                        and isinstance(item.value, ast.Constant)
                        and isinstance(item.value.value, str)
                    ):
                        return item.value.value
    return None


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
