"""Which files of a tree the models may be shown: source files, told apart from tests and from everything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.base import RepoPath, Tree

_LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
    ".pyx": "cython",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".vue": "vue",
    ".go": "go",
    ".rs": "rust",
    ".java": "java",
    ".kt": "kotlin",
    ".scala": "scala",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".hpp": "cpp",
    ".cs": "csharp",
    ".rb": "ruby",
    ".php": "php",
    ".swift": "swift",
    ".sh": "sh",
    ".lua": "lua",
    ".pl": "perl",
    ".sql": "sql",
}

_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs"})
_TEST_NAMES = frozenset({"tests.py", "test.py", "conftest.py"})
_VENDORED = frozenset({"node_modules", "vendor", "_vendor", "third_party", "site-packages", "dist", ".git", ".tox"})


@dataclass(frozen=True)
class Source:
    """A source file that can be shown: UTF-8 text, not generated, not empty."""

    path: RepoPath
    text: str
    test: bool
    """Part of a test suite, by its name or by any folder above it."""


def language(path: str) -> str:
    """The word that marks a fenced block of this file; "" for what is no source file."""
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower(), "")


def is_test(path: str) -> bool:
    """Whether a path belongs to a test suite. A test folder counts at any depth."""
    parts = PurePosixPath(path).parts
    name = parts[-1].lower() if parts else ""
    stem = name.split(".", 1)[0]
    return (
        any(part.lower() in _TEST_FOLDERS for part in parts[:-1])
        or name in _TEST_NAMES
        or stem.startswith("test_")
        or stem.endswith("_test")
        or ".test." in name
        or ".spec." in name
    )


def sources(tree: Tree) -> tuple[Source, ...]:
    """The source files of a tree by path, leaving out vendored, binary and empty ones."""
    found: list[Source] = []
    for path in sorted(tree):
        parts = PurePosixPath(path).parts
        if not language(path) or _VENDORED.intersection(parts[:-1]) or path.endswith(".min.js"):
            continue
        data = tree[path]
        if b"\0" in data[:8192]:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")  # shown as well as can be; edits match bytes, not this text
        if text.strip():
            found.append(Source(path, text, is_test(path)))
    return tuple(found)
