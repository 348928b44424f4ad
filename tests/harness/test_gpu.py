"""What GPUs spent for a run directory: over all invocations, in the result, the summary and the reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.meter import GpuUse, Meter
from harness.batch_record import TaskOutcome, line_of
from harness.config import Settings
from harness.gpu import GpuAccount
from harness.journal import Journal
from harness.report.text import energy
from harness.report.usage import gpu_facts, stages, total
from harness.result import GpuRecord, Status, UsageRecord
from tests.harness.report_fixture import selected

PRICED = Settings.model_validate({"profile": {"price": {"gpu_hour": 36.0}}})


class Read(Meter):
    """A meter that says what it is given."""

    def __init__(self, seconds: float, joules: float | None) -> None:
        self._use = GpuUse(seconds, joules)

    def read(self) -> GpuUse:
        return self._use


def spent(folder: Path, settings: Settings, meter: Meter | None) -> GpuRecord | None:
    with Journal(folder) as journal:
        account = GpuAccount(journal, settings)
        if meter is not None:
            account.metered(meter)
        return account.keep()


def test_invocations_add_up(tmp_path: Path) -> None:
    assert spent(tmp_path, Settings(), None) is None
    assert spent(tmp_path, PRICED, Read(100.0, 5e4)) == GpuRecord(seconds=100.0, joules=5e4, money=1.0)
    assert spent(tmp_path, PRICED, Read(50.0, 1e4)) == GpuRecord(seconds=150.0, joules=6e4, money=1.5)
    last = spent(tmp_path, Settings(), None)
    assert last is not None
    assert last.seconds == 150.0


def test_energy_that_was_once_not_told_is_not_known(tmp_path: Path) -> None:
    spent(tmp_path, Settings(), Read(100.0, None))
    later = spent(tmp_path, Settings(), Read(100.0, 5e4))
    assert later == GpuRecord(seconds=200.0, joules=None, money=0.0)


def test_a_stage_has_its_part() -> None:
    result = selected().model_copy(update={"gpu": GpuRecord(seconds=100.0, joules=None, money=0.0)})
    rows, whole = stages(result), total(result)
    assert whole is not None
    assert whole.gpu == "1 min 40 s"
    assert all(row.gpu for row in rows)
    assert all(row.gpu == "" for row in stages(selected()))


def test_a_task_has_its_part() -> None:
    usage = UsageRecord(calls=1, prompt_tokens=1, cached_tokens=0, completion_tokens=1, model_seconds=30.0, money=0.0)
    outcome = TaskOutcome(instance_id="a", digest="", status=Status.SELECTED, usage=usage)
    assert line_of("a", outcome, 0.5).gpu_seconds == 15.0


def test_facts_say_what_is_known() -> None:
    assert gpu_facts(None) == []
    assert gpu_facts(GpuRecord(seconds=90.0, joules=None, money=0.0)) == [("GPU time", "1 min 30 s")]
    assert gpu_facts(GpuRecord(seconds=5.0, joules=36_000.0, money=0.5)) == [
        ("GPU time", "5.0 s"),
        ("energy", "10 Wh"),
        ("GPU money", "$0.50"),
    ]


@pytest.mark.parametrize(
    ("joules", "words"), [(3600.0, "1 Wh"), (9000.0, "2.5 Wh"), (3.6e5, "100 Wh"), (9e6, "2.5 kWh")]
)
def test_energy_for_people(joules: float, words: str) -> None:
    assert energy(joules) == words
