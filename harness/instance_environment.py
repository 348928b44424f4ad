"""The environment of an instance, and the command that runs its tests.

In order: what the instance itself says; without a repository at hand the official image of that instance; else the
recipe that swebench's constants have for its repository and version; else what is detected from the tree.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from harness import recipes
from harness.config import EnvironmentSettings, Settings
from harness.environments import find_environment
from harness.instances import Instance
from harness.repository import Repository
from sandbox.base import Environment, ImageName
from selection.repository_tests import PLACE

NAMESPACE = "swebench"
"""Where the images of SWE-bench, Lite, Verified and Multilingual lie."""

LIVE_NAMESPACE = "starryzhang"
"""Where those of SWE-bench-Live lie; its rows name a parser, the others' do not."""


_LABELS = {"django/django": rf"$(printf '%s\n' {PLACE} | sed -e 's#^tests/##' -e 's#\.py$##' -e 's#/#.#g')"}
"""Django's runner takes the dotted names of test modules, below its tests folder, in place of files."""


@dataclass(frozen=True)
class InstanceSetup:
    """What a task's code runs in."""

    environment: Environment
    test_command: str | None
    """Shell command that runs the repository's test suite; None where none is known."""
    reason: str


def environment_of(instance: Instance, repository: Repository | None, settings: Settings) -> InstanceSetup:
    """Raises SettingsError, RepositoryError."""
    command = suite_command(instance)
    own = instance.environment
    if own is not None and own.image:
        return InstanceSetup(ImageName(own.image, own.repository), command, "the instance names the image")
    if repository is None:
        image = instance.docker_image or official_image(instance)
        return InstanceSetup(ImageName(image), command, "the official image; the instance has no repo_path")
    commit = repository.base(instance.base_commit)
    if (own is None or not own.recipe) and (recipe := recipes.recipe_of(instance, repository)) is not None:
        return InstanceSetup(recipe, command, f"swebench's recipe for {instance.repo} {instance.version}")
    asked = settings.environment
    if own is not None:
        given = {"base": own.base, "python": own.python, "apt": own.apt or None, "install": own.install, "env": own.env}
        asked = EnvironmentSettings.model_validate(given)
    found = find_environment(repository.tree(commit), asked)
    return InstanceSetup(found.environment, command, "; ".join(found.reasons))


def official_image(instance: Instance, machine: str | None = None) -> str:
    """The image that the data set's authors published for an instance, for this kind of machine."""
    arch = "arm64" if (machine or platform.machine()).lower() in ("arm64", "aarch64") else "x86_64"
    namespace = LIVE_NAMESPACE if instance.log_parser else NAMESPACE
    # A registry's names cannot hold a double underscore.
    return f"{namespace}/sweb.eval.{arch}.{instance.instance_id.lower().replace('__', '_1776_')}:latest"


def test_commands(instance: Instance) -> tuple[str, ...]:
    """The shell commands that run tests, as the instance or swebench has them; () where nobody says."""
    if instance.environment is not None and instance.environment.test_cmd:
        return (instance.environment.test_cmd,)
    return instance.test_cmds or recipes.commands_of(instance)


def suite_command(instance: Instance) -> str | None:
    """One shell command for the whole suite, with `{tests}` where a single command takes test files."""
    commands = test_commands(instance)
    if len(commands) != 1 or PLACE in commands[0]:
        return " && ".join(map(str.strip, commands)) or None
    return f"{commands[0].strip()} {_LABELS.get(instance.repo, PLACE)}"
