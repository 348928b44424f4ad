"""Instances: rows of SWE-bench-style data sets, and the tasks made of them.

The fields carry SWE-bench's own names; `environment` and `repo_path` are ours. Rows of SWE-bench, Lite, Verified,
Multilingual and Live are read as they are published; columns that nothing here needs are passed over.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from agent.task import Task, TaskId
from harness.config import Settings
from harness.errors import DatasetError, InstanceError, IssueError, RepositoryError, SettingsError
from harness.repository import Repository
from harness.rows import Row, read_rows
from harness.tasks import checked_issue, kept_snapshot


def _tests(value: object) -> object:
    """A list of test names; SWE-bench publishes it as the JSON text of one."""
    if isinstance(value, str) and value.strip():
        try:
            return cast(object, json.loads(value))
        except RecursionError:
            raise ValueError("is no list of names") from None
    return value or ()


def _commands(value: object) -> object:
    """A list of shell commands, or a single one."""
    return (value,) if isinstance(value, str) and not value.lstrip().startswith("[") and value else _tests(value)


def _text(value: object) -> object:
    """Text, where data sets also have nothing, numbers and dates."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_text)]
Tests = Annotated[tuple[str, ...], BeforeValidator(_tests)]
Commands = Annotated[tuple[str, ...], BeforeValidator(_commands)]


class InstanceEnvironment(BaseModel):
    """What an instance's code runs in: an image that exists, or a recipe; and how its tests are run and read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str | None = None
    repository: str = "/testbed"
    """Where the image holds the repository, when the instance has no `repo_path`."""
    base: str | None = None
    python: str | None = Field(default=None, pattern=r"^3\.\d+$")
    """The recipe's base is `python:` and this; `base` and `python` exclude each other."""
    apt: tuple[str, ...] = ()
    install: tuple[str, ...] | None = None
    """Shell commands in the repository's root, run with network. None: found from the tree."""
    env: dict[str, str] = Field(default_factory=dict[str, str])
    test_cmd: str | None = None
    """Runs the tests; the test files of the test patch are put after it, or where it has `{tests}`."""
    eval_commands: tuple[str, ...] = ()
    """Shell commands that prepare each run of the tests, such as starting a server on loopback."""
    log_parser: str | None = None
    """Reads the tests' output: `pytest`, `unittest`, or a repository that swebench knows. None: as the repository's."""

    @property
    def recipe(self) -> bool:
        """Whether it says how an image is made."""
        return bool(self.base or self.python or self.apt or self.install is not None or self.env)

    @model_validator(mode="after")
    def _one_source(self) -> InstanceEnvironment:
        if self.image and self.recipe:
            raise ValueError("an image cannot stand beside base, python, apt, install or env, which make a recipe")
        if self.base and self.python:
            raise ValueError("base and python exclude each other; name one of them")
        return self


class Instance(BaseModel):
    """A row of a data set. Frozen; columns beside these are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance_id: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,199}$")
    repo: str = Field(min_length=1, max_length=200)
    """OWNER/NAME on the host that it came from; decides which recipes and parsers are used."""
    base_commit: str = Field(pattern=r"^[^-\s][^\s]{0,199}$")
    problem_statement: Text = ""
    hints_text: Text = ""
    patch: Text = ""
    """The gold patch."""
    test_patch: Text = ""
    FAIL_TO_PASS: Tests = ()
    PASS_TO_PASS: Tests = ()
    version: Text = ""
    environment_setup_commit: Text = ""
    created_at: Text = ""
    test_cmds: Commands = ()
    """SWE-bench-Live: the commands that run the tests."""
    log_parser: Text = ""
    """SWE-bench-Live: the name of a parser."""
    docker_image: Text = ""
    """SWE-bench-Live: the image, where the row names it."""
    environment: InstanceEnvironment | None = None
    repo_path: Path | None = None
    """A git repository or bare git directory that has `base_commit`; absolute after reading."""


def read_instances(source: str, *, split: str = "test") -> tuple[Instance, ...]:
    """All instances of a file or a hub's data set, in order.

    Raises DatasetError (what cannot be read, an id that stands twice), InstanceError at the first wrong row.
    """
    found: list[Instance] = []
    for instance in each_instance(source, split=split):
        if isinstance(instance, InstanceError):
            raise instance
        found.append(instance)
    return tuple(found)


def each_instance(source: str, *, split: str = "test") -> Iterator[Instance | InstanceError]:
    """As `read_instances`, with a wrong row's error in its place, so that the other rows can be used."""
    folder = Path(source).expanduser().resolve().parent
    seen: dict[str, str] = {}
    for row in read_rows(source, split=split):
        instance = _instance(row, folder)
        name = instance.instance_id
        if name and name in seen:
            raise DatasetError(f"{row.where}: the instance {name} stands already at {seen[name]}; keep one of them")
        seen[name] = row.where
        yield instance
    if not seen:
        raise DatasetError(f"{source}: holds no instances")


def _instance(row: Row, folder: Path) -> Instance | InstanceError:
    try:
        instance = Instance.model_validate(dict(row.values))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, part['loc'])) or 'the row'}: {part['msg']}"
            for part in error.errors(include_url=False, include_input=False, include_context=False)[:5]
        )
        return InstanceError(str(row.values.get("instance_id") or ""), f"{row.where}: {wrong}")
    if instance.repo_path is None:
        return instance
    return instance.model_copy(update={"repo_path": folder / instance.repo_path.expanduser()})


def chosen(
    instances: Sequence[Instance],
    *,
    only: Sequence[str] = (),
    sample: int | None = None,
    shard: tuple[int, int] | None = None,
    seed: int = 0,
) -> tuple[Instance, ...]:
    """Those to work on, in their order: of `only` (ids or patterns such as `django__*`), a sample, a part (i of n).

    The sample is a draw by the seed that does not depend on the order; the parts 1/n to n/n are disjoint and together
    everything. Raises DatasetError for a pattern that matches nothing and for numbers that cannot be.
    """
    names = [instance.instance_id for instance in instances]
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise DatasetError(f"--only {pattern} matches no instance{hint}")
    taken = {name for name in names if not only or any(fnmatchcase(name, pattern) for pattern in only)}
    if sample is not None:
        if sample < 1:
            raise DatasetError("--sample takes at least one instance")
        taken = set(sorted(taken, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())[:sample])
    if shard is not None:
        part, parts = shard
        if not 1 <= part <= parts:
            raise DatasetError(f"--shard {part}/{parts} names no part; parts go from 1/{parts} to {parts}/{parts}")
        taken = set(sorted(taken)[part - 1 :: parts])
    return tuple(instance for instance in instances if instance.instance_id in taken)


def task_of(instance: Instance, settings: Settings | None = None, *, folder: Path | None = None) -> Task:
    """The task of solving an instance. Blocks. `folder` keeps the snapshot; the cache does unless named.

    The tree is that of the base commit, without history; without a `repo_path` the environment's image holds it.
    Raises InstanceError.
    """
    from harness.instance_environment import environment_of  # it needs Instance

    settings = settings or Settings()
    try:
        issue = checked_issue(instance.problem_statement)
        commit, snapshot = instance.base_commit, None
        with ExitStack() as stack:
            repo = stack.enter_context(Repository.open(instance.repo_path)) if instance.repo_path else None
            found = environment_of(instance, repo, settings)
            if repo is not None:
                commit = repo.base(instance.base_commit)
                snapshot = kept_snapshot(repo, commit, folder or settings.paths.cache / "snapshots")
    except (IssueError, RepositoryError, SettingsError) as error:
        raise InstanceError(instance.instance_id, f"{instance.instance_id}: {error}") from error
    return Task(
        id=TaskId(instance.instance_id),
        issue=issue,
        repository=instance.repo.rpartition("/")[2],
        base_commit=commit,
        environment=found.environment,
        snapshot=snapshot,
        test_command=found.test_command,
    )
