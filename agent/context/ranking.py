"""Orders files by relevance to an issue: by words without any model, and by merging a model's rankings."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import PurePosixPath

from agent.context.sources import Source
from sandbox.base import RepoPath

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_DEFINES = re.compile(r"^[ \t]*(?:class|def|async def|function|func|fn|struct|interface|type)[ \t]+(\w+)", re.MULTILINE)
# Words of every bug report and of every program; they tell no file from another, and cost time.
_COMMON_WORDS = (
    "the a an and or not of to in is it this that for on with "
    "as be are was if when from by at but should would can will do does "
    "has have i we you my our there which what how use used using get set "
    "self def class return import none true false str int list dict else print python line "
    "file error expected actual bug issue code example version test fix function method value "
)
_COMMON = frozenset(_COMMON_WORDS.split())
_K1, _B = 1.2, 0.75  # BM25's usual constants (Robertson and Zaragoza, 2009)


def terms(text: str) -> list[str]:
    """The words of a text for matching: whole identifiers and the pieces of snake_case and CamelCase, lower-cased."""
    found: list[str] = []
    for word in _WORD.findall(text):
        whole = word.lower().strip("_")
        pieces = [piece.lower() for piece in _PIECE.findall(word)]
        if whole and whole not in _COMMON:
            found.append(whole)
        if len(pieces) > 1:
            found += [piece for piece in pieces if len(piece) > 2 and piece not in _COMMON]
    return found


def lexical_order(issue: str, files: Sequence[Source]) -> list[tuple[Source, float]]:
    """Files by BM25 of the issue's words, best first, with boosts for what the issue names outright.

    A path or dotted module name in the issue, and the definition of an identifier that the issue mentions, weigh
    more than any number of words. Tests come with half their score; ties go by path.
    """
    query = Counter(terms(issue[:40_000]))
    asked = {word for word in _WORD.findall(issue) if _telling(word)}
    # Only the query's words are counted in the files: a large repository has millions of others.
    counts = [_counted(file.text, query) for file in files]
    lengths = [len(file.text) / 6 + 1 for file in files]
    mean = sum(lengths) / len(lengths) if lengths else 1.0
    spread = Counter(word for count in counts for word in count)
    scored: list[tuple[Source, float]] = []
    for file, count, length in zip(files, counts, lengths, strict=True):
        score = 0.0
        for word, times in count.items():
            rarity = math.log(1 + (len(files) - spread[word] + 0.5) / (spread[word] + 0.5))
            score += rarity * times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * length / mean))
        path_words = set(terms(file.path))
        score += 2.0 * sum(math.log(1 + len(files) / (1 + spread[word])) for word in path_words & query.keys())
        score += 4.0 * len(asked & set(_DEFINES.findall(file.text)))
        score += 30.0 * _named(issue, file.path)
        scored.append((file, score * (0.5 if file.test else 1.0)))
    return sorted(scored, key=lambda item: (-item[1], item[0].path))


def _telling(word: str) -> bool:
    """Whether a word of prose is surely an identifier: snake_case, CamelCase, or long enough to be rare."""
    return "_" in word.strip("_") or bool(re.search(r"[a-z][A-Z]|^[A-Z][a-z]+[A-Z]", word)) or len(word) > 7


def _counted(text: str, query: Counter[str]) -> Counter[str]:
    return Counter(term for term in terms(text) if term in query)


def _named(issue: str, path: str) -> bool:
    """Whether the issue names this file: its path, its unusual file name, or its dotted module."""
    pure = PurePosixPath(path)
    if path in issue:
        return True
    if len(pure.stem) > 5 and pure.name not in ("__init__.py", "setup.py", "conftest.py") and pure.name in issue:
        return True
    parts = [*pure.parts[:-1], pure.stem]
    dotted = ".".join(parts[1:] if parts[0] == "src" else parts).removesuffix(".__init__")
    return dotted.count(".") >= 1 and re.search(rf"(?<![\w.]){re.escape(dotted)}(?!\w)", issue) is not None


def read_ranking(text: str, known: Sequence[RepoPath]) -> list[RepoPath] | None:
    """The paths that a completion lists, best first; None when it names no known path.

    JSON wherever it stands in the text, else the known paths in the order in which the text mentions them.
    Unknown paths and repetitions are dropped.
    """
    wanted = {str(path): path for path in known}
    for candidate in _json_values(text):
        listed = [wanted[item] for item in _strings(candidate) if item in wanted]
        if listed:
            return list(dict.fromkeys(listed))
    places = [(match.start(), path) for path in known if (match := _mention(path).search(text))]
    return [path for _, path in sorted(places)] or None


def _mention(path: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])")


def _json_values(text: str) -> Iterable[object]:
    """Every JSON object or array in a text, the last one first: models think first and answer last."""
    decoder = json.JSONDecoder()
    found: list[object] = []
    at = 0
    while (match := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            at = match.start() + 1
        else:
            found.append(value)
    return reversed(found)


def _strings(value: object) -> Iterable[str]:
    """All strings in a JSON value, in order; of an object's keys only the values count."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item.strip().removeprefix("./")
        elif isinstance(item, list):
            waiting.extend(reversed(item))  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(item, dict):
            waiting.extend(reversed(list(item.values())))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def merged(rankings: Sequence[Sequence[RepoPath]]) -> list[RepoPath]:
    """One ranking out of several: the mean of relative ranks (0 is best, absent counts 1.0), ties by path.

    The merge of CodeMonkeys (arXiv 2501.14723, section 3), made deterministic.
    """
    total: dict[RepoPath, Fraction] = {}  # exact: sums of floats depend on their order
    for path in {path for ranking in rankings for path in ranking}:
        ranks = (Fraction(ranking.index(path), len(ranking)) if path in ranking else 1 for ranking in rankings)
        total[path] = Fraction(sum(ranks)) / len(rankings)
    return sorted(total, key=lambda path: (total[path], path))
