"""What agents say of turns and usage, as records of the journal and of results."""

from __future__ import annotations

from agent.model.base import Usage
from agent.trajectory import Turn
from harness.result import TurnRecord, UsageRecord


def usage_record(usage: Usage) -> UsageRecord:
    return UsageRecord(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        model_seconds=usage.seconds,
        money=usage.money,
    )


def turn_record(turn: Turn) -> TurnRecord:
    return TurnRecord(
        stage=turn.stage.value,
        trajectory=turn.trajectory,
        index=turn.index,
        prompt=turn.prompt,
        completion=turn.completion.text,
        finish=turn.completion.finish,
        outcome=turn.outcome.value,
        feedback=turn.feedback,
        completion_tokens=turn.completion.usage.completion_tokens,
        seconds=turn.completion.usage.seconds,
    )
