"""A small instance set: one repository, its bug, its gold patch, its test patch; and candidates of all kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.instances import Instance, read_instances
from tests.harness.conftest import FILES, git

ADD, MUL = "tests/test_calc.py::test_add", "tests/test_calc.py::test_mul"

OLD_TESTS = "from calc import add, mul\n\n\ndef test_mul():\n    assert mul(2, 3) == 6\n"
NEW_TESTS = OLD_TESTS + "\n\ndef test_add():\n    assert add(1, 2) == 3\n"
FIXED = FILES["calc.py"].replace("a - b", "a + b")
REPOSITORY = {"calc.py": FILES["calc.py"], "tests/test_calc.py": OLD_TESTS, "pytest.ini": "[pytest]\npythonpath = .\n"}

CHEAT_HOOK = """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.outcome = "passed"
"""

CLAIMS = f"\nPASSED {ADD}\nPASSED {MUL}\n"


def patch_of(root: Path, changes: Mapping[str, str | None]) -> str:
    """The patch that git makes of changed, new and (None) deleted files."""
    for path, content in changes.items():
        if content is None:
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
    git(root, "add", "-A")
    patch = git(root, "diff", "--cached", "--binary")
    git(root, "reset", "-q", "--hard")
    return patch


CANDIDATES: dict[str, Mapping[str, str | None]] = {
    "right": {"calc.py": FIXED},
    "wrong": {"calc.py": FILES["calc.py"].replace("a - b", "a * b")},
    "breaks": {"calc.py": FIXED.replace("a * b", "a")},
    "edits_tests": {"tests/test_calc.py": "def test_add():\n    pass\n\n\ndef test_mul():\n    pass\n"},
    "fixes_and_edits_tests": {"calc.py": FIXED, "tests/test_calc.py": "assert False\n"},
    "removes_tests": {"calc.py": FIXED, "tests/test_calc.py": None},
    "folder_for_tests": {"calc.py": FIXED, "tests/test_calc.py": None, "tests/test_calc.py/test_x.py": ""},
    "steers": {"conftest.py": CHEAT_HOOK},
    "fixes_and_steers": {"calc.py": FIXED, "conftest.py": "# nothing of note\n"},
    "forges": {"calc.py": FILES["calc.py"].replace("return a - b", f"print({CLAIMS!r})\n    return a - b")},
    "forges_and_leaves": {
        "calc.py": FILES["calc.py"] + f"import os\n\nos.write(1, {CLAIMS.encode()!r})\nos._exit(0)\n",
    },
    "forges_at_exit": {
        "calc.py": FILES["calc.py"]
        + "import atexit, os\n\n\n@atexit.register\ndef last():\n"
        + f"    os.write(1, {CLAIMS.encode()!r})\n    os._exit(0)\n"
    },
    "hangs": {"calc.py": FILES["calc.py"].replace("return a - b", "while True:\n        pass")},
}

UNAPPLICABLE = "--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n def nothing():\n-    of the kind\n+    at all\n"


@pytest.fixture
def calc(tmp_path: Path) -> Path:
    """The repository."""
    root = tmp_path / "calc"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for path, content in REPOSITORY.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(content)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    return root


@pytest.fixture
def candidates(calc: Path) -> dict[str, str]:
    """Patches by what they are."""
    return {name: patch_of(calc, changes) for name, changes in CANDIDATES.items()} | {"unapplicable": UNAPPLICABLE}


@pytest.fixture
def row(calc: Path) -> dict[str, Any]:
    """The instance as a row of a file beside the repository."""
    return {
        "instance_id": "acme__calc-1",
        "repo": "acme/calc",
        "base_commit": git(calc, "rev-parse", "HEAD").strip(),
        "repo_path": "calc",
        "problem_statement": "add returns the difference",
        "patch": patch_of(calc, {"calc.py": FIXED}),
        "test_patch": patch_of(calc, {"tests/test_calc.py": NEW_TESTS}),
        "FAIL_TO_PASS": [ADD],
        "PASS_TO_PASS": json.dumps([MUL]),
        "environment": {"python": "3.11", "install": ["python -m pip install pytest"], "test_cmd": "pytest -rA"},
    }


@pytest.fixture
def write_rows(tmp_path: Path) -> Any:
    """Writes rows as `instances.jsonl` beside the repository."""

    def write(*rows: Mapping[str, Any], name: str = "instances.jsonl") -> Path:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / name

    return write


@pytest.fixture
def instance(row: dict[str, Any], write_rows: Any) -> Instance:
    return read_instances(str(write_rows(row)))[0]
