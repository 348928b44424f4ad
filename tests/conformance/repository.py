"""The small repository that sandboxes are tested with: odd files, and a history with something to hide."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import RepoPath, Snapshot

CALC = b"""def add(a, b):
    return a - b


def div(a, b):
    return a / b
"""

FILES: dict[str, bytes] = {
    "calc.py": CALC,
    "src/shop/__init__.py": b"",
    "src/shop/cart.py": b"TOTAL = 3\n",
    "crlf.txt": b"one\r\ntwo\r\nthree\r\n",
    "mixed.txt": b"one\r\ntwo\nthree\r\n",
    "no_newline.txt": b"first\nlast line without its end",
    "latin1.txt": "caf\u00e9\nna\u00efve\n".encode("latin-1"),
    "utf8.txt": "caf\u00e9 \u4f60\u597d\n".encode(),
    "data.bin": bytes(range(256)) * 4,
    "empty.txt": b"",
    "with space.txt": b"a\n",
    'quote"and\\slash.txt': b"a\n",
    "\u00fcnic\u00f6de/na\u00efve.txt": b"a\n",
    "star*[x]?.txt": b"a\n",
    "tool.sh": b"#!/bin/sh\necho tool\n",
    "docs/readme.md": b"Title\n======\n>>>>>>> not a marker\n",
    ".gitignore": b"*.log\nbuild/\n",
    ".gitattributes": b"*.txt filter=evil diff=evil\n*.md text eol=crlf\n",
    "big.txt": b"0123456789abcde\n" * (70 * 1024),
}
EXECUTABLE = "tool.sh"
LINK = "link.txt"
HIDDEN_FIX = "def add(a, b):\n    return a + b  # the answer\n"


@dataclass(frozen=True)
class Repository:
    """A snapshot of the second of three commits, and the commits that must not be reachable inside."""

    snapshot: Snapshot
    base: str
    later: str
    earlier: str


def regular_files() -> dict[RepoPath, bytes]:
    return {RepoPath(path): data for path, data in FILES.items()}


def make_repository(folder: Path) -> Repository:
    root = folder / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "calc.py").write_text("# first draft\n")
    earlier = commit(root)
    for path, data in FILES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (root / EXECUTABLE).chmod(0o755)
    (root / LINK).symlink_to("calc.py")
    base = commit(root)
    tar = folder / "snapshot.tar"
    # Without conversions: the archive must hold the bytes of the commit.
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text("* -text -filter -export-subst -export-ignore !eol\n")
    git(root, "archive", "--format=tar", "-o", str(tar), base)
    tree = git(root, "rev-parse", f"{base}^{{tree}}")
    (root / "calc.py").write_text(HIDDEN_FIX)
    later = commit(root)
    git(root, "tag", "v2")
    return Repository(Snapshot(tar, tree), base, later, earlier)


def commit(root: Path) -> str:
    git(root, "add", "-A", "-f")
    git(root, "commit", "-q", "-m", "a commit")
    return git(root, "rev-parse", "HEAD")


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false"]
    plain = ["-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null"]
    env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    attributes = root / ".git" / "info" / "attributes"
    if attributes.parent.exists() and not attributes.exists():
        attributes.write_text("* -text -filter !eol\n")
    done = subprocess.run(["git", *who, *plain, *arguments], cwd=root, env=env, check=True, capture_output=True)
    return done.stdout.decode().strip()
