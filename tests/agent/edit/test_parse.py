"""Files that parsed before must parse after."""

import pytest

from agent.edit.parse import check_syntax, first_error
from tests.agent.edit.helpers import block, blocks, one, problem


@pytest.mark.parametrize(
    ("path", "after", "quoted"),
    [
        ("a.py", b"def f(:\n    pass\n", "def f(:"),
        ("a.py", b"x = 1\nreturn x\n", "return x"),
        ("a.py", b"if x:\n\ty()\n        z()\n", "z()"),
        ("a.pyi", b"def f(x) -> :\n", "def f(x)"),
        ("a.json", b'{"a": 1,\n "b": }\n', '"b": }'),
        ("a.toml", b"a = 1\nb = \n", "b ="),
        ("a.ipynb", b"{", "{"),
    ],
)
def test_a_new_error_is_quoted(path: str, after: bytes, quoted: str) -> None:
    for before in (None, b"" if path.endswith(("y", "i", "toml")) else b"{}"):
        said = check_syntax(path, before, after)
        assert said is not None
        assert quoted in said


def test_what_is_right_or_not_checked_passes() -> None:
    assert check_syntax("a.py", b"", b"async def f(): return [x async for x in y]\n") is None
    assert check_syntax("a.py", b"", b"x = '\\d'\n") is None
    assert check_syntax("a.json", b"{}", b'{"a": []}') is None
    assert check_syntax("a.toml", b"", b'a = 1\r\nb = "x"\r\n') is None
    assert check_syntax("a.c", b"", b"int main( {") is None


def test_a_file_that_did_not_parse_before_may_stay_so() -> None:
    assert check_syntax("tsconfig.json", b"{ // note\n}", b'{ // note\n "a": 1 }') is None
    assert check_syntax("a.py", b"def f(:\n", b"def f(:\nx = 1\n") is None


def test_python_2_is_judged_by_the_grammar() -> None:
    old = b"print 'x'\nexec 'y'\n"
    assert check_syntax("a.py", old, old + b"print 'z'\n") is None
    said = check_syntax("a.py", old, old + b"def f(:\n")
    assert said is not None


def test_syntax_newer_than_our_interpreter_is_allowed() -> None:
    assert check_syntax("a.py", b"x = 1\n", b"type X = int\n\n\ndef f[T](x: T) -> T:\n    return x\n") is None


def test_null_bytes_and_deep_nesting_are_errors_not_crashes() -> None:
    assert check_syntax("a.py", b"", b"x = 1\0\n") is not None
    assert check_syntax("a.py", b"", b"(" * 2_000) is not None
    assert check_syntax("a.json", b"{}", b"[" * 200_000) is not None


def test_first_error() -> None:
    assert first_error(b"x = 1\n") is None
    assert first_error(b"print 'x'\n") is None
    assert "line 2" in (first_error(b"x = 1\ny = (\n") or "")


def test_an_edit_that_breaks_a_file_is_refused_and_one_beside_an_error_is_not() -> None:
    said = problem(block("x = 1\n", "x = (1\n"), one("x = 1\n"), "search_replace")
    assert "does not parse" in said
    assert "x = (1" in said
    assert blocks(block("x = 1\n", "x = 2\n"), one("x = 1\ndef f(:\n")) == {"mod.py": b"x = 2\ndef f(:\n"}
    assert "does not parse" in problem(block('"a"\n', '"a",\n', path="a.json"), one('[\n"a"\n]\n', "a.json"), "sr")
