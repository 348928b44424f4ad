"""The normal form: equal for formatting and comments, never for programs that may differ."""

import ast
import random
import sysconfig
from pathlib import Path

import pytest

from agent.edit.normal import normal_form
from sandbox.base import RepoPath

PY = RepoPath("a.py")


def same(a: str | bytes, b: str | bytes, path: str = "a.py") -> bool:
    first, second = (x.encode() if isinstance(x, str) else x for x in (a, b))
    return normal_form(RepoPath(path), first) == normal_form(RepoPath(path), second)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("x = 1\n", "x=1  # why\n\n\n"),
        ("def f(a,b):\n  return a+b\n", "def f(\n    a,\n    b,\n):\n\n    # sum\n    return a + b"),
        ("x = 'a'\n", 'x = "a"\n'),
        ("x = [1, 2]\n", "x = [\n    1,\n    2,\n]\n"),
        ("f(a, b)\n", "f(a, b,)\n"),
        ("x = (1, 2)\n", "x = (1, 2,)\n"),
        ("from a import (b, c)\n", "from a import (\n    b,\n    c,\n)\n"),
        ("if x: y()\n", "if x:\n\ty()\n"),
        ("a(); b()\n", "a()\nb()\n"),
        ("x = 1 + \\\n    2\n", "x = 1 + 2\n"),
        ("x = 1\r\ny = '''a\r\nb'''\r\n", "x = 1\ny = '''a\nb'''\n"),
        ("x = not  in_\n", "x = not in_\n"),
        ("x = a not  in b\n", "x = a not in b\n"),
        ("#!/usr/bin/python\nx = 1\n", "x = 1\n"),
    ],
)
def test_formatting_and_comments_do_not_count(a: str, b: str) -> None:
    assert same(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("if x:\n    y()\n    z()\n", "if x:\n    y()\nz()\n"),
        ("if a:\n  if b:\n    x()\n  else:\n    y()\n", "if a:\n  if b:\n    x()\nelse:\n    y()\n"),
        ("x = 'a b'\n", "x = 'a  b'\n"),
        ("x = '''a\nb'''\n", "x = '''a\n b'''\n"),
        ("x = '''a \nb'''\n", "x = '''a\nb'''\n"),
        ("x = 'a#b'\n", "x = 'a'\n"),
        ("x = (1,)\n", "x = (1)\n"),
        ("x = 1,\n", "x = 1\n"),
        ("x[1,]\n", "x[1]\n"),
        ("x = b'a'\n", "x = 'a'\n"),
        ("x = f'{a}'\n", "x = '{a}'\n"),
        ("x = f'{a }'\n", "x = f'{a=}'\n"),
        ("x = '\\n'\n", "x = r'\\n'\n"),
        ("x = '1'\n", "x = 1\n"),
        ("a\n(b)\n", "a(b)\n"),
        ("def f():\n    '''doc'''\n", "def f():\n    '''other'''\n"),
        ("x = 1\n", "x = 2\n"),
        ("xy = 1\n", "x = 1\n"),
        ("a = b\n", "a == b\n"),
        ("x = (a + b) * c\n", "x = a + b * c\n"),
        ("# coding: latin-1\nx = 1\n", "x = 1\n"),
        ("print('a'  'b')\n", "print('a', 'b')\n"),
        ("'a' 'b'\n", "'a'\n'b'\n"),
    ],
)
def test_what_may_behave_differently_stays_different(a: str, b: str) -> None:
    assert not same(a, b)


def test_erroneous_python_is_its_own_form() -> None:
    assert same("def f(:\n", "def f(:\n")
    assert not same("def f(:\n  x\n", "def f(:\n    x\n")
    assert not same("def f(:\n", "def f(: # note\n")
    assert not same("x = 1\ny = 2\n", "x = 1\n    y = 2\n")


def test_other_languages() -> None:
    assert same('{"a": 1, "b": []}', '{\n  "a": 1,\n  "b": []\n}\n', "a.json")
    assert not same('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "a.json")
    assert not same('{"a": 1}', '{"a": 1.0}', "a.json")
    assert not same('{"a": 1}', '{"a": true}', "a.json")
    assert same("a = 1 # n\n", "a=1\n", "a.toml")
    assert same("int f() {\n  return 1;\n}\n", "int f() {\n\treturn 1;  \n\n}\n", "a.c")
    assert not same("x = `a\n b`\n", "x = `a\nb`\n", "a.js")
    assert not same("a:\n  b: 1\n", "a:\nb: 1\n", "a.yaml")
    assert not same("x\n", "x \n", "a.md")
    assert not same("a:\n\tb\n", "a:\n    b\n", "Makefile")
    assert not same(b"\xff", b"\xfe", "a.bin")


MODULES = ["textwrap.py", "heapq.py", "shlex.py"]


@pytest.mark.parametrize("name", MODULES)
def test_reprinted_real_modules_keep_or_change_their_form_with_their_syntax_tree(name: str) -> None:
    text = (Path(sysconfig.get_path("stdlib")) / name).read_text()
    lines = text.split("\n")
    # Python's own syntax tree is the judge.
    spaced = text.replace(", ", " ,  ").replace(" = ", "  =   ")
    if ast.dump(ast.parse(spaced)) == ast.dump(ast.parse(text)):
        assert same(text, spaced)
    choose = random.Random(name)
    dump = ast.dump(ast.parse(text))
    for _ in range(20):
        number = choose.randrange(len(lines))
        changed = list(lines)
        match choose.randrange(4):
            case 0:
                del changed[number]
            case 1:
                changed[number] = "    " + changed[number]
            case 2:
                changed[number] = changed[number].replace(" ", "  ")
            case _:
                changed[number] = changed[number].removeprefix("    ")
        other = "\n".join(changed)
        if same(text, other):
            assert ast.dump(ast.parse(other)) == dump
