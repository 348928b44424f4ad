"""Finds out which file of the repository a model means by the name it wrote."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Sequence

from agent.edit.values import EditProblem
from sandbox.base import RepoPath, Tree

_DECORATION = " \t`*\"'#:<>|-()[]"
_LABEL = re.compile(r"^(?:in\s+)?(?:the\s+)?(?:file(?:\s?name|\s?path)?|path)\s*[:=]?\s+|^file:", re.IGNORECASE)
_NAME = re.compile(r"^[\w.@+~\-/\\ ()\[\]]{1,300}$")
_SUFFIX = re.compile(r"[\w)\]]\.[A-Za-z][A-Za-z0-9_+\-]{0,11}$")
_COMMON = {
    "py", "pyi", "pyx", "pxd", "toml", "cfg", "ini", "json", "yaml", "yml", "md", "rst", "txt", "c", "h", "cc",
    "cpp", "hpp", "cu", "js", "jsx", "ts", "tsx", "css", "html", "xml", "sh", "sql", "go", "rs", "java", "in",
    "lock", "rb", "php", "kt", "swift", "cs", "mk", "cmake", "ipynb", "po", "csv", "tpl", "jinja", "j2",
}  # fmt: skip
_BARE_NAMES = {"makefile", "dockerfile", "license", "readme", "changelog", "pipfile", "procfile", "manifest"}


def named_path(line: str, tree: Tree) -> str | None:
    """The path that a line names on its own, such as `### pkg/a.py`, `File: pkg/a.py` or `# pkg/a.py`; else None.

    A line of prose that merely mentions a file names none, unless what it says in backquotes is a file of the tree.
    """
    text = _LABEL.sub("", line.strip().lstrip("#/*->< \t").strip(_DECORATION)).strip(_DECORATION + ",.;")
    if text and "\n" not in text and _NAME.match(text) and (_looks_like_path(text) or RepoPath(text) in tree):
        return text
    quoted = {part for part in re.findall(r"`([^`\n]{1,300})`", line) if RepoPath(_plain(part)) in tree}
    return quoted.pop() if len(quoted) == 1 else None


def _looks_like_path(text: str) -> bool:
    if " " in text:
        return False
    base = text.replace("\\", "/").rsplit("/", 1)[-1]
    if base.startswith(".") and len(base) > 1 and "." not in base[1:]:
        return base != ".."
    # Without a folder, `Cache.get` is a method and `cache.py` a file: the suffix must be a well-known one.
    known = base.rsplit(".", 1)[-1].lower() in _COMMON if "/" not in text else True
    return bool(_SUFFIX.search(text) and known) or base.lower() in _BARE_NAMES


def _plain(name: str) -> str:
    text = name.strip().strip("`\"'*").strip().replace("\\", "/")
    while text.startswith("./"):
        text = text[2:]
    return text


def resolve(name: str, tree: Tree, shown: Sequence[RepoPath] = ()) -> RepoPath | EditProblem:
    """The path in the repository that `name` means: of an existing file where one fits, else of a new one.

    A name with too many or too few leading folders (`a/pkg/x.py`, `/repo/pkg/x.py`, `x.py`) is taken for the one
    file that fits, those shown first. A name that leaves the repository or lies in `.git` is a problem.
    """
    text = _plain(name)
    if not text or any(ord(char) < 32 or ord(char) == 127 for char in text):
        return EditProblem(f"{name!r} is no file name. Name a file of the repository, relative to its root.")
    path = posixpath.normpath(text)
    if RepoPath(path) in tree and safe(path):
        return RepoPath(path)
    found = _fitting(path, shown) or _fitting(path, tree)
    if len(found) == 1 and safe(found[0]):
        return found[0]
    if not safe(path):
        return EditProblem(
            f"The path `{name}` is not inside the repository's working tree. Write paths relative to the "
            "repository's root, without `..`, and not in `.git`."
        )
    if len(found) > 1:
        listed = ", ".join(f"`{item}`" for item in found[:5])
        return EditProblem(f"`{name}` could be any of {listed}. Write the whole path.")
    return RepoPath(path)


def safe(path: str) -> bool:
    """Whether a path stays in the repository and outside git's own folder."""
    parts = path.split("/")
    return not path.startswith("/") and not any(part in {"", ".", ".."} or _is_git(part) for part in parts)


def _is_git(part: str) -> bool:
    # Case-insensitive and Windows file systems know the folder under these names as well.
    return part.casefold().rstrip(". ") in {".git", "git~1"}


def _fitting(path: str, among: Sequence[RepoPath] | Tree) -> list[RepoPath]:
    """Files that end with `path`, or else files that `path` ends with (the longest of those)."""
    bare = path.lstrip("/")
    ending = [item for item in among if item.endswith("/" + bare) or item == bare]
    if ending:
        return sorted(ending)
    inside = [item for item in among if bare.endswith("/" + item)]
    longest = max((len(item) for item in inside), default=0)
    # `/elsewhere/setup.py` is not the root's setup.py: an outside path must share a folder, or be `a/` or `b/`.
    return [
        item
        for item in inside
        if len(item) == longest and ("/" in item or bare in {f"a/{item}", f"b/{item}"} or bare.count("/") == 1)
    ]


def alike(path: str, tree: Tree) -> list[RepoPath]:
    """Up to three files of the tree whose names are like a path that is not there."""
    base = path.rsplit("/", 1)[-1]
    same = sorted(item for item in tree if item.rsplit("/", 1)[-1] == base)
    near = difflib.get_close_matches(path, sorted(tree), n=3, cutoff=0.7) if len(tree) < 20_000 else []
    return list(dict.fromkeys([*same, *(RepoPath(item) for item in near)]))[:3]
