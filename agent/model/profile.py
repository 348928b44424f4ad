"""What suits which model: profiles by the model's name, and the user's changes to them.

Figures for the small Qwen models come from a probe of 12 one-function repairs, 8 samples each at T 0.8, top_p 0.95,
on two CPU cores. Whole-function rewrites solved 0.40 (1.5B) and 0.15 (0.5B) of samples, search/replace 0.09 and 0.00;
plain assertions were valid tests 0.78 and 0.30 of the time, scripts with their own exit codes 0.42 and 0.00.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent.errors import ModelSpecError
from agent.model.base import Profile

SMALL_CODER = Profile(
    name="small-coder",
    context_tokens=32_768,
    # Prefill is 100 to 165 tokens a second on two cores, and eight parallel streams fall from 52 to 33 tokens a
    # second between a shared prompt of 256 tokens and one of 4k: 3k of repository keeps a first turn under a minute.
    context_budget=3_000,
    edit_format="symbol",
    script_style="asserts",
    # First scripts are 30 to 200 tokens; one that goes on for longer is never any good, and at 7 tokens a second it
    # holds up the seven that were drawn with it.
    script_tokens=256,
    # A function of the probe was 9 to 24 lines, at most about 300 tokens; the rest is room for longer ones.
    edit_tokens=1_024,
    # What the figures in docs/performance.md were measured with: a turn takes half a minute of two cores.
    test_turns=2,
    edit_turns=3,
    # Of 1,596 comparisons of the 1.5B and the 0.5B the first two passes agreed in none, and what further ones chose was
    # no better than the votes (docs/study.md). Votes decide alone.
    comparison_turns=0,
    parallel=16,
    # Qwen's tokenizer gives 3.0 to 4.5 characters a token on Python sources, less on tables of numbers: cautious.
    chars_per_token=3.2,
)

LARGE = Profile(
    name="large",
    context_tokens=131_072,
    # CodeMonkeys packs up to 128k tokens; at 60k its recall of the files to edit is about 4.5 points lower, at half
    # the prefill (arXiv 2501.14723, its figure of recall by context size).
    context_budget=60_000,
    edit_format="search_replace",
    script_style="exit_codes",
    # CodeMonkeys caps the answers of its trajectories at 4,096 tokens; models that reason first need more room.
    script_tokens=4_096,
    edit_tokens=8_192,
    parallel=32,
)

CAUTIOUS = Profile(
    name="unknown",
    # Not measured: what a modest server is likely to have been started with.
    context_tokens=32_768,
    context_budget=16_000,
    edit_format="search_replace",
    script_style="asserts",  # valid for models of any size, as our runner maps them to verdicts
    script_tokens=2_048,
    edit_tokens=4_096,
    parallel=8,
)

# First match wins; sizes are billions of parameters as model names write them.
_SIZE = r"(?<![\w.])(?:0\.5|0\.6|1|1\.3|1\.5|1\.7|3|4)b"
_PATTERNS: tuple[tuple[str, Profile], ...] = (
    (rf"qwen[\w.]*-?coder.*{_SIZE}|^embedded", SMALL_CODER),
    (rf"{_SIZE}(?![\w.])", SMALL_CODER),
    (
        r"coder|codestral|devstral|deepseek|gpt-|claude|glm-|kimi|minimax|gemini|llama-[34]|(?:30|32|70|72|123|235)b",
        LARGE,
    ),
)


def profile_for(name: str, overrides: Mapping[str, object] | None = None) -> Profile:
    """The profile for a model's name as the server lists it (or a path), with the user's changes.

    Raises ModelSpecError when a change names an unknown field or has a value of the wrong kind.
    """
    base = next((profile for pattern, profile in _PATTERNS if re.search(pattern, name, re.IGNORECASE)), CAUTIOUS)
    return overridden(replace(base, name=name), overrides or {})


def overridden(profile: Profile, overrides: Mapping[str, object]) -> Profile:
    """The profile with some fields changed, as a TOML table gives them; checked by field and kind."""
    known = {field.name for field in fields(Profile)}
    if unknown := sorted(set(overrides) - known):
        raise ModelSpecError(
            f"no such field of a model profile: {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    merged: dict[str, Any] = {field.name: getattr(profile, field.name) for field in fields(Profile)} | dict(overrides)
    try:
        return TypeAdapter(Profile).validate_python(merged, strict=False)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ModelSpecError(f"the model's profile cannot be changed so: {where}") from error
