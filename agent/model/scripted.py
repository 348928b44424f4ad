"""A deterministic model for tests: rules say which request gets which answer.

    ScriptedModel([
        Rule("assert add(1, 2) == 3", stage=Stage.TEST_WRITING),
        Rule("first fix", "second fix", stage=Stage.EDITING, trajectory="editing-*", turn=0),
        Rule(lambda request: request.messages[-1].content.upper(), match=r"please shout"),
    ])

The first rule that matches wins. Answers are dealt without memory, so that a resumed run sees the same ones: choice
`i` of trajectory `editing-3` gets answer number `3 + i`, counted round. As a file (`scripted:FILE`, TOML or JSON):

    [[rule]]
    stage = "editing"          # all four conditions are optional
    trajectory = "editing-*"   # a shell pattern
    turn = 0
    match = "parse_duration"   # a regular expression, searched in the last message
    answers = ["..."]

    [profile]                  # optional: fields of `agent.model.base.Profile`
    edit_format = "search_replace"
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import ModelError, ModelSpecError, ModelUnavailable
from agent.model.base import Completion, Profile, Request, Stage, Usage

SCRIPTED = Profile(
    name="scripted",
    context_tokens=32_768,
    context_budget=8_000,
    edit_format="symbol",
    script_style="asserts",
    chars_per_token=4.0,
)

Chances = Mapping[str, float]
Answer = str | Chances | ModelError | Callable[[Request], str | Chances]


@dataclass(frozen=True, init=False)
class Rule:
    """Conditions (all that are given must hold) and the answers for a request that meets them."""

    answers: tuple[Answer, ...]
    """Texts, chances (as `Completion.chances`; the likeliest is the text), functions of the request that give one of
    these, or errors to raise."""
    stage: Stage | None
    trajectory: str | None
    """A shell pattern."""
    turn: int | None
    match: str | None
    """A regular expression, searched in the last message."""
    delay: float
    """Seconds before the answer."""

    def __init__(
        self,
        *answers: Answer,
        stage: Stage | str | None = None,
        trajectory: str | None = None,
        turn: int | None = None,
        match: str | None = None,
        delay: float = 0.0,
    ) -> None:
        if not answers:
            raise ModelSpecError("a rule of the scripted model needs at least one answer")
        for name, value in (
            ("answers", answers),
            ("stage", Stage(stage) if stage is not None else None),
            ("trajectory", trajectory),
            ("turn", turn),
            ("match", match),
            ("delay", delay),
        ):
            object.__setattr__(self, name, value)

    def accepts(self, request: Request) -> bool:
        return (
            (self.stage is None or self.stage == request.stage)
            and (self.trajectory is None or fnmatchcase(request.trajectory, self.trajectory))
            and (self.turn is None or self.turn == request.turn)
            and (self.match is None or re.search(self.match, request.messages[-1].content) is not None)
        )


class ScriptedModel:
    """Answers by rules; `requests` keeps what was asked, in order of arrival."""

    def __init__(self, rules: Sequence[Rule], profile: Profile = SCRIPTED) -> None:
        self._rules = tuple(rules)
        self._profile = profile
        self.requests: list[Request] = []

    @property
    def profile(self) -> Profile:
        return self._profile

    def with_profile(self, profile: Profile) -> ScriptedModel:
        """The same rules under another profile."""
        return ScriptedModel(self._rules, profile)

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        """`n` scripted answers. Raises ModelUnavailable when no rule matches, and whatever error a rule holds."""
        self.requests.append(request)
        rule = next((rule for rule in self._rules if rule.accepts(request)), None)
        if rule is None:
            last = request.messages[-1].content if request.messages else ""
            raise ModelUnavailable(
                f"no rule of the scripted model matches stage={request.stage.value} trajectory={request.trajectory} "
                f"turn={request.turn}; add a rule for it. Its last message ends: {last[-400:]!r}"
            )
        await anyio.sleep(rule.delay)  # also with 0: other tasks get their turn, as with a real server
        first = _number(request.trajectory)
        answers: list[str | Chances] = []
        for index in range(n):
            answer = rule.answers[(first + index) % len(rule.answers)]
            if isinstance(answer, ModelError):
                raise answer
            answers.append(answer(request) if callable(answer) else answer)
        return tuple(self._completion(request, answer, index) for index, answer in enumerate(answers))

    async def check(self) -> None:
        """It always answers."""

    def _completion(self, request: Request, answer: str | Chances, index: int) -> Completion:
        chances = None if isinstance(answer, str) else answer
        text = answer if isinstance(answer, str) else max(answer, key=lambda name: answer[name])
        for stop in request.sampling.stop:
            text = text.partition(stop)[0]
        room = int(request.sampling.max_tokens * self._profile.chars_per_token)
        prompt = self._tokens("".join(message.content for message in request.messages)) if index == 0 else 0
        price = self._profile.price
        completion = self._tokens(text[:room])
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            money=(prompt * price.prompt + completion * price.completion) / 1e6,
            calls=1 if index == 0 else 0,
        )
        return Completion(text[:room], "length" if len(text) > room else "stop", usage, chances)

    def _tokens(self, text: str) -> int:
        return math.ceil(len(text) / self._profile.chars_per_token)


def _number(trajectory: str) -> int:
    found = re.search(r"(\d+)$", trajectory)
    return int(found[1]) if found else 0


class _RuleEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: tuple[str, ...] = Field(min_length=1)
    stage: Stage | None = None
    trajectory: str | None = None
    turn: int | None = None
    match: str | None = None
    delay: float = 0.0


class _ScriptFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: tuple[_RuleEntry, ...]
    profile: dict[str, Any] = Field(default_factory=dict)


def load_scripted(path: Path) -> ScriptedModel:
    """The model that a rules file describes. Raises ModelSpecError naming the file and what is wrong with it."""
    from agent.model.profile import overridden  # the profile module knows the fields; scripted tests need no more

    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        entries = _ScriptFile.model_validate(data)
        for entry in entries.rule:
            re.compile(entry.match or "")
    except OSError as error:
        raise ModelSpecError(f"cannot read the rules of scripted:{path}: {error.strerror}; name a file") from error
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ModelSpecError(f"scripted:{path} is no list of rules: {where}") from error
    except (ValueError, re.error) as error:
        raise ModelSpecError(f"scripted:{path} cannot be read: {error}") from error
    rules = [
        Rule(
            *entry.answers,
            stage=entry.stage,
            trajectory=entry.trajectory,
            turn=entry.turn,
            match=entry.match,
            delay=entry.delay,
        )
        for entry in entries.rule
    ]
    overrides: Mapping[str, object] = entries.profile
    return ScriptedModel(rules, overridden(SCRIPTED, overrides))
