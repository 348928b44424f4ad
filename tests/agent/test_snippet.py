"""Scripts read out of completions and mended by rule."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.snippet import Script, ScriptProblem, Symbols, code_blocks, guarded, module_name, read_script
from sandbox.base import RepoPath

FILES = {
    "src/shop/__init__.py": "from shop.basket import Basket\n",
    "src/shop/basket.py": "class Basket:\n    pass\n\n\ndef total(items):\n    return 0\n\n\nLIMIT = 3\n",
    "src/shop/price.py": "def rounded(cents):\n    return cents\n",
    "src/shop/old.py": "def rounded(cents):\n    return 0\n",
    "tests/test_basket.py": "def helper():\n    pass\n",
    "broken.py": "def odd(:\n",
}
TREE = {RepoPath(path): text.encode() for path, text in FILES.items()}
SYMBOLS = Symbols(TREE, [RepoPath("src/shop/basket.py"), RepoPath("src/shop/price.py")])


def script(text: str, *, asserts: bool = True) -> str:
    found = read_script(text, SYMBOLS, asserts=asserts)
    assert isinstance(found, Script), found
    return found.source


def problem(text: str, *, asserts: bool = True) -> str:
    found = read_script(text, SYMBOLS, asserts=asserts)
    assert isinstance(found, ScriptProblem), found
    return found.message


def fence(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```"


def test_modules_are_named_as_they_are_imported() -> None:
    assert module_name("src/shop/basket.py") == "shop.basket"
    assert module_name("pkg/__init__.py") == "pkg"
    assert module_name("setup.py") == "setup"
    assert module_name("src/__init__.py") == "src" or module_name("src/__init__.py") == "__init__"


def test_a_good_script_stays_as_it_was_written() -> None:
    code = "from shop.basket import total  # the culprit\nassert total([1]) == 1\n"
    assert script(f"Here it is:\n{fence(code)}\nDone.") == code


def test_of_several_blocks_the_last_that_can_fail_is_taken() -> None:
    text = f"{fence('x = 1')}\n{fence('assert 1 == 2')}\n{fence('diff', 'diff')}\n{fence('print(1)')}"
    assert script(text) == "assert 1 == 2\n"


@pytest.mark.parametrize("text", ["", "I cannot.", fence("ls", "bash"), fence("")])
def test_an_answer_without_code_says_so(text: str) -> None:
    assert "block" in problem(text)


def test_a_missing_fence_does_not_lose_a_script() -> None:
    assert script("import math\nassert math.pi == 3") == "import math\nassert math.pi == 3\n"
    assert script("```python\nassert 1 == 2") == "assert 1 == 2\n"


def test_a_script_that_was_cut_off_keeps_its_complete_lines() -> None:
    assert script("```python\nassert 1 == 2\nassert [1, 2") == "assert 1 == 2\n"


def test_a_syntax_error_is_said_with_its_line() -> None:
    message = problem(fence("x = (\ny = 1\nz = 2\nw = 3\nassert x\nassert y\nassert z"))
    assert "not valid Python" in message
    assert "line 1" in message


def test_missing_imports_are_added_where_one_module_defines_the_name() -> None:
    source = script(fence("assert total([1]) == math.floor(1.5) + LIMIT"))
    assert "from shop.basket import total" in source
    assert "from shop.basket import LIMIT" in source
    assert "import math" in source
    # shown to the model in price.py, and in old.py unseen: the shown one is meant
    assert "from shop.price import rounded" in script(fence("assert rounded(1) == 2"))


def test_names_bound_by_the_script_are_not_imported() -> None:
    code = "def check(total):\n    return [LIMIT for LIMIT in total]\n\n\nassert check([1]) == []\n"
    assert script(fence(code)) == code


@pytest.mark.parametrize(
    "line",
    [
        "from your_module import total",
        "from shop import total",
        "from src.shop.basket import total",
        "from .basket import total",
        "from solution import total",
    ],
)
def test_imports_of_modules_that_do_not_exist_are_pointed_home(line: str) -> None:
    assert script(fence(f"{line}\nassert total([1]) == 1")).startswith("from shop.basket import total\n")


@pytest.mark.parametrize(
    "line", ["from shop import Basket", "from collections import OrderedDict", "from numpy import a"]
)
def test_other_imports_are_left_alone(line: str) -> None:
    assert script(fence(f"{line}\nassert 1 == 2")).startswith(line)


def test_a_copy_of_the_code_under_test_becomes_its_import() -> None:
    source = script(fence("def total(items):\n    return sum(items)\n\nassert total([1]) == 1"))
    assert source == "from shop.basket import total\nassert total([1]) == 1\n"


def test_a_script_without_an_assertion_is_refused() -> None:
    assert "no assert" in problem(fence("from shop.basket import total\nprint(total([1]))"))
    assert "code 2" in problem(fence("print(1)"), asserts=False)
    assert script(fence("import sys\nsys.exit(2)"), asserts=False) == "import sys\nsys.exit(2)\n"


def test_test_functions_that_are_never_called_are_called() -> None:
    source = script(fence("def test_total():\n    assert 1 == 2\n\ndef test_other(x=1):\n    assert x"))
    assert source.endswith("test_total()\ntest_other()\n")
    assert script(fence("def test_a():\n    assert 1 == 2\n\ntest_a()")).count("test_a()") == 2


def run(source: str, tmp_path: Path) -> int:
    """Exit code, with AssertionError as 2 like our runner's."""
    path = tmp_path / "script.py"
    path.write_text(source)
    wrapper = (
        "import runpy, sys\n"
        f"try: runpy.run_path({str(path)!r}, run_name='__main__')\n"
        "except AssertionError: sys.exit(2)\n"
    )
    return subprocess.run([sys.executable, "-c", wrapper], capture_output=True, check=False).returncode


@pytest.mark.parametrize(("body", "code"), [("self.assertEqual(1, 2)", 2), ("self.assertEqual(1, 1)", 0), ("1 / 0", 1)])
def test_unittest_cases_end_as_the_runner_expects(body: str, code: int, tmp_path: Path) -> None:
    text = f"import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        {body}\n        self.fail\n"
    source = script(fence(text + "\nif __name__ == '__main__':\n    unittest.main()\n"))
    assert run(source, tmp_path) == code


def test_a_guarded_script_fails_by_assertion_where_it_raised(tmp_path: Path) -> None:
    source = "import json\nassert json.loads('x') == 1\n"
    assert run(source, tmp_path) == 1
    assert run(guarded(source, "ValueError"), tmp_path) == 2
    assert run(guarded("import json\nassert json.loads('1') == 1\n", "ValueError"), tmp_path) == 0


PIECES = st.lists(
    st.sampled_from(
        [
            "```python\n",
            "```",
            "\n",
            "assert x\n",
            "def total(a):\n",
            "    pass\n",
            "`",
            "import x\n",
            "```diff\n",
            "x=",
        ]
    ),
    max_size=20,
).map("".join)


@given(PIECES | st.text(max_size=80), st.booleans())
def test_reading_never_fails_and_gives_valid_python(text: str, asserts: bool) -> None:
    found = read_script(text, SYMBOLS, asserts=asserts)
    if isinstance(found, Script):
        ast.parse(found.source)
    else:
        assert found.message


@given(st.text(alphabet="ab\n `=", max_size=60))
def test_a_fenced_text_is_read_back(body: str) -> None:
    longest = max((len(part) for part in body.replace(" ", "").split("\n") if set(part) <= {"`"}), default=0)
    ticks = "`" * max(3, longest + 1)
    if "`" in body:
        return
    assert code_blocks(f"{ticks}py\n{body}\n{ticks}") == [("py", body + "\n")]
