"""Recipes for instances without an image, from the constants of an installed swebench package.

The constants describe conda environments; a Python base image and pip do as well for what they name. Requirements are
read from the repository's own history, not from the web.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from packaging.utils import canonicalize_name

from harness import swebench
from harness.environments import APT_HINTS
from harness.errors import RepositoryError, SwebenchMissing
from harness.instances import Instance
from harness.repository import Repository
from sandbox.base import Recipe, RepoPath, Tree

OLDEST = 6
"""What 3.5 becomes: base images and our own programs begin here, and nothing of Django 2 minds."""

NEW_PIP = 8
"""Pythons before 3.8 come with a pip that does not know the wheels of today, and would build what it cannot."""

_CONSTRAINTS = "/tmp/bestpatch-constraints"  # noqa: S108 - in the image that is being built
_OF_THE_TIME = "setuptools<71"
"""Setup programs of the time import pkg_resources, which later releases no longer have. It holds in the environments
that pip makes for builds, too."""

_SINCE = {("sphinx-doc/sphinx", major): "docutils<0.17" for major in "123"}
"""Repository and major version -> what its setup program does not bound, and what has moved on since the constants
were written."""

_APT = re.compile(r"^apt-get update && apt-get install -y (?P<packages>[\w.+ -]+)$")
_EXPORT = re.compile(r"^export (?P<name>\w+)=(?P<value>\S*)$")
_LOCALE = frozenset({"LANG", "LANGUAGE", "LC_ALL"})
"""Left to the base image, which has C.UTF-8: en_US.UTF-8 would have to be generated."""

_INSTALLS = {"python setup.py install": "-e .", "python -m pip install .": "-e ."}
"""A copy that is installed would be tested in place of the patched tree."""

_REPLACED = {"types-pkg_resources": "types-setuptools"}
"""Names that the index no longer has, as swebench replaces them."""

_NAME = re.compile(r"[\s<>=!~;\[]")
"""Ends a distribution's name."""

_NO_REQUIREMENT = re.compile(r"-e\s*\.|\.\[|#|-|$")
_INCLUDED = re.compile(r"(?:-r|--requirement)[\s=]+(\S+)")


def recipe_of(instance: Instance, repository: Repository) -> Recipe | None:
    """None where swebench is not installed, does not know the version, or means another language.

    Raises RepositoryError.
    """
    try:
        specs = swebench.specs(instance.repo, instance.version)
        if specs is None or swebench.language(instance.repo) != "py" or specs.get("packages") == "environment.yml":
            return None
        paths = swebench.requirement_paths(instance.repo) if specs.get("packages") == "requirements.txt" else ()
    except SwebenchMissing:
        return None
    tree = repository.tree(repository.base(instance.base_commit))
    setup = tree
    if instance.environment_setup_commit:
        # Often later than the base commit, so not in every copy of the repository.
        with suppress(RepositoryError):
            setup = repository.tree(repository.base(instance.environment_setup_commit))
    file = next((path for path in paths if RepoPath(path) in setup), None)
    required = requirements(setup, file) if file else ()
    bound = _SINCE.get((instance.repo, instance.version.partition(".")[0]))
    scm_version = f"{instance.version}.0" if _asks_git(tree) else None
    return recipe(specs, required, scm_version=scm_version, bounds=[bound] if bound else [])


def recipe(
    specs: Mapping[str, Any],
    required: Sequence[str] = (),
    *,
    scm_version: str | None = None,
    bounds: Sequence[str] = (),
) -> Recipe:
    """The recipe that a version's constants describe. `bounds`: constraints on what is installed.

    `required`: what its requirement files name. `scm_version`: the version of a project that asks git for it, which
    knows none in a tree without history.
    """
    before = [str(command) for command in specs.get("pre_install", ())]
    apt = [name for command in before if (found := _APT.match(command)) for name in found["packages"].split()]
    apt += [
        name for line in required for name in APT_HINTS.get(canonicalize_name(_NAME.split(line, maxsplit=1)[0]), ())
    ]
    packages = str(specs.get("packages", ""))
    named = [] if packages == "requirements.txt" else shlex.split(packages)
    wanted = [names for names in (named, [*required], [*specs.get("pip_packages", ())]) if names]
    install = str(specs.get("install", ""))
    what = _INSTALLS.get(install) or install.removeprefix("python -m pip install ")
    pretended = f"SETUPTOOLS_SCM_PRETEND_VERSION={scm_version} " if scm_version else ""
    shared = [
        f"echo '{chr(10).join([_OF_THE_TIME, *bounds])}' > {_CONSTRAINTS}",
        *([_pip("--upgrade pip")] if _minor(specs) < NEW_PIP else []),
        *(_pip(shlex.join(names)) for names in ([_OF_THE_TIME, "wheel"], *wanted)),
    ]
    edits = [command for command in before if not _APT.match(command) and "locale" not in command]
    commands = [
        *(["\n".join(edits)] if edits else []),  # one layer for all
        *([pretended + _pip(what)] if what else []),
    ]
    exported = [found for line in specs.get("eval_commands", ()) if (found := _EXPORT.match(str(line)))]
    env = {found["name"]: found["value"] for found in exported if found["name"] not in _LOCALE}
    return Recipe(
        base=f"python:3.{_minor(specs)}",
        apt=tuple(name for name in apt if name != "locales"),
        shared=tuple(shared),
        install=tuple(commands),
        env=tuple(sorted(env.items())),
    )


def _minor(specs: Mapping[str, Any]) -> int:
    return max(OLDEST, int(str(specs["python"]).split(".")[1]))


def _pip(what: str) -> str:
    return f"PIP_CONSTRAINT={_CONSTRAINTS} PIP_BUILD_CONSTRAINT={_CONSTRAINTS} python -m pip install {what}"


def requirements(tree: Tree, path: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What a requirements file of a tree names, included files first; options and the project itself left out."""
    found: list[str] = []
    text = tree.get(RepoPath(path), b"").decode("utf-8", "replace")
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if included := _INCLUDED.match(line):
            inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), included[1]))
            if inner not in (*above, path):
                found = [*requirements(tree, inner, (*above, path)), *found]
        elif not _NO_REQUIREMENT.match(line):
            plain = re.split(r"\s#|\s--hash", line)[0].strip()
            found.append(_REPLACED.get(_NAME.split(plain, maxsplit=1)[0], plain))
    return tuple(dict.fromkeys(found))


def _asks_git(tree: Tree) -> bool:
    """Whether the project takes its version from git's tags."""
    files = ("setup.py", "setup.cfg", "pyproject.toml")
    return any(re.search(rb"setuptools[_-]scm", tree.get(RepoPath(path), b"")) for path in files)


def commands_of(instance: Instance) -> tuple[str, ...]:
    """The shell commands that run all tests of a repository; () where swebench is missing or does not know it."""
    try:
        specs = swebench.specs(instance.repo, instance.version)
    except SwebenchMissing:
        return ()
    if specs is None:
        return ()
    commands = cast("str | list[str]", specs["test_cmd"])
    return (commands,) if isinstance(commands, str) else tuple(commands)
