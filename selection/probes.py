"""Probes: inputs that tell classes apart, found without a model.

Candidates that pass the same scripts still differ where no script looks. The calls that scripts make to the functions
that the patches touch are recorded on the unedited tree, those that the issue shows are added, their arguments are
varied mechanically, and every class is called with all of them: the outputs show which classes behave alike.
Distinguishing inputs are those of S* (arXiv 2502.14382), which has a model write them; here they cost executions alone.

Covered: top-level functions of Python files, methods whose objects are made from literals, class methods; arguments
that are literals. Also called are the repository's functions that a script itself calls, since a fix may be anywhere
below them. Executions: one for all scripts, two for the unedited tree, with different hash seeds, so that what is not
the same every time can be left out, and one for each class.

Outputs come from code that a model wrote. They are text, never evaluated, capped, and read only behind a nonce; a
class that forges, hangs, dies or allocates loses its own outputs and no other's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import anyio

from agent.parallel import each
from agent.snippet import module_name
from agent.trajectory import ISSUE, ScriptId, TestScript
from sandbox.base import UNEDITED, Limits, Patch, RepoPath, Sandbox, Tree, digest_of
from sandbox.errors import PatchRejected, SandboxLost, SandboxTimeout
from selection import inside
from selection.base import ClassId, PatchClass, Probe
from selection.execute import retried, side_by_side
from selection.mutations import Arguments, shown, varied
from selection.repository_tests import is_test_file
from selection.touched import FunctionId, functions_of, touched_functions
from selection.written import calls_in

FOLDER = "/tmp/bestpatch-probe"  # noqa: S108 - inside the sandbox, where nobody else is
CALL_SECONDS = 0.5
"""For one call. That one takes longer is its output."""
MOST_SCRIPTS = 16
MOST_FUNCTIONS = 4
OUTPUT_BYTES = 1_000_000
"""Kept of one execution, whose programs tell less than this."""
_OUTPUT_CHARS = 400


@dataclass(frozen=True)
class Call:
    """A call that a script led to on the unedited tree."""

    function: FunctionId
    module: str
    arguments: Arguments
    origin: ScriptId


@dataclass(frozen=True)
class Input:
    """A call to be made on every tree."""

    function: FunctionId
    module: str
    arguments: Arguments
    origin: ScriptId
    varied: bool


async def probe(
    issue: str,
    scripts: Sequence[TestScript],
    classes: Sequence[PatchClass],
    tree: Tree,
    sandbox: Sandbox,
    *,
    most: int,
    seed: int,
    limits: Limits,
    parallel: int,
) -> tuple[Probe, ...]:
    """The calls that separate the classes, at most `most`. Raises DiskFull.

    Calls that the issue shows come first. Scripts that are not valid are recorded as well, after the valid ones: their
    expectations may be wrong, their inputs are not. () where no function is touched or none was called with literals,
    and where the sandbox stays lost.
    """
    touched = touched_functions([c.patch for c in classes], tree)
    if not touched:
        return ()
    calls = await record(scripts, touched, tree, sandbox, seed=seed, limits=limits)
    inputs = inputs_of([*written(issue, touched), *calls], touched, most, seed)
    if not inputs:
        return ()

    async def unedited(hash_seed: int) -> dict[int, str]:
        return await outputs_of(inputs, UNEDITED, sandbox, seed=seed, hash_seed=hash_seed, limits=limits)

    once, again = await each((0, 1), unedited, at_once=parallel)
    # What gives no output there, or another one each time, would not on the classes.
    same = [number for number, text in sorted(once.items()) if again.get(number) == text]
    inputs, before = [inputs[number] for number in same], [once[number] for number in same]
    outputs: dict[ClassId, Mapping[int, str]] = {}
    limiter = anyio.CapacityLimiter(max(1, parallel))

    async def one(c: PatchClass) -> None:
        async with limiter:
            outputs[c.id] = await outputs_of(inputs, c.patch, sandbox, seed=seed, limits=limits)

    await side_by_side(partial(one, c) for c in classes)
    return separating(inputs, before, {c.id: outputs[c.id] for c in classes})


def written(issue: str, touched: Sequence[FunctionId]) -> list[Call]:
    """The calls of touched top-level functions in the issue's text."""
    return [
        Call(function, module_name(function.path), arguments, ScriptId(ISSUE))
        for function in touched
        if "." not in function.name
        for arguments in calls_in(issue, function.name)
    ]


async def record(
    scripts: Sequence[TestScript],
    touched: Sequence[FunctionId],
    tree: Tree,
    sandbox: Sandbox,
    *,
    seed: int,
    limits: Limits,
) -> list[Call]:
    """The calls of functions of the repository, in the order of the scripts. Raises DiskFull."""
    origins: dict[str, ScriptId] = {}
    for script in sorted(scripts, key=lambda script: not script.valid):
        origins.setdefault(script.source, script.id)
    chosen = list(origins.items())[:MOST_SCRIPTS]
    if not chosen:
        return []
    nonces = [digest_of("record calls", str(seed), source)[:32] for source, _ in chosen]
    named = [[f"s{number}/script.py", nonces[number], source] for number, (source, _) in enumerate(chosen)]
    wanted = json.dumps([[function.path, function.name] for function in touched])
    program = [inside.source("record_calls.py"), f"{FOLDER}/scripts.json", "", wanted]
    output = await _run(program, "scripts.json", json.dumps(named), UNEDITED, sandbox, limits)
    known = {path: functions_of(tree[path]).keys() for path in tree if path.endswith(".py") and not is_test_file(path)}
    found = [
        _call(line, origin, known)
        for nonce, (_, origin) in zip(nonces, chosen, strict=True)
        for line in _told(output, nonce)
    ]
    return [call for call in found if call is not None]


def inputs_of(calls: Sequence[Call], touched: Sequence[FunctionId], most: int, seed: int) -> list[Input]:
    """At most `most` inputs: what was recorded, and variations of it. Touched functions come first, and share the room
    with what the scripts call."""
    groups: dict[tuple[FunctionId, str], list[Call]] = {}
    for call in calls:
        groups.setdefault((call.function, call.module), []).append(call)
    chosen = sorted(groups.items(), key=lambda item: item[0][0] not in touched)[: min(MOST_FUNCTIONS, most)]
    inputs: list[Input] = []
    for place, ((function, module), made) in enumerate(chosen):
        room = (most - len(inputs)) // (len(chosen) - place)
        origins: dict[Arguments, ScriptId] = {}
        for call in made:
            origins.setdefault(call.arguments, call.origin)
        for arguments in varied(list(origins), seed, room):
            origin = origins.get(arguments, made[0].origin)
            inputs.append(Input(function, module, arguments, origin, arguments not in origins))
    return inputs


async def outputs_of(
    inputs: Sequence[Input], patch: Patch, sandbox: Sandbox, *, seed: int, limits: Limits, hash_seed: int = 0
) -> dict[int, str]:
    """Number of an input -> its output on the tree with the patch.

    Empty where the patch does not apply or the sandbox stays lost. Raises DiskFull.
    """
    calls = json.dumps([[i.module, i.function.name, i.arguments.owner, i.arguments.own] for i in inputs])
    nonce = digest_of("call all", str(seed), str(hash_seed), patch, calls)[:32]
    program = [inside.source("call_all.py"), f"{FOLDER}/calls.json", "", nonce, str(CALL_SECONDS)]
    env = {"PYTHONHASHSEED": str(hash_seed)}
    return _numbered(_told(await _run(program, "calls.json", calls, patch, sandbox, limits, env), nonce), len(inputs))


def separating(
    inputs: Sequence[Input], unedited: Sequence[str], outputs: Mapping[ClassId, Mapping[int, str]]
) -> tuple[Probe, ...]:
    """The inputs that give at least two different outputs, as probes p1, p2, ..."""
    probes: list[Probe] = []
    for number, one in enumerate(inputs):
        given = {c: texts[number] for c, texts in outputs.items() if number in texts}
        if len(set(given.values())) > 1:
            function = f"{one.function.path}:{one.function.name}"
            call = shown(one.function.name, one.arguments)
            name = f"p{len(probes) + 1}"
            probes.append(Probe(name, function, call, one.origin, one.varied, given, unedited[number]))
    return tuple(probes)


async def _run(
    program: Sequence[str],
    name: str,
    text: str,
    patch: Patch,
    sandbox: Sandbox,
    limits: Limits,
    env: Mapping[str, str] | None = None,
) -> str:
    """What a program printed; its second argument becomes the repository. "" where it could not be run."""
    source, path, _, *rest = program

    async def once() -> str:
        async with sandbox.workspace(patch) as workspace:
            await workspace.write(f"{FOLDER}/{name}", text.encode("utf-8", "replace"))
            argv = [sandbox.python, "-c", source, path, workspace.repository, *rest]
            roomy = replace(limits, output_bytes=OUTPUT_BYTES)
            return (await workspace.run(argv, cwd=FOLDER, env=env, limits=roomy)).output

    try:
        return await retried(once)
    except (PatchRejected, SandboxLost, SandboxTimeout):
        return ""


def _told(output: str, nonce: str) -> list[list[object]]:
    """The JSON lists behind the nonce; a line that is none is left out."""
    found: list[list[object]] = []
    for line in output.splitlines():
        if line.startswith(nonce + " ") and len(line) < 20_000:
            try:
                value: object = json.loads(line[len(nonce) + 1 :])
            except (ValueError, RecursionError):
                continue
            if isinstance(value, list):
                found.append(cast("list[object]", value))
    return found


def _call(line: list[object], origin: ScriptId, known: Mapping[RepoPath, object]) -> Call | None:
    """A recorded call of a function that the repository has; scripts are a model's, so nothing is taken on trust."""
    if len(line) != 5:
        return None
    path, module, name, owner, own = line
    if not (isinstance(path, str) and isinstance(module, str) and isinstance(name, str) and isinstance(own, str)):
        return None
    if owner is not None and not isinstance(owner, str):
        return None
    if name not in cast("Mapping[str, object]", known.get(RepoPath(path), {})):
        return None
    return Call(FunctionId(RepoPath(path), name), module, Arguments(owner, own), origin)


def _numbered(lines: Sequence[list[object]], count: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for line in lines:
        match line:
            case [int(number), str(text)] if 0 <= number < count and len(text) <= _OUTPUT_CHARS:
                found.setdefault(number, text)
            case _:
                continue
    return found
