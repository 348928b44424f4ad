"""A repository of Django's size, the same each time: 2,700 Python files, 19 MB, none of anybody else's.

Its modules are imported by the scripts that `sandboxes.py` runs: each module by the next of its package.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from sandbox.base import RepoPath, Snapshot, digest_of

PACKAGES, MODULES = 27, 99
IMPORTED = 60
"""How many modules one script imports: about what Django's `setup()` of a small project does in CPU time."""
_FUNCTIONS = 24

Files = Mapping[RepoPath, bytes]


def big_tree() -> dict[RepoPath, bytes]:
    """Path -> content. `part07.module012` imports `part07.module011`, and so on down to the package."""
    files: dict[RepoPath, bytes] = {}
    for package in range(PACKAGES):
        name = f"part{package:02}"
        files[RepoPath(f"{name}/__init__.py")] = f'"""Part {package}."""\n'.encode()
        for number in range(MODULES):
            files[RepoPath(f"{name}/module{number:03}.py")] = _module(name, number).encode()
    return files


def module_to_import() -> str:
    """Importing this one imports `IMPORTED` modules."""
    return f"part07.module{IMPORTED - 1:03}"


def _module(package: str, number: int) -> str:
    lines = [f'"""Module {number} of {package}."""', ""]
    if number:
        lines += [f"from {package}.module{number - 1:03} import function0 as before", ""]
    for at in range(_FUNCTIONS):
        lines += [
            "",
            f"def function{at}(value, scale={at + 1}, *, offset={number}):",
            f'    """Scales and shifts a value, the way number {at} of {package} does."""',
            "    if value is None:",
            f"        raise ValueError('function{at} of module {number} needs a value')",
            f"    result = [part * scale + offset for part in range({at + number})]",
            "    return sum(result) + value",
            "",
        ]
    return "\n".join(lines)


def read_tree(root: Path) -> dict[RepoPath, bytes]:
    """The regular files below a folder, without its `.git`."""
    files: dict[RepoPath, bytes] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - {".git", "__pycache__"})
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                files[RepoPath(str(path.relative_to(root)))] = path.read_bytes()
    return files


def write_tree(files: Files, root: Path) -> None:
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def snapshot_of(files: Files, tar: Path) -> Snapshot:
    """The tree as sandboxes take it."""
    with tarfile.open(tar, "w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), 1_600_000_000
            archive.addfile(member, io.BytesIO(content))
    parts = [part for path in sorted(files) for part in (path, files[path])]
    return Snapshot(tar, digest_of(*parts))
