"""What every model backend offers: chat completions with usage, and a profile that says what suits the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, Protocol

from sandbox.base import digest_of


class Stage(StrEnum):
    """The stages that spend tokens, in order; the keys of `usage` in result.json."""

    SURVEY = "survey"
    RANKING = "ranking"
    TEST_WRITING = "test_writing"
    EDITING = "editing"
    COMPARISON = "comparison"


@dataclass(frozen=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Sampling:
    """How one completion is drawn. `seed` makes it repeatable on a server that honours seeds."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int = 0
    stop: tuple[str, ...] = ()
    json_schema: str | None = None
    """A JSON schema (as JSON text) that the server is asked to keep to."""


def seed_of(seed: int, issue: str, *names: str) -> int:
    """A server's seed, from a run's seed, for what `names` say is drawn for an issue.

    The issue is part of it because a server draws by the seed alone: with the same seeds all tasks of a batch have the
    same luck, and count as independent where they are not (docs/decisions/0023).
    """
    return int(digest_of(str(seed), issue, *names)[:8], 16) & 0x7FFFFFFF


@dataclass(frozen=True)
class Request:
    """One call of a model. Two requests with the same `key` are the same question."""

    messages: tuple[Message, ...]
    sampling: Sampling
    stage: Stage
    trajectory: str
    """Which trajectory asks, such as `trajectory-3`; part of the key, so that equal prompts of two of them differ."""
    turn: int = 0
    answers: tuple[str, ...] = ()
    """One-token answers whose probabilities are asked for, such as `("A", "B")`; see `Completion.chances`."""

    @cached_property
    def key(self) -> str:
        """Digest over everything above, the name of this request in the journal."""
        texts = [part for message in self.messages for part in (message.role, message.content)]
        # Without answers as it was before there were any: journals from then stay readable.
        return digest_of(self.stage, self.trajectory, str(self.turn), repr(self.sampling), *texts, *self.answers)

    @cached_property
    def prefix(self) -> str:
        """Digest of the first message, which all requests of a task begin with: what a server's cache is good for."""
        return digest_of(self.messages[0].content)


@dataclass(frozen=True)
class Usage:
    """What a completion cost. Tokens as the server counted them; money in US dollars by the profile's prices."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt's tokens that the server took from its prefix cache."""
    completion_tokens: int = 0
    seconds: float = 0.0
    money: float = 0.0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            self.money + other.money,
            self.calls + other.calls,
        )


@dataclass(frozen=True)
class Completion:
    """One answer. `finish` is `length` when max_tokens cut it off."""

    text: str
    finish: Literal["stop", "length"]
    usage: Usage
    chances: Mapping[str, float] | None = None
    """The probability that the text begins with each of the answers that were asked for, 0 where it is not among those
    that the server lists; together at most 1. None: not asked for, or the server gives none."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float = 0.0
    cached: float = 0.0
    completion: float = 0.0
    gpu_hour: float = 0.0
    """US dollars for an hour of one GPU of our own servers."""


@dataclass(frozen=True)
class Profile:
    """What suits a model: measured where a comment in `profile.py` says so, otherwise the maker's advice."""

    name: str
    context_tokens: int
    """Prompt and answer together."""
    context_budget: int
    """Tokens of repository text shown to the model."""
    edit_format: Literal["symbol", "search_replace"]
    script_style: Literal["asserts", "exit_codes"]
    """`asserts`: plain assertions that our runner maps to verdicts; `exit_codes`: the script exits 0 or 2 itself."""
    temperature: float = 0.8
    top_p: float = 0.95
    script_tokens: int = 1024
    edit_tokens: int = 4096
    test_turns: int = 3
    """Turns of a test-writing trajectory, where the settings do not say."""
    edit_turns: int = 4
    """Turns of an editing trajectory, likewise: scores peaked at four (arXiv 2501.14723, figure 5)."""
    comparison_turns: int = 4
    """Turns of a comparison pass, likewise; 0 leaves the comparison out."""
    parallel: int = 16
    """Requests in flight at once."""
    chars_per_token: float = 3.2
    """For estimates before a request; the server's own count is the truth afterwards."""
    price: Price = field(default_factory=Price)
    extra_body: Mapping[str, object] = field(default_factory=dict[str, object])
    """Passed through to the server with each request."""


class Model(Protocol):
    """A model that answers. Implementations: the openai client, the journal's replay around it, the scripted one."""

    @property
    def profile(self) -> Profile: ...

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        """`n` independent answers to one prompt, whose prefix the server computes once.

        Raises the leaves of ModelError. The prompt's usage is on the first completion only.
        """
        ...


class ModelServer(Model, Protocol):
    """A model that several runs share. `agent.model.open` gives one."""

    async def check(self) -> None:
        """Say whether it answers at all now; tells the failure of one request from one that all share.

        Raises ModelUnavailable, ModelTimeout, ModelDenied.
        """
        ...
