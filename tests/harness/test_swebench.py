"""What is taken of the installed swebench: its constants, scripts, parsers and grading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import swebench
from harness.errors import SwebenchMissing

PATCH = (
    "diff --git a/tests/test_a.py b/tests/test_a.py\n--- a/tests/test_a.py\n+++ b/tests/test_a.py\n"
    "@@ -1 +1 @@\n-a\n+b\ndiff --git a/tests/data.json b/tests/data.json\n"
)


def test_constants() -> None:
    specs = swebench.specs("psf/requests", "2.0")
    assert specs is not None
    assert specs["python"] == "3.9"
    assert swebench.specs("psf/requests", "0.0.0") is None
    assert swebench.specs("acme/calc", "1") is None
    assert (swebench.language("psf/requests"), swebench.language("acme/calc")) == ("py", "")
    assert swebench.requirement_paths("pallets/flask") == ("requirements/dev.txt",)


def test_commands() -> None:
    assert swebench.test_files("acme/calc", PATCH) == ("tests/test_a.py",)
    assert swebench.test_files("django/django", PATCH) == ("test_a",)
    assert swebench.script("psf/requests", "2.0", "psf__requests-1", PATCH) == ("pytest -rA tests/test_a.py",)
    (caddy,) = swebench.script("caddyserver/caddy", "6411", "caddyserver__caddy-6411", PATCH)
    assert caddy.startswith("go test -v .")


def test_parsers() -> None:
    assert swebench.parser_name("psf/requests", "", "shell") == "psf/requests"
    assert swebench.parser_name("acme/calc", "", "pytest") == "pytest-dev/pytest"
    assert swebench.parser_name("acme/calc", "unittest", "pytest") == "django/django"
    assert swebench.parser_name("acme/calc", "", "shell") is None
    assert swebench.parse("pytest-dev/pytest", "x", "PASSED a::b\nFAILED a::c - no\n") == {
        "a::b": "PASSED",
        "a::c": "FAILED",
    }
    assert swebench.parse("mwaskom/seaborn", "x", "FAILED\n") == {}  # it would raise


def test_grading() -> None:
    report, resolved = swebench.graded("acme/calc", {"a": "PASSED", "b": "XFAIL", "c": "ERROR"}, ["a"], ["b"])
    assert resolved
    assert report["PASS_TO_PASS"] == {"success": ["b"], "failure": []}
    assert not swebench.graded("acme/calc", {"a": "PASSED"}, ["a"], ["b"])[1]
    # Of repositories whose parsers see failures only, a test that is not named has passed.
    assert swebench.graded("markedjs/marked", {}, ["a"], ["b"])[1]


def test_its_import_changes_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    swebench._module.cache_clear()  # pyright: ignore[reportPrivateUsage]

    def loading(name: str) -> object:
        os.environ["BESTPATCH_FROM_DOTENV"] = "1"
        raise ImportError(name)

    monkeypatch.setattr(swebench, "import_module", loading)
    monkeypatch.setattr(swebench, "installed_version", lambda: "")
    with pytest.raises(
        SwebenchMissing, match=r"is not installed; install it with: pip install 'bestpatch\[swebench\]'"
    ):
        swebench.specs("a/b", "1")
    assert "BESTPATCH_FROM_DOTENV" not in os.environ
    monkeypatch.setattr(swebench, "installed_version", lambda: "5.0.0")
    with pytest.raises(SwebenchMissing, match=r"5\.0\.0 cannot be used"):
        swebench.specs("a/b", "1")


def test_several_threads_may_need_it_first() -> None:
    """Its modules import each other in circles. In a process of its own, where nothing is loaded yet."""
    program = """
from concurrent.futures import ThreadPoolExecutor
from harness import swebench
asks = [lambda: swebench.specs("a/b", "1"), lambda: swebench.parser_name("a/b", "", "pytest"),
        lambda: swebench.test_files("a/b", ""), lambda: swebench.graded("a/b", {}, [], [])] * 2
with ThreadPoolExecutor(8) as threads:
    [found.result() for found in [threads.submit(ask) for ask in asks]]
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
