"""Environments detected from a project's files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import EnvironmentSettings
from harness.environments import describe, find_environment, is_package, uses_pytest, without_comments
from harness.errors import SettingsError
from harness.python_version import python_version
from sandbox.base import ContainerFile, ImageName, Recipe, RepoPath, Tree


def tree(**files: str) -> Tree:
    """`setup__py="..."` -> setup.py; `a___b__py` -> a/b.py."""
    return {RepoPath(name.replace("___", "/").replace("__", ".")): text.encode() for name, text in files.items()}


def of(files: dict[str, str]) -> Tree:
    return {RepoPath(path): text.encode() for path, text in files.items()}


def recipe(files: dict[str, str], **settings: object) -> Recipe:
    environment = find_environment(of(files), EnvironmentSettings(**settings)).environment  # type: ignore[arg-type]
    assert isinstance(environment, Recipe)
    return environment


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "3.11"),
        ({".python-version": "3.9.7\n"}, "3.9"),
        ({".python-version": "pypy3.9\n3.10\n"}, "3.10"),
        ({".python-version": "system\n", "runtime.txt": "python-3.8.10"}, "3.8"),
        ({".tool-versions": "nodejs 20.1.0\npython 3.12.1\n"}, "3.12"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.8"\n'}, "3.11"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.8,<3.10"\n'}, "3.9"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, "3.12"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.13"\n'}, "3.13"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.8.1,!=3.9.0"\n'}, "3.11"),
        ({"pyproject.toml": '[project]\nrequires-python = "==3.7.*"\n'}, "3.7"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.8"\n'}, "3.11"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.9"\n'}, "3.9"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = ">=3.7,<3.9"\n'}, "3.8"),
        ({"pyproject.toml": "not toml ["}, "3.11"),
        ({"setup.cfg": "[options]\npython_requires = >=3.6,<3.8\n"}, "3.7"),
        ({"setup.py": "from setuptools import setup\nsetup(python_requires='>=3.6, <3.9')\n"}, "3.8"),
        ({"setup.py": "setup(python_requires=VERSION)\n"}, "3.11"),
        ({"setup.py": "setup(\n"}, "3.11"),
        (
            # An old project: its range is open, but nobody claims that it works on a later Python.
            {"setup.py": "setup(python_requires='>=3.5', classifiers=['Programming Language :: Python :: 3.8'])"},
            "3.8",
        ),
        ({"tox.ini": "[tox]\nenvlist = py36,py37,lint\n"}, "3.7"),
        ({"tox.ini": "[tox]\nenvlist = py{38,39}-django{32,40}\n"}, "3.9"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=4"\n'}, "3.11"),
        # What the sources import, where nothing else bounds the version from above.
        ({"a/b.py": "import os\nfrom collections import Mapping\n"}, "3.9"),
        ({"a/b.py": "from collections import (\n    OrderedDict, MutableMapping as M)\n"}, "3.9"),
        ({"a/b.py": "from collections import OrderedDict\nimport collections.abc\n"}, "3.11"),
        ({"a/b.py": "try:\n    from collections import Mapping\nexcept ImportError:\n    pass\n"}, "3.11"),
        ({"a/b.py": "from .collections import Mapping\n"}, "3.11"),
        ({"a/b.py": "print 'two'\nfrom collections import Mapping\n"}, "3.11"),
        ({"tests/b.py": "from collections import Mapping\n"}, "3.11"),
        ({"a.py": "from cgi import escape\n", "b.py": "from inspect import getargspec\n"}, "3.7"),
        ({"a.py": "import imp\n", "pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, "3.12"),
        ({"a.py": "import asyncore\n"}, "3.11"),
        ({"pyproject.toml": '[project]\nrequires-python = "whatever"\n'}, "3.11"),
    ],
)
def test_python_version(files: dict[str, str], version: str) -> None:
    assert python_version(of(files))[0] == version
    assert recipe(files).base == f"python:{version}"


def test_the_import_that_decides_the_version_is_named() -> None:
    assert "a.py imports from collections" in python_version(of({"a.py": "from collections import Mapping\n"}))[1]


@given(
    st.dictionaries(
        st.sampled_from(["pyproject.toml", "setup.py", "setup.cfg", "tox.ini", ".python-version"]), st.text()
    )
)
def test_any_files_give_some_recipe(files: dict[str, str]) -> None:
    found = recipe(files)
    assert found.base.startswith("python:3.")


def test_a_package_with_test_extras() -> None:
    project = '[project]\nname = "x"\n[project.optional-dependencies]\ndocs = ["sphinx"]\ntests = ["pytest"]\n'
    assert recipe({"pyproject.toml": project}).install == ("python -m pip install -e '.[tests]'",)


def test_extras_of_setup_cfg_and_setup_py() -> None:
    cfg = "[metadata]\nname = x\n[options]\npackages = find:\n[options.extras_require]\ntesting = pytest\n"
    assert recipe({"setup.cfg": cfg}).install[0] == "python -m pip install -e '.[testing]'"
    setup = "from setuptools import setup\nsetup(name='x', extras_require={'dev': ['pytest']})\n"
    assert recipe({"setup.py": setup}).install[0] == "python -m pip install -e '.[dev]'"


def test_dependency_groups_with_included_ones_and_a_cycle() -> None:
    project = (
        '[project]\nname = "x"\n[dependency-groups]\n'
        'base = ["attrs>=20", {include-group = "dev"}]\ndev = ["pytest>=8", {include-group = "base"}]\n'
    )
    assert recipe({"pyproject.toml": project}).install[1] == "python -m pip install 'pytest>=8' 'attrs>=20'"


def test_requirements_of_a_plain_repository() -> None:
    files = {
        "requirements.txt": "requests\n",
        "requirements-dev.txt": "pytest\n",
        "app.py": "",
        "tests/test_app.py": "",
    }
    assert recipe(files).install == (
        "python -m pip install -r requirements.txt -r requirements-dev.txt",
        "python -m pip install pytest",
    )


def test_a_package_brings_its_own_requirements() -> None:
    files = {"pyproject.toml": "[project]\nname='x'\n", "requirements.txt": "a==1\n", "requirements-test.txt": "b\n"}
    package, tests = recipe(files).install
    assert package == "python -m pip install -e ."
    assert "-r requirements.txt" not in tests
    assert "requirements-test.txt" in tests


@pytest.mark.parametrize("names", [("dev-requirements.txt",), ("requirements-dev.txt", "test-requirements.txt")])
@pytest.mark.parametrize("bad", [0, 1])
def test_a_package_does_without_what_cannot_be_installed(tmp_path: Path, names: tuple[str, ...], bad: int) -> None:
    """pexpect-u, which requests 2.3's requirements.txt brings, builds with no setuptools of today."""
    files = {"setup.py": "", **dict.fromkeys(names, "x\n")}
    (command,) = [line for line in recipe(files).install if "requirements" in line]
    refused = names[bad % len(names)]
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$*" in *{refused}*) exit 1;; esac\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-ec", command], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == f"bestpatch: note: {refused} could not be installed and was left out\n"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line for line in asked if line.count("-r ") == 1] == [f"-m pip install -r {name}" for name in names]


def test_a_plain_repository_needs_its_requirements() -> None:
    assert recipe({"requirements.txt": "x\n"}).install == ("python -m pip install -r requirements.txt",)


def test_poetrys_test_group() -> None:
    project = '[tool.poetry]\nname = "x"\n[tool.poetry.group.test.dependencies]\npytest = "^7"\n"bad; name" = "1"\n'
    assert recipe({"pyproject.toml": project}).install[-1] == "python -m pip install pytest"


def test_nothing_to_install() -> None:
    found = find_environment(of({"main.py": ""}), EnvironmentSettings())
    assert found.environment == Recipe()
    assert "nothing to install" in found.reasons


def test_a_pyproject_with_tools_only_is_no_package() -> None:
    assert not is_package(of({"pyproject.toml": "[tool.ruff]\nline-length = 100\n"}))
    assert is_package(of({"pyproject.toml": "[build-system]\nrequires = []\n"}))


@pytest.mark.parametrize(
    "files",
    [
        {"pytest.ini": ""},
        {"tests/test_a.py": ""},
        {"a_test.py": ""},
        {"conftest.py": ""},
        {"setup.cfg": "[tool:pytest]\n"},
        {"tox.ini": "[pytest]\n"},
        {"pyproject.toml": "[tool.pytest.ini_options]\n"},
    ],
)
def test_pytest_is_added(files: dict[str, str]) -> None:
    assert uses_pytest(of(files))
    assert recipe(files).install[-1] == "python -m pip install pytest"


def test_system_packages() -> None:
    files = {"requirements.txt": "psycopg2==2.9  # driver\nnot a requirement !!\n-r other.txt\n"}
    assert recipe(files).apt == ("libpq-dev",)
    assert recipe({"setup.py": "setup(install_requires=['MySQLclient>=2'])"}).apt == (
        "default-libmysqlclient-dev",
        "pkg-config",
    )


def test_settings_win() -> None:
    files = {"pyproject.toml": '[project]\nrequires-python = ">=3.12"\nname = "x"\n', "requirements.txt": "psycopg2\n"}
    found = recipe(files, python="3.8", apt=("git-lfs",), install=("make",), env={"B": "2", "A": "1"})
    assert found == Recipe("python:3.8", ("git-lfs",), install=("make",), env=(("A", "1"), ("B", "2")))
    assert recipe(files, base="debian:12").base == "debian:12"
    assert recipe(files, install=()).install == ()


def test_a_named_image_and_dockerfile() -> None:
    files = of({"docker/Dockerfile": "FROM x", "a.py": ""})
    assert find_environment(files, EnvironmentSettings(image="i:1")).environment == ImageName("i:1")
    found = find_environment(files, EnvironmentSettings(dockerfile="./docker/Dockerfile", install=("make",)))
    assert found.environment == ContainerFile(RepoPath("docker/Dockerfile"), install=("make",))


@pytest.mark.parametrize("path", ["missing", "../outside", "/etc/passwd", "a/../../b"])
def test_a_dockerfile_that_is_not_in_the_repository(path: str) -> None:
    with pytest.raises(SettingsError, match=r"not in the repository|leaves the repository"):
        find_environment(of({"Dockerfile": ""}), EnvironmentSettings(dockerfile=path))


def test_a_devcontainer_with_an_image() -> None:
    text = """{
      // comments and trailing commas are usual here
      "image": "mcr.example/python:3.9", /* so are
      these */
      "postCreateCommand": {"a": "pip install -e .", "b": ["make", "two words"]},
    }"""
    files = of({".devcontainer/devcontainer.json": text})
    settings = EnvironmentSettings(devcontainer=".devcontainer/devcontainer.json")
    assert find_environment(files, settings).environment == Recipe(
        "mcr.example/python:3.9", install=("pip install -e .", "make 'two words'")
    )


def test_a_devcontainer_with_a_dockerfile() -> None:
    text = '{"build": {"dockerfile": "../Dockerfile", "context": ".."}, "postCreateCommand": "make"}'
    files = of({".devcontainer/devcontainer.json": text, "Dockerfile": ""})
    settings = EnvironmentSettings(devcontainer=".devcontainer/devcontainer.json")
    assert find_environment(files, settings).environment == ContainerFile(
        RepoPath("Dockerfile"), RepoPath("."), ("make",)
    )


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"build": {"dockerfile": "../../x"}}'])
def test_a_devcontainer_that_cannot_be_used(text: str) -> None:
    with pytest.raises(SettingsError, match=r"d\.json|leaves the repository"):
        find_environment(of({"d.json": text}), EnvironmentSettings(devcontainer="d.json"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_without_comments_stays_what_it_is(value: object) -> None:
    import json

    assert json.loads(without_comments(json.dumps(value))) == value


def test_descriptions() -> None:
    assert describe(ImageName("i")) == ["image i"]
    assert describe(Recipe("b", ("x",), ("make",))) == ["base b", "apt-get install x", "make"]
    assert describe(ContainerFile(RepoPath("D"))) == ["built from D"]
