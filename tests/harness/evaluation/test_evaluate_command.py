"""`bestpatch evaluate` as people use it, with workspaces on this host."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.commands import evaluate as module
from harness.commands.exit import FAILED, INTERRUPTED, NOT_AS_EXPECTED, Exit
from harness.errors import DatasetError, UsageError
from harness.evaluation.evaluate import evaluate
from sandbox.errors import EnvironmentUnavailable
from tests.harness.host_sandbox import HostBackend
from tests.harness.report_fixture import selected

Command = Callable[..., int]


@pytest.fixture
def backend() -> HostBackend:
    return HostBackend()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: HostBackend) -> Command:
    """Runs the command in a folder with `instances.jsonl`, and gives its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "evaluate", partial(evaluate, backend=backend))

    def run(predictions: str | None = None, **given: Any) -> int:
        asked: dict[str, Any] = {
            "instances": "instances.jsonl",
            "run": Path("run"),
            "gold": False,
            "split": "test",
            "only": (),
            "sample": None,
            "shard": None,
            "repeat": 1,
            "timeout": "5m",
            "workers": None,
            "config": None,
            "json": False,
            "quiet": False,
        }
        with pytest.raises(Exit) as ended:
            module.evaluate_command(module.Asked(predictions, **{**asked, **given}), {})
        return ended.value.code

    return run


def predicted(folder: Path, patches: dict[str, str]) -> str:
    rows = [{"instance_id": name, "model_name_or_path": "m", "model_patch": patch} for name, patch in patches.items()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "predictions.jsonl"


def copies(row: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    return [{**row, "instance_id": name} for name in names]


def test_predictions(
    row: dict[str, Any],
    candidates: dict[str, str],
    write_rows: Any,
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_rows(*copies(row, "a", "b", "c", "d"), {**row, "instance_id": "e", "base_commit": ""})
    source = predicted(tmp_path, {"a": candidates["right"], "b": candidates["wrong"], "c": ""})
    assert command(source) == FAILED  # e cannot be graded
    told = capsys.readouterr()
    assert "resolved  1" in told.out
    assert "could not be graded: e: instance error" in told.out
    assert "a: resolved" in told.err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["resolved_ids"], report["unresolved_ids"], report["empty_patch_ids"]) == (["a"], ["b"], ["c"])
    assert (report["incomplete_ids"], report["error_ids"], report["total_instances"]) == (["d"], ["e"], 5)
    assert command(source, only=["a", "b"], json=True, quiet=True) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["completed_ids"] == ["a", "b"]
    assert told.err == ""


def test_all_candidates_of_a_run_get_a_label(
    row: dict[str, Any],
    candidates: dict[str, str],
    write_rows: Any,
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_rows(*copies(row, "a", "b"))
    (tmp_path / "runs" / "tasks" / "a").mkdir(parents=True)
    result = selected()
    patches = (candidates["right"], candidates["wrong"], candidates["right"])
    made = tuple(
        one.model_copy(update={"patch": patch}) for one, patch in zip(result.candidates, patches, strict=False)
    )
    text = result.model_copy(update={"candidates": made}).model_dump_json()
    (tmp_path / "runs" / "tasks" / "a" / "result.json").write_text(text)
    assert command("runs", json=True) == 0
    assert json.loads(capsys.readouterr().out)["resolved"] == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "labels.jsonl").read_text().splitlines()]
    assert [(line["candidate"], line["resolved"]) for line in lines] == [
        (one.id, right) for one, right in zip(made, (True, False, True), strict=True)
    ]
    assert command("runs") == 0
    assert "--labels run/labels.jsonl" in capsys.readouterr().out
    assert not (tmp_path / "run" / "report.json").exists()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({}, 0, "all 1 as expected"),
        ({"patch": ""}, NOT_AS_EXPECTED, "a: the gold patch: empty patch"),
        ({"FAIL_TO_PASS": [], "patch": ""}, NOT_AS_EXPECTED, "a: without a patch: resolved"),
    ],
)
def test_gold(
    row: dict[str, Any],
    write_rows: Any,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    code: int,
    said: str,
) -> None:
    write_rows({**row, "instance_id": "a", **change})
    assert command(gold=True) == code
    assert said in capsys.readouterr().out


def test_infrastructure(
    row: dict[str, Any],
    write_rows: Any,
    command: Command,
    backend: HostBackend,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_rows(row)
    backend.error = EnvironmentUnavailable("no such image")
    assert command(gold=True) == FAILED
    assert "the same command again tries once more" in capsys.readouterr().out
    backend.error = None
    assert command(gold=True) == 0


def test_an_interrupted_run_reports_what_it_has(
    row: dict[str, Any],
    candidates: dict[str, str],
    write_rows: Any,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_rows(*copies(row, "a", "b"))
    real = module.run_until_signal

    def stopped(action: Any) -> None:
        real(action)

    monkeypatch.setattr(module, "run_until_signal", stopped)
    assert command(predicted(tmp_path, {"a": candidates["right"]})) == INTERRUPTED
    assert json.loads((tmp_path / "run" / "report.json").read_text())["resolved_ids"] == ["a"]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"predictions": None}, UsageError, "either a file of predictions or --gold"),
        ({"gold": True}, UsageError, "either a file of predictions or --gold"),
        ({"timeout": "soon"}, UsageError, "--timeout"),
        ({"timeout": "0"}, UsageError, "above zero"),
        ({"shard": "1-4"}, UsageError, "--shard 1-4: write"),
        ({"shard": "5/4"}, DatasetError, "names no part"),
        ({"only": ["x*"]}, DatasetError, "matches no instance"),
        ({"instances": "none.jsonl"}, DatasetError, "no such file"),
    ],
)
def test_wrong_use(
    row: dict[str, Any],
    write_rows: Any,
    command: Command,
    tmp_path: Path,
    given: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    write_rows(row)
    with pytest.raises(error, match=said):
        command(**{"predictions": predicted(tmp_path, {"acme__calc-1": "x"}), **given})


def test_predictions_for_other_instances(
    row: dict[str, Any],
    write_rows: Any,
    command: Command,
    tmp_path: Path,
) -> None:
    write_rows(row)
    with pytest.raises(DatasetError, match=r"1 predictions are for instances that instances\.jsonl does not have"):
        command(predicted(tmp_path, {"acme__calc-1": "x", "stranger": "x"}))
    assert not (tmp_path / "run").exists()
