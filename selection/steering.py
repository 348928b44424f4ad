"""Files that steer a test run without being the code it tests, told by their names.

A lone conftest.py has been graded as a solved issue (SWE-bench#631). Such a file is neither forbidden nor dropped from
a patch: some fixes need one. But it is named to the reader, and where the repository's own tests are run it is as the
base commit has it. (`agent/edit/hygiene.py` has dropped what no patch should hold; `sandbox/patch.py` has refused
what lies in `.git`; git hooks and git's configuration take no part in an execution.)
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from sandbox.base import RepoPath

_NAMES = (
    # pytest reads these before any test; the last ones hold other settings too, but a section of theirs is enough.
    "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml",
    "tox.ini", "setup.cfg", "pyproject.toml",
    # Python loads these by itself, from a folder that an editable install has put on its path.
    "sitecustomize.py", "usercustomize.py", "*.pth", "*.egg-link",
    # What a test command runs.
    "Makefile", "makefile", "GNUmakefile", "noxfile.py", "runtests.py", "run_tests.*",
    # What measures and reports.
    ".coveragerc", "nose.cfg", ".noserc",
    # What changes how git sees the tree, and what it runs.
    ".gitattributes", ".pre-commit-config.yaml", ".lfsconfig",
)  # fmt: skip
_FOLDERS = frozenset({".githooks", ".husky"})


def steers(path: str) -> bool:
    """Whether a file of this name can steer a test run."""
    parts = PurePosixPath(path)
    return any(fnmatchcase(parts.name, name) for name in _NAMES) or not _FOLDERS.isdisjoint(parts.parts[:-1])


def steering(paths: Iterable[RepoPath]) -> tuple[RepoPath, ...]:
    """Those of the paths that can steer a test run, sorted."""
    return tuple(sorted(path for path in paths if steers(path)))
