"""A small repository with one bug, and a scripted model that knows right and wrong fixes for it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FILES = {
    "calc.py": 'def add(a, b):\n    """The sum."""\n    return a - b\n\n\ndef mul(a, b):\n    return a * b\n',
    "test_calc.py": "from calc import mul\n\n\ndef test_mul():\n    assert mul(2, 3) == 6\n",
}

ISSUE = "add returns the difference\n\n    >>> add(1, 2)\n    -1\n"

RULES = """
[[rule]]
stage = "test_writing"
answers = [
  "```python\\nfrom calc import add\\nassert add(1, 2) == 3\\n```",
  "```python\\nimport calc\\nassert calc.add(2, 2) == 4\\n```",
]
[[rule]]
stage = "editing"
answers = [
  "calc.py\\n```python\\ndef add(a, b):\\n    \\"\\"\\"The sum.\\"\\"\\"\\n    return a + b\\n```",
  "calc.py\\n```python\\ndef add(a, b):\\n    return a + b  # right\\n```",
  "calc.py\\n```python\\ndef add(a, b):\\n    return 3\\n```",
]
[[rule]]
stage = "comparison"
answers = ["```python\\nfrom calc import add\\nprint(add(2, 5))\\n```"]
"""


@pytest.fixture(autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; no setting from outside."""
    cache = tmp_path_factory.mktemp("cache")
    for name in ("BESTPATCH_API_KEY", "BESTPATCH_VLLM_PYTHON", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BESTPATCH_CACHE", str(cache))
    return cache


def git(root: Path, *args: str) -> str:
    """Run git in a repository of the test."""
    config = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *config, *args], cwd=root, check=True, capture_output=True).stdout.decode()


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[..., Path]:
    def make(files: dict[str, str] | None = None, name: str = "repo") -> Path:
        root = tmp_path / name
        root.mkdir()
        git(root, "init", "-q", "-b", "main")
        for path, text in (FILES if files is None else files).items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        if files is None or files:
            git(root, "add", "-A")
            git(root, "commit", "-qm", "base")
        return root

    return make


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Path:
    return make_repo()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A file for `scripted:FILE`."""
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
def free_port() -> int:
    """A port on loopback where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
