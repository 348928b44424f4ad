"""What GPUs spent for a run directory, over all invocations on it."""

from __future__ import annotations

from typing import cast

from agent.model.meter import Meter
from harness.config import Settings
from harness.journal import Journal
from harness.prices import profile_changes
from harness.result import GpuRecord

_KEY = "gpu"


class GpuAccount:
    """The account of a run directory; `meter` is set when the run has started a server."""

    def __init__(self, journal: Journal, settings: Settings) -> None:
        self.meter: Meter | None = None
        self._journal = journal
        price = cast("dict[str, float]", profile_changes(settings).get("price") or {})
        self._price = price.get("gpu_hour", 0.0)
        known = journal.get(_KEY)
        self._before = GpuRecord.model_validate(cast("dict[str, float]", known)) if known else None

    def metered(self, meter: Meter) -> None:
        """See `agent.model.open.open_model`."""
        self.meter = meter

    def record(self) -> GpuRecord | None:
        """What was spent so far; None where the run never had a server of its own."""
        if self.meter is None:
            return self._before
        before, now = self._before, self.meter.read()
        seconds = now.seconds + (before.seconds if before else 0.0)
        earlier = before.joules if before else 0.0
        joules = None if earlier is None or now.joules is None else earlier + now.joules
        money = (before.money if before else 0.0) + now.seconds / 3600 * self._price
        return GpuRecord(seconds=seconds, joules=joules, money=money)

    def keep(self) -> GpuRecord | None:
        """As `record`, kept for the next invocation."""
        found = self.record()
        if found is not None:
            self._journal.put(_KEY, found.model_dump())
        return found
