"""Keeps out of a patch what running and editing leave behind, and what no reviewer wants to see in it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from sandbox.base import Changes, RepoPath, Tree

FILE_BYTES = 1024**2
"""The largest file in a patch; the sandbox leaves larger ones out of the tree as well."""

_CACHE_FOLDERS = {
    "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".eggs", ".venv",
    "venv", "node_modules", "htmlcov", ".ipynb_checkpoints", ".idea", ".vscode", ".cache", ".git",
}  # fmt: skip
_CACHE_FILES = ("*.pyc", "*.pyo", ".coverage", ".coverage.*", ".DS_Store", "Thumbs.db", "*.egg-link", "nohup.out")
_BACKUPS = ("*~", "*.bak", "*.orig", "*.rej", "*.swp", "*.swo", "#*#", ".#*", "*.tmp", "*.old")
_LOCKS = {
    "poetry.lock": "pyproject.toml", "uv.lock": "pyproject.toml", "pdm.lock": "pyproject.toml",
    "Pipfile.lock": "Pipfile", "package-lock.json": "package.json", "npm-shrinkwrap.json": "package.json",
    "yarn.lock": "package.json", "pnpm-lock.yaml": "package.json", "bun.lockb": "package.json",
    "Cargo.lock": "Cargo.toml", "Gemfile.lock": "Gemfile", "composer.lock": "composer.json", "go.sum": "go.mod",
    "flake.lock": "flake.nix",
}  # fmt: skip
_SCRIPT = re.compile(
    r"^(?:repro(?:duce|duction)?(?:[_-].*)?|.*[_-]repro(?:duce|duction)?|debug[_-].*|check[_-](?:issue|fix).*"
    r"|test[_-]?(?:script|issue|fix|bug|repro).*|verify[_-].*|demo[_-](?:issue|bug|fix).*|(?:run[_-])?test)\.(?:py|sh)$"
)


def clean_changes(changes: Changes, tree: Tree) -> tuple[Changes, list[str]]:
    """The changes worth a patch, in their order, and one sentence for each that was removed."""
    kept: dict[RepoPath, bytes | None] = {}
    removed: list[str] = []
    for path, content in changes.items():
        why = _why_not(path, content, changes, tree)
        if why:
            removed.append(f"{path}: {why}")
        else:
            kept[path] = content
    return kept, removed


def _why_not(path: RepoPath, content: bytes | None, changes: Changes, tree: Tree) -> str | None:
    folders, _, name = path.rpartition("/")
    if content == tree.get(path):
        return "unchanged"
    if any(part in _CACHE_FOLDERS or part.endswith(".egg-info") for part in folders.split("/")) and path not in tree:
        return "inside a cache or tool folder"
    if _matches(name, _CACHE_FILES):
        return "a cache file"
    manifest = _LOCKS.get(name)
    if manifest and RepoPath(f"{folders}/{manifest}" if folders else manifest) not in changes:
        return f"a lock file, while {manifest} did not change"
    if content is None:
        return None
    if path not in tree and _matches(name, _BACKUPS):
        return "an editor's or patch's leftover"
    if path not in tree and _is_script(path, tree):
        return "a test script of the trajectory"
    if len(content) > FILE_BYTES:
        return f"larger than {FILE_BYTES // 1024} KiB"
    if b"\0" in content[:8192]:
        # Where git looks for it too, to tell text from binary.
        return "binary"
    return None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_script(path: RepoPath, tree: Tree) -> bool:
    """A new script at the root: named like a reproduction, or a test where the repository keeps none at its root."""
    if "/" in path:
        return False
    if _SCRIPT.match(path):
        return True
    is_test = fnmatchcase(path, "test_*.py") or fnmatchcase(path, "*_test.py")
    here = any("/" not in other and (other.startswith("test_") or other.endswith("_test.py")) for other in tree)
    return is_test and not here
