"""Instances: rows as they are published, choice among them, tasks made of them."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import Settings
from harness.errors import DatasetError, InstanceError
from harness.instances import Instance, chosen, each_instance, read_instances, task_of
from sandbox.base import ImageName, Recipe
from tests.harness.conftest import git

ROW: dict[str, Any] = {
    "instance_id": "acme__calc-1",
    "repo": "acme/calc",
    "base_commit": "0" * 40,
    "problem_statement": "add returns the difference",
    "FAIL_TO_PASS": '["test_calc.py::test_add"]',
    "PASS_TO_PASS": ["test_calc.py::test_mul"],
}


def written(folder: Path, *rows: object) -> str:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def instances(*names: str) -> list[Instance]:
    return [Instance.model_validate({**ROW, "instance_id": name}) for name in names]


def test_a_row_of_swebench(tmp_path: Path) -> None:
    more = {"hints_text": None, "version": 2.0, "created_at": "2014-01-01T00:00:00Z", "difficulty": "<15 min"}
    (instance,) = read_instances(written(tmp_path, {**ROW, **more}))
    assert instance.FAIL_TO_PASS == ("test_calc.py::test_add",)
    assert instance.PASS_TO_PASS == ("test_calc.py::test_mul",)
    assert (instance.hints_text, instance.version, instance.test_patch) == ("", "2.0", "")


def test_a_row_of_swebench_live() -> None:
    more = {"created_at": datetime(2025, 1, 2, tzinfo=UTC), "test_cmds": ["pytest -rA"], "log_parser": "pytest"}
    instance = Instance.model_validate({**ROW, **more, "version": None})
    assert instance.created_at == "2025-01-02T00:00:00+00:00"
    assert instance.test_cmds == ("pytest -rA",)
    assert Instance.model_validate({**ROW, "test_cmds": "make test"}).test_cmds == ("make test",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance_id": "../x"}, "instance_id"),
        ({"instance_id": ""}, "instance_id"),
        ({"base_commit": "--all"}, "base_commit"),
        ({"FAIL_TO_PASS": "test_a, test_b"}, "FAIL_TO_PASS"),
        ({"FAIL_TO_PASS": '{"a": 1}'}, "FAIL_TO_PASS"),
        ({"PASS_TO_PASS": "[" * 100_000}, "PASS_TO_PASS"),
        ({"problem_statement": ["x"]}, "problem_statement"),
        ({"environment": {"image": "a", "base": "b"}}, "an image cannot stand beside"),
        ({"environment": {"base": "a", "python": "3.9"}}, "exclude each other"),
        ({"environment": {"imagee": "a"}}, "environment.imagee"),
    ],
)
def test_a_wrong_row_is_one_instances_error(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    source = written(tmp_path, {**ROW, **change}, {**ROW, "instance_id": "acme__calc-2"})
    wrong, right = each_instance(source)
    assert isinstance(wrong, InstanceError)
    assert "set.jsonl:1" in str(wrong)
    assert said in str(wrong)
    assert wrong.instance_id == {**ROW, **change}["instance_id"]
    assert isinstance(right, Instance)
    with pytest.raises(InstanceError, match=r"set\.jsonl:1"):
        read_instances(source)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(Instance.model_fields)), JSON), st.booleans())
def test_any_values_give_an_instance_or_its_error(
    tmp_path_factory: pytest.TempPathFactory, change: dict[str, Any], whole: bool
) -> None:
    row = {**ROW, **change} if whole else change
    for instance in each_instance(written(tmp_path_factory.mktemp("rows"), row)):
        if isinstance(instance, Instance):
            assert Instance.model_validate_json(instance.model_dump_json()) == instance


def test_duplicates_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"set\.jsonl:2: the instance acme__calc-1 stands already at .*set\.jsonl:1"):
        read_instances(written(tmp_path, ROW, ROW))
    with pytest.raises(DatasetError, match="holds no instances"):
        read_instances(written(tmp_path))


NAMES = st.lists(st.from_regex(r"[a-c]__[a-c]-[0-9]{1,2}", fullmatch=True), unique=True, min_size=1, max_size=30)


@given(NAMES, st.integers(1, 7), st.integers(0, 3))
def test_parts_are_disjoint_and_complete(names: list[str], parts: int, seed: int) -> None:
    everything = instances(*names)
    found = [chosen(everything, shard=(part, parts), seed=seed) for part in range(1, parts + 1)]
    assert sorted(i.instance_id for part in found for i in part) == sorted(names)
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(NAMES, st.integers(1, 10), st.integers(0, 3), st.randoms())
def test_a_sample_does_not_depend_on_the_order(names: list[str], size: int, seed: int, random: Any) -> None:
    everything = instances(*names)
    shuffled = list(everything)
    random.shuffle(shuffled)
    one, other = chosen(everything, sample=size, seed=seed), chosen(shuffled, sample=size, seed=seed)
    assert {i.instance_id for i in one} == {i.instance_id for i in other}
    assert len(one) == min(size, len(names))
    assert [i.instance_id for i in other] == [i.instance_id for i in shuffled if i in one]


def test_names_and_patterns() -> None:
    everything = instances("django__django-1", "django__django-2", "psf__requests-1")
    assert [i.instance_id for i in chosen(everything, only=["psf__*", "django__django-2"])] == [
        "django__django-2",
        "psf__requests-1",
    ]
    with pytest.raises(DatasetError, match=r"matches no instance; did you mean psf__requests-1"):
        chosen(everything, only=["psf_requests-1"])
    for wrong in ({"shard": (0, 2)}, {"shard": (3, 2)}, {"sample": 0}):
        with pytest.raises(DatasetError):
            chosen(everything, **wrong)  # pyright: ignore[reportArgumentType]


def test_a_task_of_a_repository_at_hand(repo: Path, tmp_path: Path) -> None:
    base = git(repo, "rev-parse", "HEAD").strip()
    (repo / "later.py").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "later")
    row = {**ROW, "base_commit": base, "repo_path": "repo", "environment": {"python": "3.10", "test_cmd": "pytest -rA"}}
    (instance,) = read_instances(written(tmp_path, row))
    task = task_of(instance, folder=tmp_path / "kept")
    assert (task.id, task.repository, task.base_commit) == ("acme__calc-1", "calc", base)
    assert task.test_command == "pytest -rA {tests}"
    assert isinstance(task.environment, Recipe)
    assert task.environment.base == "python:3.10"
    assert task.snapshot is not None
    assert task.snapshot.tar.parent == tmp_path / "kept"
    with tarfile.open(task.snapshot.tar) as tar:
        assert tar.getnames() == ["calc.py", "test_calc.py"]


def test_a_task_in_the_official_image() -> None:
    (instance,) = instances("acme__calc-1")
    task = task_of(instance)
    assert isinstance(task.environment, ImageName)
    assert task.environment.image.endswith(".acme_1776_calc-1:latest")
    assert (task.snapshot, task.base_commit) == (None, "0" * 40)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem_statement": " "}, "the issue is empty"),
        ({"repo_path": "nowhere"}, "no such path"),
        ({"repo_path": "repo", "base_commit": "f" * 40}, "names no commit"),
    ],
)
def test_what_no_task_can_be_made_of(repo: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (instance,) = read_instances(written(tmp_path, {**ROW, **change}))
    with pytest.raises(InstanceError, match=said) as caught:
        task_of(instance, Settings())
    assert caught.value.instance_id == "acme__calc-1"
