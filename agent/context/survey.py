"""The survey: the model describes each source file once; later issues pay only for files that changed.

A summary depends on the file's content alone, never on the issue, so it is kept by content and model. Which files
matter for an issue is judged from the summaries afterwards (`gather`).
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import anyio

from agent.context.outline import outline
from agent.context.sources import Source
from agent.context.window import counter
from agent.errors import ContextTooLong, ModelReplyInvalid, ModelTimeout
from agent.model.base import Message, Model, Request, Sampling, Stage
from agent.parallel import each
from agent.prompts.survey import describe, describe_again
from agent.trajectory import Recorder
from sandbox.base import RepoPath, digest_of

_VERSION = "2"  # of the prompt: raise it when the summaries' meaning changes
_ANSWER_TOKENS = 220
_LABEL = re.compile(r"^[\s>#*_`-]*(?:summary|description)[\s*_`]*[:\-–][\s*_`]*", re.IGNORECASE | re.MULTILINE)


class Summaries:
    """Summaries by file content and model, in one SQLite file that several runs may use at once.

    A cache that is damaged, or cannot be written, costs time, not the task. The last summaries may be lost with the
    machine's power: waiting for the disk after each took 4 s of a survey of 569 files that is done in 0.15 s without.
    """

    def __init__(self, path: Path) -> None:
        self._turn = threading.Lock()
        """Threads may share the connection, one at a time."""
        self._database: sqlite3.Connection | None = None
        with suppress(sqlite3.DatabaseError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            try:
                with suppress(sqlite3.OperationalError):  # another run is just doing the same
                    database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                database.execute("CREATE TABLE IF NOT EXISTS summary (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
            except sqlite3.DatabaseError:
                database.close()
                raise
            self._database = database

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """The known ones among the keys. Blocks."""
        if self._database is None:
            return {}
        found: dict[str, str] = {}
        with suppress(sqlite3.DatabaseError), self._turn:
            for key in keys:
                row = self._database.execute("SELECT text FROM summary WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = str(row[0])
        return found

    def put(self, key: str, text: str) -> None:
        """Keep a summary. Blocks while another run writes."""
        if self._database is not None:
            with suppress(sqlite3.DatabaseError), self._turn:
                self._database.execute("INSERT OR REPLACE INTO summary VALUES (?, ?)", (key, text))


def summary_key(model: Model, file: Source) -> str:
    """Names the summary of a file's content by a model."""
    return digest_of("survey", _VERSION, model.profile.name, file.text)


def read_summary(text: str) -> str | None:
    """The summary in a completion, on one line; None when there is none.

    JSON (also fenced, or cut off in the middle), or a paragraph after a `Summary:` label in any dress, or the bare
    paragraph itself. Lines after the first and remarks at the end belong to it: nothing is dropped for its form.
    """
    body = text.strip()
    if match := re.search(r'"summary"\s*:\s*"((?:[^"\\]|\\.)*)', body, re.DOTALL):
        raw = match.group(1).removesuffix("\\")
        try:
            body = str(json.loads(f'"{raw}"', strict=False))
        except ValueError:
            body = raw
    elif label := list(_LABEL.finditer(body)):
        body = body[label[-1].end() :]
    elif body.startswith(("{", "[")):
        return None
    flat = " ".join(re.sub(r"^```\w*|```$", "", body, flags=re.MULTILINE).split()).strip("*_` ")
    return flat[:800] if len(flat.split()) >= 3 else None


async def survey(
    files: Sequence[Source], model: Model, *, cache: Path, tokens: int, seed: int, recorder: Recorder
) -> Mapping[RepoPath, str]:
    """Summaries of as many files, in their order, as the budget (prompt tokens) allows; cached ones cost nothing.

    A file that is longer than the window is described by its outline and recorded, as is a file whose description
    failed twice: it then simply has no summary here. Raises ModelUnavailable and ModelDenied.
    """
    with closing(await anyio.to_thread.run_sync(Summaries, cache / "survey.sqlite3")) as summaries:
        return await _surveyed(files, model, summaries, tokens, seed, recorder)


async def _surveyed(
    files: Sequence[Source], model: Model, summaries: Summaries, tokens: int, seed: int, recorder: Recorder
) -> Mapping[RepoPath, str]:
    keys = {file.path: summary_key(model, file) for file in files}
    known = await anyio.to_thread.run_sync(summaries.get, list(keys.values()))
    count = counter(model.profile.chars_per_token)
    window = model.profile.context_tokens - _ANSWER_TOKENS - 600
    found: dict[RepoPath, str] = {file.path: known[keys[file.path]] for file in files if keys[file.path] in known}
    described: list[RepoPath] = []
    asked: list[tuple[Source, str]] = []
    spent = 0
    for file in files:
        shown = file.text
        if count(shown) > min(window, tokens):
            room = int(min(window, tokens) * model.profile.chars_per_token * 0.9)
            shown = (outline(file.path, file.text) + "\n\n" + file.text)[:room]
            if file.path not in found:
                recorder.note("survey_shortened", {"path": file.path, "tokens": count(file.text)})
        if spent + count(shown) > tokens:
            break  # in the order of relevance: what follows is described by its outline
        # What is known costs nothing, but counts: which files are described must not depend on what else has run.
        spent += count(shown)
        described.append(file.path)
        if file.path not in found:
            asked.append((file, shown))
    done = len(found)
    recorder.stage("survey", done, done + len(asked))

    async def one(item: tuple[Source, str]) -> None:
        nonlocal done
        file, shown = item
        text = await _described(file, shown, model, seed, recorder)
        if text is not None:
            found[file.path] = text
            await anyio.to_thread.run_sync(summaries.put, keys[file.path], text)
        done += 1
        recorder.stage("survey", done, len(known) + len(asked))

    await each(asked, one, at_once=model.profile.parallel)
    return {path: found[path] for path in described if path in found}


async def _described(file: Source, shown: str, model: Model, seed: int, recorder: Recorder) -> str | None:
    messages: tuple[Message, ...] = describe(file.path, shown)
    # No schema: a grammar with a length in it took the server longer than all files' text (0.30 of its prefill rate on
    # an H200, 0.69 without), and a plain paragraph is as easily read.
    sampling = Sampling(0.0, 1.0, _ANSWER_TOKENS, seed)
    for turn in range(2):
        try:
            (answer,) = await model.complete(Request(messages, sampling, Stage.SURVEY, file.path, turn))
        except (ContextTooLong, ModelTimeout, ModelReplyInvalid) as error:
            recorder.note("survey_failed", {"path": file.path, "error": str(error)[:300]})
            return None
        if (text := read_summary(answer.text)) is not None:
            return text
        messages += describe_again(answer.text)
    recorder.note("survey_failed", {"path": file.path, "error": "no summary could be read"})
    return None
