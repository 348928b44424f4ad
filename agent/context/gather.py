"""The context of a task: the part of the repository that all its trajectories are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from agent.context.outline import names
from agent.context.ranking import lexical_order, merged, read_ranking
from agent.context.sources import Source, sources
from agent.context.survey import survey
from agent.context.window import Count, block, counter, pack
from agent.errors import ContextTooLong, ModelReplyInvalid, ModelTimeout
from agent.model.base import Completion, Model, Profile, Request, Sampling, Stage, seed_of
from agent.parallel import each
from agent.prompts.survey import rank, rank_schema
from agent.task import Task
from agent.trajectory import Recorder
from sandbox.base import RepoPath, Tree, digest_of

_ENTRY_CHARS = 500


@dataclass(frozen=True)
class Context:
    """What the models are shown of the repository."""

    text: str
    """The files rendered one after the other, each under a heading with its path."""
    paths: tuple[RepoPath, ...]
    """The files shown, whole or in part, best first."""
    tree: Tree
    """The whole tree at the base commit, for edits and imports."""
    note: str
    """How the files were chosen, and what was left out; for people."""


@dataclass(frozen=True)
class GatherSettings:
    """Bounds of the context stage. None: by the model's profile."""

    survey_tokens: int | None = None
    """Prompt tokens spent on describing files; files beyond it are described by their outline."""
    ranked_files: int | None = None
    """So many files, best by words, are put before the model."""
    rankings: int = 3
    most: int = 12
    """Files in one ranking, at most."""


async def gather(
    task: Task,
    tree: Tree,
    model: Model,
    *,
    cache: Path,
    seed: int,
    recorder: Recorder,
    settings: GatherSettings | None = None,
) -> Context:
    """Choose and render what fits the profile's `context_budget`.

    A repository whose sources fit goes in whole, without a model. Otherwise: files ordered by words, described by
    the model (`survey`), ranked by it several times, merged, packed. Where the model names no file, the order by
    words stands. `cache` is a folder that keeps summaries between tasks.
    Raises ModelUnavailable and ModelDenied; all other failures of the model only make the choice poorer.
    """
    profile = model.profile
    settings = settings or GatherSettings()
    count = counter(profile.chars_per_token)
    # The order by words reads every file: seconds in a large repository, so not on the event loop.
    files, ordered, telling = await anyio.to_thread.run_sync(_by_words, task.issue, tree)
    code = [file for file in ordered if not file.test]
    tests = [file for file in ordered if file.test]
    if sum(count(block(file.path, file.text)) for file in code) <= profile.context_budget:
        packed = pack([*code, *tests], task.issue, profile.context_budget, count)
        shown = len(packed.paths)
        note = f"All {len(code)} source files are shown, and {shown - len(code)} of {len(tests)} test files."
        recorder.stage("context", 1, 1)
        return Context(packed.text, packed.paths, tree, note)

    # 2 x the window on a slow machine's 3k window, 40 x on a 60k one: a long window is the sign of a fast server.
    survey_tokens = settings.survey_tokens or max(2 * profile.context_budget, profile.context_budget**2 // 1500)
    most_ranked = settings.ranked_files or (40 if _slow(profile) else 5_000)
    # What shares no word with the issue is no better than any other file, but is not hidden from a strong model.
    asked = ordered[:most_ranked]
    summaries = await survey(asked, model, cache=cache, tokens=survey_tokens, seed=seed, recorder=recorder)
    entries = [(file.path, _entry(file, summaries)) for file in asked]
    rankings = await _rankings(task, entries, model, settings, seed, recorder)
    # The order by words has the files to edit first in 0.61 and among the first five in 0.83 of 18 SWE-bench instances
    # (tuning split), more than can be trusted to a small model: there it has as many votes as the model.
    words = [telling[: settings.most]] * len(rankings) if _slow(profile) and telling else []
    order = merged([*rankings, *words])
    recorder.note("ranking", {"rankings": [list(ranking) for ranking in rankings], "merged": list(order)})
    by_path = {file.path: file for file in files}
    chosen = _with_best_by_words([by_path[path] for path in order], ordered)
    packed = await anyio.to_thread.run_sync(pack, chosen, task.issue, profile.context_budget, count)
    how = (
        f"{len(merged(rankings))} of them were found relevant in {len(rankings)} rankings"
        if rankings
        else "no ranking could be read, so the order by the issue's words stands"
    )
    note = (
        f"{len(files)} source files, {len(asked)} of them put before the model ({len(summaries)} described by it, "
        f"{len(asked) - len(summaries)} by their outline); {how}; {len(packed.paths)} shown, "
        f"{len(packed.partial)} of these in part."
    )
    return Context(packed.text, packed.paths, tree, note)


def _slow(profile: Profile) -> bool:
    """A short window is the sign of a small model on a slow machine."""
    return profile.context_budget < 8_000


def _by_words(issue: str, tree: Tree) -> tuple[tuple[Source, ...], list[Source], list[RepoPath]]:
    """All sources, their order by words, and the paths of those that share any word with the issue."""
    files = sources(tree)
    scored = lexical_order(issue, files)
    return files, [file for file, _ in scored], [file.path for file, score in scored if score > 0]


def _with_best_by_words(ranked: list[Source], ordered: list[Source]) -> list[Source]:
    """The ranking, with the best file by words never lost; the order by words where nothing was ranked."""
    if not ranked:
        return ordered
    best = next((file for file in ordered if not file.test), None)
    if best is None or best in ranked:
        return ranked
    return [*ranked[:2], best, *ranked[2:]]


def _entry(file: Source, summaries: Mapping[RepoPath, str]) -> str:
    """What the ranking is told of a file: the model's summary, else the names it defines."""
    text = summaries.get(file.path) or names(file.path, file.text) or file.text[:200]
    return text[:_ENTRY_CHARS]


async def _rankings(
    task: Task,
    entries: Sequence[tuple[RepoPath, str]],
    model: Model,
    settings: GatherSettings,
    seed: int,
    recorder: Recorder,
) -> list[list[RepoPath]]:
    """Several rankings of the entries that matter. An answer that cannot be read is none."""
    profile = model.profile
    count = counter(profile.chars_per_token)
    room = min(profile.context_tokens // 2, 30_000)
    chunks = _chunks(entries, room, count)
    if len(chunks) > 1:  # first what is relevant in each chunk, then the rankings over those
        kept: dict[RepoPath, str] = {}

        async def one(number: int) -> list[list[RepoPath]]:
            return await _asked(task, chunks[number], model, settings, seed, f"relevance-{number}", 1, recorder)

        chosen = await each(range(len(chunks)), one, at_once=profile.parallel)
        texts = dict(entries)
        for path in merged([ranking for rankings in chosen for ranking in rankings]):
            kept[path] = texts[path]
        entries = _chunks(list(kept.items()), room, count)[0] if kept else []
    if not entries:
        return []
    if _slow(profile):
        # One prompt, computed once, and several answers.
        return await _asked(task, entries, model, settings, seed, "ranking", settings.rankings, recorder)
    found: list[list[RepoPath]] = []
    for number in range(settings.rankings):  # each in its own order, so that no file profits from its place
        shuffled = sorted(entries, key=lambda entry: digest_of(str(seed), str(number), entry[0]))
        found += await _asked(task, shuffled, model, settings, seed, f"ranking-{number}", 1, recorder)
    return found


def _chunks(entries: Sequence[tuple[RepoPath, str]], room: int, count: Count) -> list[list[tuple[RepoPath, str]]]:
    """The entries in runs of at most `room` tokens."""
    chunks: list[list[tuple[RepoPath, str]]] = [[]]
    used = 0
    for path, text in entries:
        size = count(f"- {path}: {text}\n")
        if used + size > room and chunks[-1]:
            chunks.append([])
            used = 0
        chunks[-1].append((path, text))
        used += size
    return chunks


async def _asked(
    task: Task,
    entries: Sequence[tuple[RepoPath, str]],
    model: Model,
    settings: GatherSettings,
    seed: int,
    name: str,
    n: int,
    recorder: Recorder,
) -> list[list[RepoPath]]:
    paths = [path for path, _ in entries]
    # A path is at most some 40 tokens; a grammar keeps the answer to paths that exist.
    schema = rank_schema(paths, settings.most)
    sampling = Sampling(
        0.0 if n == 1 else 0.7,
        1.0 if n == 1 else 0.95,
        60 + 40 * settings.most,
        seed_of(seed, task.issue, name),
        json_schema=schema,
    )
    answers: tuple[Completion, ...] = ()
    for attempt in range(2):
        request = Request(rank(task.issue, entries), sampling, Stage.RANKING, name, attempt)
        try:
            answers = await model.complete(request, n)
        except (ContextTooLong, ModelTimeout, ModelReplyInvalid) as error:
            recorder.note("ranking_failed", {"trajectory": name, "error": str(error)[:300]})
            return []
        rankings = [ranking for answer in answers if (ranking := read_ranking(answer.text, paths)) is not None]
        recorder.stage("ranking", attempt + 1, attempt + 1)
        if rankings:
            return rankings
    recorder.note("ranking_failed", {"trajectory": name, "error": "no ranking could be read"})
    return []
