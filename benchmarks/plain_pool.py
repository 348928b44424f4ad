"""Turns recorded plain samples into a pool that `bestpatch study` reads.

    python benchmarks/plain_pool.py SAMPLES.jsonl POOL.jsonl [--paired]

SAMPLES.jsonl has one task a line: `instance_id`, `split`, `class_of_sample` (the class of each recorded candidate; -1:
unchanged or no code), `class_correct`, `script_exit_on_unedited`, `script_exit_on_class` (per script one exit code per
class, null where the script did not fail before: 0 passed, 2 assertion failed, 1 other exception, 3 does not import,
4 timed out). Nobody wrote both a script and a candidate there; `--paired` makes candidate i and script i one
trajectory's, as many as there are scripts, so that votes on one's own class are barred as in a real run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from agent.trajectory import CandidateId, ScriptId
from sandbox.script import Verdict
from selection.base import ClassId
from selection.pool import PoolCandidate, PoolScript, PoolTask

VERDICTS = {0: Verdict.PASSED, 1: Verdict.BROKEN, 2: Verdict.FAILED, 3: Verdict.BROKEN, 4: Verdict.TIMED_OUT}


def pool_task(row: dict[str, Any], *, paired: bool = False) -> PoolTask:
    exits = row["script_exit_on_unedited"]
    samples = row["class_of_sample"][: len(exits) if paired else None]
    seen = sorted({number for number in samples if number >= 0})
    candidates = [
        PoolCandidate(
            id=CandidateId(f"sample-{number}"),
            trajectory=f"trajectory-{number}" if paired else "",
            script=ScriptId(f"script-{number}") if paired else None,
            class_id=ClassId(f"c{c}") if c >= 0 else None,
            resolved=c >= 0 and row["class_correct"][c],
        )
        for number, c in enumerate(samples)
    ]
    scripts = [
        PoolScript(
            id=ScriptId(f"script-{number}"),
            trajectory=f"trajectory-{number}" if paired else "",
            unedited=VERDICTS[code],
        )
        for number, code in enumerate(exits)
    ]
    cells = {
        script.id: {ClassId(f"c{c}"): VERDICTS[codes[c]] for c in seen}
        for script, codes in zip(scripts, row["script_exit_on_class"], strict=True)
        if codes is not None
    }
    return PoolTask(
        id=row["instance_id"], group=row["split"], candidates=tuple(candidates), scripts=tuple(scripts), cells=cells
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--paired", action="store_true", help="candidate i and script i have one author")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.samples.read_text(encoding="utf-8").splitlines() if line.strip()]
    tasks = [pool_task(row, paired=args.paired) for row in rows]
    args.pool.write_text("".join(task.model_dump_json(exclude_defaults=True) + "\n" for task in tasks), "utf-8")


if __name__ == "__main__":
    main()
