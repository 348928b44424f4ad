"""What an execution costs beyond the command: the wall of `python -c pass`, less the same on the bare host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio
from figures import above, ms, quartiles, spread, table
from ways import Way

BARE = "bare host"


async def in_rounds(ways: Mapping[str, Way], rounds: int, at_a_time: int) -> dict[str, list[float]]:
    """Seconds of each way, all ways in each round, another one first each time. One more round warms up."""
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in [*names[number % len(names) :], *names[: number % len(names)]]:
            found = await _at_a_time(ways[name], at_a_time)
            if number:
                seconds[name] += found
    return seconds


async def _at_a_time(way: Way, count: int) -> list[float]:
    seconds: list[float] = []

    async def one() -> None:
        seconds.append(await way())

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return seconds


def overhead_table(alone: Mapping[str, Sequence[float]], together: Mapping[str, Sequence[float]], ours: str) -> str:
    """`alone` and `together`: seconds by way, one and two at a time, in the order of the rounds; BARE among them."""
    over = {name: spread(above(values, alone[BARE])) for name, values in alone.items()}
    two = {name: spread(above(values, together[BARE])) for name, values in together.items()}
    rows: list[list[str]] = []
    for name, values in alone.items():
        least = f"{ms(min(values) - min(alone[BARE]))}"
        if name == BARE:
            walls = spread(values), spread(together[BARE])
            rows.append([f"{name} (wall)", quartiles(walls[0]), ms(walls[0].least), "", quartiles(walls[1])])
            continue
        times = f"{over[name].median / over[ours].median:.1f}"
        rows.append([name, quartiles(over[name]), least, times, quartiles(two[name])])
    header = ["overhead in ms", "median [quartiles]", "least", "times ours", "two at a time, median [quartiles]"]
    return table(header, rows)
