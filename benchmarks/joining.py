"""Joins what several runs made of one task: candidates of all of them, and every script's verdict on every class.

A run has verdicts of its own scripts on its own classes only. Those are kept, also for equal scripts and equal classes
of the others, and what is missing is executed. Probes are left out: a call was made on the classes of one run, and the
others would seem to be like nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.edit.patched import apply_in_memory
from agent.parallel import each
from agent.trajectory import ISSUE, CandidateId, ScriptId
from sandbox.base import Patch, Tree, digest_of
from sandbox.script import Verdict
from selection.base import ClassId
from selection.equivalence import tree_key
from selection.pool import PoolCandidate, PoolScript, PoolTask

Execute = Callable[[str, Patch], Awaitable[Verdict]]
"""Runs a script's source on the tree with a patch."""

Classes = Mapping[tuple[str, ClassId], ClassId]
"""A part's name and a class of its task -> the class that it is now."""

Scripts = Mapping[tuple[str, ScriptId], ScriptId]
"""The same for scripts."""


@dataclass(frozen=True)
class Part:
    """A task as one of the runs left it."""

    name: str
    """The source of its candidates, and what their ids begin with."""
    task: PoolTask
    sources: Mapping[ScriptId, str]
    """Script -> its text."""

    def first(self, trajectories: int) -> Part:
        """What the run's first trajectories made, and the issue's examples."""
        kept = {ISSUE, *(f"trajectory-{number}" for number in range(trajectories))}
        scripts = tuple(s for s in self.task.scripts if s.trajectory in kept)
        update = {
            "candidates": tuple(c for c in self.task.candidates if c.trajectory in kept),
            "scripts": scripts,
            "cells": {s.id: self.task.cells[s.id] for s in scripts if s.id in self.task.cells},
        }
        return Part(self.name, self.task.model_copy(update=update), self.sources)


async def joined(parts: Sequence[Part], tree: Tree, execute: Execute, parallel: int) -> PoolTask:
    """One task of all parts, which are of the same task. `tree`: the unedited one.

    Classes are told apart as in a run; a patch that cannot be applied in memory is like equal patches only. Examples of
    the issue that are the same in several parts are one script. What `execute` raises is raised.
    """
    classes, patches = _classes(parts, tree)
    renamed = _renamed(parts)
    order = tuple(dict.fromkeys(renamed.values()))
    texts = {new: part.sources[old] for part in parts for (name, old), new in renamed.items() if name == part.name}
    rows = [(part, script, row) for part in parts for script, row in part.task.cells.items()]
    voting = {renamed[part.name, script] for part, script, _ in rows}
    verdicts: dict[tuple[str, ClassId], Verdict] = {}
    for part, script, row in rows:
        for own, verdict in row.items():
            if (part.name, own) in classes:
                verdicts.setdefault((part.sources[script], classes[part.name, own]), verdict)

    async def fill(cell: tuple[str, ClassId]) -> None:
        verdicts[cell] = await execute(cell[0], patches[cell[1]])

    asked = [(text, c) for text in dict.fromkeys(texts[s] for s in order if s in voting) for c in patches]
    await each([cell for cell in asked if cell not in verdicts], fill, at_once=parallel)
    first = parts[0].task
    candidates = [_candidate(c, part, classes, renamed) for part in parts for c in part.task.candidates]
    scripts: dict[ScriptId, PoolScript] = {}
    for part in parts:
        for script in part.task.scripts:
            scripts.setdefault(renamed[part.name, script.id], _script(script, part, renamed))
    broken = {classes[p.name, c]: n for p in parts for c, n in p.task.broken.items() if (p.name, c) in classes}
    return PoolTask(
        id=first.id,
        group=first.group,
        candidates=tuple(candidates),
        scripts=tuple(scripts.values()),
        cells={script: {c: verdicts[texts[script], c] for c in patches} for script in order if script in voting},
        passing=max(part.task.passing for part in parts),
        broken=broken,
    )


def _classes(parts: Sequence[Part], tree: Tree) -> tuple[Classes, Mapping[ClassId, Patch]]:
    """The class that each part's own class is now, and the patch that stands for it."""
    by_key: dict[str, ClassId] = {}
    classes: dict[tuple[str, ClassId], ClassId] = {}
    patches: dict[ClassId, Patch] = {}
    for part in parts:
        for one in part.task.candidates:
            if one.class_id is None or (part.name, one.class_id) in classes:
                continue
            files = apply_in_memory(Patch(one.patch), tree)
            key = (tree_key(files, tree) if files is not None else None) or digest_of("patch", one.patch)
            name = by_key.setdefault(key, ClassId(f"c{len(by_key) + 1}"))
            classes[part.name, one.class_id] = name
            patches.setdefault(name, Patch(one.patch))
    return classes, patches


def _renamed(parts: Sequence[Part]) -> Scripts:
    """The ids of all scripts; equal examples of the issue have that of the first."""
    examples: dict[str, ScriptId] = {}
    renamed: dict[tuple[str, ScriptId], ScriptId] = {}
    for part in parts:
        for script in part.task.scripts:
            new = ScriptId(f"{part.name}/{script.id}")
            if script.trajectory == ISSUE:
                new = examples.setdefault(part.sources[script.id], new)
            renamed[part.name, script.id] = new
    return renamed


def _script(script: PoolScript, part: Part, renamed: Scripts) -> PoolScript:
    author = script.trajectory
    if author and author != ISSUE:
        author = f"{part.name}/{author}"
    return script.model_copy(update={"id": renamed[part.name, script.id], "trajectory": author})


def _candidate(one: PoolCandidate, part: Part, classes: Classes, renamed: Scripts) -> PoolCandidate:
    return one.model_copy(
        update={
            "id": CandidateId(f"{part.name}/{one.id}"),
            "source": part.name,
            "trajectory": f"{part.name}/{one.trajectory}" if one.trajectory else "",
            "script": renamed.get((part.name, one.script)) if one.script else None,
            "class_id": classes[part.name, one.class_id] if one.class_id else None,
        }
    )
