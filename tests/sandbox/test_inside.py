"""The programs of a place on the Pythons that images have: 3.6 and later."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest

from sandbox import inside
from sandbox.base_image import find_interpreters

FOUND = {each.version: str(each.prefix / "bin" / f"python{each.version}") for each in find_interpreters()}
PYTHONS = [sys.executable, *(FOUND[version] for version in ("3.6", "3.7", "3.8", "3.13") if version in FOUND)]

# What the parts of a place do without namespaces of their own: the list of a folder's files, before and after.
LOOK = """
import os, sys, tempfile
from sandbox.inside import changes
folder = tempfile.mkdtemp()
os.chdir(folder)
writings = changes.Writings(folder)
with open("old.txt", "w") as file:
    file.write("x")
changes.TICKING = True
before = writings.seen()
assert writings.as_seen(before)
with open("old.txt", "w") as file:
    file.write("y")
assert not writings.as_seen(before)
writings.about_to_write(folder + "/new/folder/script.py")
os.makedirs("new/folder")
open("new/folder/script.py", "w").close()
assert writings.take_back() and os.listdir(".") == ["old.txt"]
writings.about_to_write(folder + "/old.txt")
assert not writings.take_back()
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_a_place_says_who_it_is_and_ends_when_nobody_is_there(python: str) -> None:
    argv = [*inside.entry(python), *inside.arguments(*inside.CELLS)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr
    length, _ = struct.unpack(">II", done.stdout[:8])
    assert set(json.loads(done.stdout[8 : 8 + length])) == {"python", "machine", "uid", "gid"}


@pytest.mark.parametrize("python", PYTHONS)
def test_what_an_execution_changed_is_seen(python: str) -> None:
    parts = inside.arguments("changes")
    loader = parts[1].replace("module.main()", "exec(sys.argv[1])")
    assert loader != parts[1]
    done = subprocess.run([python, "-I", "-c", loader, *parts[2:], LOOK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
