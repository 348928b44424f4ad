"""Recipes from constants: what conda environments were made of, as a base image and pip commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import recipes, swebench
from harness.errors import SwebenchMissing
from harness.instances import Instance
from harness.recipes import commands_of, recipe, recipe_of, requirements
from harness.repository import Repository
from sandbox.base import RepoPath
from tests.harness.conftest import git
from tests.harness.test_instances import ROW

SPECS: Mapping[str, Any] = {"python": "3.9", "install": "python -m pip install -e .[test]", "test_cmd": "pytest -rA"}


def shell(made: Any) -> str:
    return "\n".join((*made.shared, *made.install))


def test_packages_pins_and_the_project() -> None:
    made = recipe({**SPECS, "packages": "mpmath 'numpy<2'", "pip_packages": ["Jinja2==3.0.3"]})
    assert (made.base, made.apt, made.env) == ("python:3.9", (), ())
    shared = [line.partition("pip install ")[2] for line in made.shared[1:]]
    assert shared == ["'setuptools<71' wheel", "mpmath 'numpy<2'", "Jinja2==3.0.3"]
    assert [line.partition("pip install ")[2] for line in made.install] == ["-e .[test]"]


def test_steps_before_the_installation() -> None:
    edits = ["sed -i 's/a/b/' setup.py", "grep -q x setup.py && true || false"]
    packages = "apt-get update && apt-get install -y locales libenchant-2-dev"
    made = recipe({**SPECS, "pre_install": [packages, *edits, "locale-gen en_US.UTF-8"]})
    assert made.apt == ("libenchant-2-dev",)
    assert made.install[0] == "\n".join(edits)


def test_what_old_pythons_and_wheels_need() -> None:
    made = recipe({**SPECS, "python": "3.6"}, ["pylibmc; sys.platform != 'win32'", "pytz"])
    assert made.apt == ("libmemcached-dev", "zlib1g-dev")
    assert made.shared[1].endswith("pip install --upgrade pip")
    assert not any("--upgrade" in line for line in recipe(SPECS).shared)


def test_bounds_hold_for_builds_too() -> None:
    made = recipe(SPECS, bounds=["docutils<0.17"])
    assert made.shared[0] == "echo 'setuptools<71\ndocutils<0.17' > /tmp/bestpatch-constraints"
    assert made.install[-1].startswith("PIP_CONSTRAINT=/tmp/bestpatch-constraints PIP_BUILD_CONSTRAINT=")
    assert "locale" not in shell(made)


@pytest.mark.parametrize("install", ["python setup.py install", "python -m pip install ."])
def test_a_copy_is_never_installed(install: str) -> None:
    """The copy would be tested in place of the patched tree."""
    assert recipe({**SPECS, "install": install}).install[-1].endswith("python -m pip install -e .")


def test_environment_variables_and_old_pythons() -> None:
    exports = ["export LANG=en_US.UTF-8", "export PYTHONIOENCODING=utf8", "sed -i x && locale-gen"]
    made = recipe({**SPECS, "python": "3.5", "eval_commands": exports})
    assert (made.base, made.env) == ("python:3.6", (("PYTHONIOENCODING", "utf8"),))


def test_requirement_files() -> None:
    tree = {
        RepoPath("requirements/dev.txt"): b"-r tests.txt\n# note\n-e .\n--index-url x\npytest>=7  # why\n-r dev.txt\n",
        RepoPath("requirements/tests.txt"): b"types-pkg_resources==0.1.3\nblack==22.3.0 \\\n    --hash=sha256:00\n\n",
    }
    assert requirements(tree, "requirements/dev.txt") == ("types-setuptools", "black==22.3.0", "pytest>=7")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Constants for acme/calc 1.0 as swebench would have them."""
    specs = {**SPECS, "packages": "requirements.txt"}
    monkeypatch.setattr(swebench, "specs", lambda repo, version: {("acme/calc", "1.0"): specs}.get((repo, version)))
    monkeypatch.setattr(swebench, "language", lambda repo: "py")
    monkeypatch.setattr(swebench, "requirement_paths", lambda repo: ("none.txt", "dev.txt"))
    return specs


def test_requirements_come_from_the_setup_commit(make_repo: Callable[..., Path], known: dict[str, Any]) -> None:
    root = make_repo({"dev.txt": "old==1\n", "setup.cfg": "[options]\nsetup_requires = setuptools_scm\n"})
    base = git(root, "rev-parse", "HEAD").strip()
    (root / "dev.txt").write_text("new==2\n")
    git(root, "commit", "-qam", "later")
    row = {**ROW, "version": "1.0", "base_commit": base, "repo_path": str(root)}
    later = Instance.model_validate({**row, "environment_setup_commit": git(root, "rev-parse", "HEAD").strip()})
    missing = Instance.model_validate({**row, "environment_setup_commit": "f" * 40})
    with Repository.open(root) as repository:
        made = recipe_of(later, repository)
        assert "new==2" in shell(made)
        assert "SETUPTOOLS_SCM_PRETEND_VERSION=1.0.0 " in shell(made)
        assert "old==1" in shell(recipe_of(missing, repository))
        assert recipe_of(Instance.model_validate({**row, "version": "9"}), repository) is None
    assert commands_of(later) == ("pytest -rA",)


def test_without_swebench_there_is_no_recipe(
    repo: Path, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: str) -> None:
        raise SwebenchMissing("no")

    monkeypatch.setattr(recipes.swebench, "specs", missing)
    instance = Instance.model_validate({**ROW, "version": "1.0", "base_commit": "HEAD"})
    with Repository.open(repo) as repository:
        assert recipe_of(instance, repository) is None
    assert commands_of(instance) == ()
