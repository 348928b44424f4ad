"""The environment of a local repository: what the settings name, else a recipe detected from the project's files.

Pure functions on a tree: nothing is executed, nothing is written. What a project's files say is untrusted text that
ends up in a container's build, never on this host.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.config import EnvironmentSettings
from harness.errors import SettingsError
from harness.python_version import dig, pyproject, python_version, setup_cfg, strings, text
from sandbox.base import ContainerFile, Environment, ImageName, Recipe, RepoPath, Tree
from sandbox.builder import NOTE

TEST_EXTRAS = ("test", "tests", "testing", "dev")
"""Extras and dependency groups that hold what the tests need; the first that is defined is installed."""

REQUIREMENTS = (
    "requirements.txt",
    "requirements/base.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements/dev.txt",
    "requirements-test.txt",
    "requirements-tests.txt",
    "requirements_test.txt",
    "test-requirements.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "tests/requirements.txt",
)

APT_HINTS = {
    "psycopg2": ("libpq-dev",),
    "mysqlclient": ("default-libmysqlclient-dev", "pkg-config"),
    "python-ldap": ("libldap2-dev", "libsasl2-dev"),
    "pycairo": ("libcairo2-dev", "pkg-config"),
    "pygobject": ("libgirepository1.0-dev", "libcairo2-dev"),
    "pyaudio": ("portaudio19-dev",),
    "python-magic": ("libmagic1",),
    "weasyprint": ("libpango-1.0-0", "libpangoft2-1.0-0"),
    "opencv-python": ("libgl1", "libglib2.0-0"),
    "xmlsec": ("libxmlsec1-dev", "pkg-config"),
    "pygraphviz": ("graphviz", "libgraphviz-dev"),
    "graphviz": ("graphviz",),
    "pylibmc": ("libmemcached-dev", "zlib1g-dev"),
}
"""Distribution -> Debian packages that its wheel or build needs and that a Python base image may lack."""


@dataclass(frozen=True)
class Found:
    """An environment and, for the person who runs bestpatch, how it was found."""

    environment: Environment
    reasons: tuple[str, ...]


def find_environment(tree: Tree, settings: EnvironmentSettings) -> Found:
    """The environment for a tree. Raises SettingsError when a named file is not in the tree or cannot be read."""
    install = settings.install
    if settings.image:
        if install:
            raise SettingsError("environment.install cannot stand beside image; build on it with base and install")
        return Found(ImageName(settings.image), ("the settings name the image",))
    if settings.dockerfile:
        path = _in_tree(tree, settings.dockerfile, "dockerfile")
        return Found(ContainerFile(path, install=install or ()), (f"built from {path}",))
    if settings.devcontainer:
        return _devcontainer(tree, _in_tree(tree, settings.devcontainer, "devcontainer"), settings)
    return _recipe(tree, settings)


def _recipe(tree: Tree, settings: EnvironmentSettings) -> Found:
    version, why = (settings.python, "as the settings say") if settings.python else python_version(tree)
    base = settings.base or f"python:{version}"
    reasons = [f"base image {base}: {'as the settings say' if settings.base else why}"]
    install, notes = (
        (settings.install, ("installed as the settings say",)) if settings.install is not None else _install(tree)
    )
    apt = settings.apt if settings.apt is not None else _apt(tree)
    if apt:
        reasons.append(f"system packages {' '.join(apt)}")
    recipe = Recipe(base=base, apt=apt, install=install, env=tuple(sorted(settings.env.items())))
    return Found(recipe, (*reasons, *notes))


def _install(tree: Tree) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Commands that install the project with what its tests need, and notes on why."""
    commands: list[str] = []
    notes: list[str] = []
    if is_package(tree):
        extra = next((name for name in TEST_EXTRAS if name in _extras(tree)), None)
        commands.append(f"python -m pip install -e {shlex.quote(f'.[{extra}]' if extra else '.')}")
        notes.append(f"a package{f' with its extra {extra}' if extra else ''}")
    files = [path for path in REQUIREMENTS if RepoPath(path) in tree]
    if files:
        if is_package(tree):
            # requirements.txt of a package often repeats, at other versions, what the package has just brought.
            files = [path for path in files if path not in ("requirements.txt", "requirements/base.txt")] or files
        commands.append(_requirements(files, needed=not is_package(tree)))
        notes.append(", ".join(files))
    group = next((name for name in TEST_EXTRAS if dig(pyproject(tree), "dependency-groups", name) is not None), None)
    if group:
        wanted = _group(tree, group, ())
        if wanted:
            commands.append(f"python -m pip install {shlex.join(wanted)}")
            notes.append(f"the dependency group {group}")
    wanted = _poetry_tests(tree)
    if wanted:
        commands.append(f"python -m pip install {shlex.join(wanted)}")
        notes.append("poetry's test dependencies")
    if uses_pytest(tree):
        # Last, so that a version that the project asks for is already there and stays.
        commands.append("python -m pip install pytest")
        notes.append("pytest, which the tests use")
    return tuple(commands), tuple(notes) or ("nothing to install",)


def _requirements(files: Sequence[str], *, needed: bool) -> str:
    """The command that installs requirement files: together if they go together, and those that can be where a package
    has brought what it needs already. Pins of a tool that no longer builds are no reason to do without the package.
    """
    command = "python -m pip install " + " ".join(f"-r {shlex.quote(path)}" for path in files)
    if needed:
        return command
    alone = f'python -m pip install -r "$file" || echo "{NOTE}$file could not be installed and was left out"'
    listed = " ".join(map(shlex.quote, files))
    return f"{command} || for file in {listed}; do {alone}; done" if len(files) > 1 else f"file={listed}; {alone}"


def is_package(tree: Tree) -> bool:
    """Whether pip can install the repository's root."""
    project = pyproject(tree)
    declared = "project" in project or "build-system" in project or dig(project, "tool", "poetry", "name") is not None
    cfg = setup_cfg(tree)
    return declared or RepoPath("setup.py") in tree or (cfg.has_section("metadata") and cfg.has_section("options"))


def uses_pytest(tree: Tree) -> bool:
    """Whether the repository's tests are for pytest, or at least found by it."""
    if dig(pyproject(tree), "tool", "pytest") is not None or RepoPath("pytest.ini") in tree:
        return True
    if setup_cfg(tree).has_section("tool:pytest") or setup_cfg(tree, "tox.ini").has_section("pytest"):
        return True
    return any(re.search(r"(^|/)(conftest|test_[^/]*|[^/]*_test)\.py$", path) for path in tree)


def _extras(tree: Tree) -> set[str]:
    names: set[str] = set()
    for path in (("project", "optional-dependencies"), ("tool", "poetry", "extras")):
        table = dig(pyproject(tree), *path)
        if isinstance(table, Mapping):
            names |= {str(name) for name in cast("Mapping[str, object]", table)}
    cfg = setup_cfg(tree)
    if cfg.has_section("options.extras_require"):
        names |= set(cfg.options("options.extras_require"))
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(text(tree, "setup.py"))):
            if isinstance(node, ast.keyword) and node.arg == "extras_require" and isinstance(node.value, ast.Dict):
                names |= {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    return names


def _group(tree: Tree, name: str, above: tuple[str, ...]) -> list[str]:
    """A dependency group's requirements (PEP 735), included groups resolved, a cycle cut."""
    members = dig(pyproject(tree), "dependency-groups", name)
    found: list[str] = []
    for member in cast("list[object]", members) if isinstance(members, list) else []:
        if isinstance(member, str):
            found.append(member)
        elif isinstance(member, Mapping):
            inner = cast("Mapping[str, object]", member).get("include-group")
            if isinstance(inner, str) and inner not in (*above, name):
                found += _group(tree, inner, (*above, name))
    return list(dict.fromkeys(found))


def _poetry_tests(tree: Tree) -> list[str]:
    """Names from poetry's test and dev groups, which pip does not know; the versions there are poetry's own syntax."""
    found: list[str] = []
    for path in (("dev-dependencies",), *(("group", name, "dependencies") for name in TEST_EXTRAS)):
        table = dig(pyproject(tree), "tool", "poetry", *path)
        if isinstance(table, Mapping):
            found += [str(name) for name in cast("Mapping[str, object]", table) if name != "python"]
    return [name for name in dict.fromkeys(found) if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)]


def _apt(tree: Tree) -> tuple[str, ...]:
    packages: list[str] = []
    for name in sorted(_required(tree)):
        packages += APT_HINTS.get(name, ())
    return tuple(dict.fromkeys(packages))


def _required(tree: Tree) -> set[str]:
    """Canonical names of the distributions that the project names anywhere."""
    lines = list(strings(dig(pyproject(tree), "project", "dependencies")))
    for path in REQUIREMENTS:
        lines += text(tree, path).splitlines()
    cfg = setup_cfg(tree)
    lines += cfg.get("options", "install_requires", fallback="").splitlines()
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(text(tree, "setup.py"))):
            if isinstance(node, ast.keyword) and node.arg == "install_requires" and isinstance(node.value, ast.List):
                lines += [str(item.value) for item in node.value.elts if isinstance(item, ast.Constant)]
    names: set[str] = set()
    for line in lines:
        with suppress(InvalidRequirement):
            names.add(canonicalize_name(Requirement(line.split(" #")[0].strip()).name))
    table = dig(pyproject(tree), "tool", "poetry", "dependencies")
    if isinstance(table, Mapping):
        names |= {canonicalize_name(str(name)) for name in cast("Mapping[str, object]", table)}
    return names


def _devcontainer(tree: Tree, path: RepoPath, settings: EnvironmentSettings) -> Found:
    try:
        data = cast(object, json.loads(without_comments(text(tree, path))))
    except ValueError as error:
        raise SettingsError(f"{path}: cannot be read as a devcontainer's JSON: {error}") from None
    if not isinstance(data, Mapping):
        raise SettingsError(f"{path}: is no JSON object")
    table = cast("Mapping[str, object]", data)
    install = settings.install if settings.install is not None else _commands(table)
    folder = posixpath.dirname(path)
    dockerfile = dig(table, "build", "dockerfile") or table.get("dockerFile")
    if isinstance(dockerfile, str):
        context = dig(table, "build", "context") or table.get("context") or "."
        found = _in_tree(tree, posixpath.join(folder, dockerfile), "devcontainer's Dockerfile")
        inside = RepoPath(_inside(posixpath.join(folder, str(context)), "devcontainer's context"))
        return Found(ContainerFile(found, inside, install), (f"built from {found}, which {path} names",))
    image = table.get("image")
    if isinstance(image, str):
        recipe = Recipe(base=image, apt=settings.apt or (), install=install, env=tuple(sorted(settings.env.items())))
        return Found(recipe, (f"base image {image}, which {path} names",))
    raise SettingsError(
        f"{path}: names neither an image nor a Dockerfile; use environment.base or environment.dockerfile"
    )


def _commands(table: Mapping[str, object]) -> tuple[str, ...]:
    """What a devcontainer runs once it was created: a line, a list of words, or named ones of either."""
    found: list[str] = []
    for key in ("onCreateCommand", "updateContentCommand", "postCreateCommand"):
        value = table.get(key)
        several = cast("Mapping[str, object]", value).values() if isinstance(value, Mapping) else [value]
        for command in several:
            if isinstance(command, str):
                found.append(command)
            elif isinstance(command, list):
                found.append(shlex.join(strings(cast(object, command))))
    return tuple(filter(None, found))


def without_comments(source: str) -> str:
    """JSON with comments and trailing commas -> JSON; strings are left alone."""
    string = r'"(?:\\.|[^"\\])*"'
    bare = re.sub(rf"({string})|//[^\n]*|/\*.*?\*/", lambda match: match[1] or "", source, flags=re.DOTALL)
    return re.sub(rf"({string})|,(?=\s*[}}\]])", lambda match: match[1] or "", bare, flags=re.DOTALL)


def _in_tree(tree: Tree, path: str, what: str) -> RepoPath:
    inside = RepoPath(_inside(path, what))
    if inside not in tree:
        raise SettingsError(f"the {what} {path!r} is not in the repository at the base commit; commit it or check it")
    return inside


def _inside(path: str, what: str) -> str:
    normal = posixpath.normpath(path)
    if normal.startswith(("/", "..")):
        raise SettingsError(f"the {what} {path!r} leaves the repository; give a path relative to its root")
    return normal


def describe(environment: Environment) -> Sequence[str]:
    """A few plain lines on an environment, for terminals."""
    match environment:
        case ImageName(image=image):
            return [f"image {image}"]
        case ContainerFile(dockerfile=dockerfile, install=install):
            return [f"built from {dockerfile}", *install]
        case Recipe(base=base, apt=apt, shared=shared, install=install):
            return [f"base {base}", *([f"apt-get install {' '.join(apt)}"] if apt else []), *shared, *install]
