"""The settings: one tree, read from bestpatch.toml, then BESTPATCH_* variables, then flags.

`Settings` is the tree; `load` reads it with errors that name the key, where it stood, and what may have been meant.
A bestpatch.toml inside the target repository is read too, but the repository is untrusted text: it may say how its
code is built and how hard to try, never where the model is, what runs on this host, or where files go.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.model.serving import Serving
from harness.units import read_bytes, read_count, read_seconds
from sandbox.base import Limits
from sandbox.settings import BackendSettings, BubblewrapSettings, DockerSettings

Count = Annotated[int, BeforeValidator(read_count)]
"""An integer, or text such as `200k` or `1.5M`."""

Seconds = Annotated[float, BeforeValidator(read_seconds)]
"""Seconds, or text such as `90s`, `30m`, `1h30m`."""

Bytes = Annotated[int, BeforeValidator(read_bytes)]
"""Bytes, or text such as `512m` or `4g` (powers of 1024)."""


class Section(BaseModel):
    """Base of the sections: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BudgetSettings(Section):
    """What a run may spend. An unset limit does not limit. When one is reached, the selection runs on what exists."""

    tokens: Count | None = Field(
        default=None, gt=0, description="Prompt and completion tokens together, cached ones included."
    )
    money: float | None = Field(default=None, gt=0, description="US dollars by the model profile's prices.")
    model_seconds: Seconds | None = Field(
        default=None, gt=0, description="Seconds of model calls, added up over parallel ones."
    )
    wall_seconds: Seconds | None = Field(
        default=None, gt=0, description="Seconds on the clock since this invocation began."
    )


class LimitSettings(Section):
    """What one execution in a sandbox may use."""

    seconds: Seconds | None = Field(
        default=None,
        gt=0,
        le=86400,
        description="Deadline of one execution; unless given, 100s, and less for test scripts where imports are quick.",
    )
    memory: Bytes = Field(default=4 * 1024**3, ge=64 * 1024**2, description="Memory of one execution.")
    cpus: float = Field(default=2.0, gt=0, description="Processors of one execution.")
    processes: int = Field(default=512, ge=16, description="Processes of one execution.")


class SandboxSettings(Section):
    """The sandboxes of this machine."""

    backend: Literal["auto", "docker", "bubblewrap"] = Field(
        default="auto", description="What makes sandboxes: Docker where it answers, else bubblewrap, unless named."
    )
    parallel: int = Field(default_factory=lambda: max(2, os.cpu_count() or 2), ge=1, description="Executions at once.")
    isolation: Literal["auto", "cells", "containers"] = Field(
        default="auto",
        description="`cells`: executions in namespaces of their own in warm containers; `containers`: one each.",
    )
    workspace_bytes: Bytes = Field(
        default=2 * 1024**3, ge=16 * 1024**2, description="What may be written in one workspace of a cell, in memory."
    )
    workspace_files: int = Field(
        default=400_000, ge=1000, description="Files that may be made in one workspace of a cell."
    )
    runtime: str | None = Field(default=None, description="Another OCI runtime of the engine: runsc (gVisor), kata.")
    free_disk_bytes: Bytes = Field(
        default=2 * 1024**3,
        ge=0,
        description="Free disk below which nothing is started, and commands and builds are stopped.",
    )
    image_disk_bytes: Bytes = Field(
        default=40 * 1024**3,
        ge=0,
        description="Disk for images that bestpatch made; beyond it the least recently used go before the next build.",
    )
    builds: int = Field(
        default_factory=lambda: max(2, (os.cpu_count() or 1) // 4), ge=1, description="Image builds and pulls at once."
    )
    pull_seconds: Seconds = Field(default=20.0, gt=0, description="How long a registry may take to begin to answer.")
    build_seconds: Seconds = Field(default=3600.0, gt=0, description="Deadline of one image build.")
    build_network: str = Field(default="host", description="The engine's network of builds. Executions never have one.")
    images: Path | None = Field(
        default=None, description="Bubblewrap's images by name (`docker save`); `saved` in the cache."
    )


class EnvironmentSettings(Section):
    """The environment, where the detected one does not do: an image, dockerfile, devcontainer, or parts of a recipe."""

    image: str | None = Field(default=None, description="An image that exists and has what the code needs.")
    dockerfile: str | None = Field(
        default=None, description="The project's own Dockerfile, relative to the repository's root."
    )
    devcontainer: str | None = Field(
        default=None, description="The project's devcontainer.json, relative to the repository's root."
    )
    base: str | None = Field(default=None, description="Base image of the recipe.")
    python: str | None = Field(
        default=None, pattern=r"^3\.\d+$", description="Python version of the recipe, such as `3.11`."
    )
    apt: tuple[str, ...] | None = Field(default=None, description="System packages of the recipe.")
    install: tuple[str, ...] | None = Field(
        default=None, description="Shell commands that install the project, run with network."
    )
    env: dict[str, str] = Field(default_factory=dict[str, str], description="Environment variables inside the sandbox.")
    test_command: str | None = Field(
        default=None,
        description="Shell command that runs the repository's own tests, `{tests}` where it takes files of them.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> EnvironmentSettings:
        named = [name for name in ("image", "dockerfile", "devcontainer") if getattr(self, name)]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} exclude each other; name one of them")
        parts = [name for name in ("base", "python", "apt") if getattr(self, name)]
        if named and parts:
            raise ValueError(f"{named[0]} cannot stand beside {' and '.join(parts)}, which make a recipe")
        if self.base and self.python:
            raise ValueError("base and python exclude each other; name one of them")
        return self


class SelectionSettings(Section):
    """How the final patch is chosen."""

    shortlist: int = Field(default=3, ge=1, le=10, description="Candidates that the comparison sees.")
    comparison_turns: int | None = Field(
        default=None,
        ge=0,
        description="Turns of each comparison trajectory, 0 leaves it out; the model's profile says otherwise.",
    )
    regression_seconds: Seconds = Field(
        default=120.0, ge=0, description="For all runs of the repository's own tests together; 0 leaves them out."
    )
    probes: int = Field(
        default=64,
        ge=0,
        le=1000,
        description="Calls that each class in doubt is asked for, found without a model; 0 leaves them out.",
    )
    risk: float = Field(
        default=0.01,
        ge=0,
        lt=0.5,
        description="Of a leader that more candidates would overtake, accepted for making fewer; 0 makes all of them.",
    )
    worth: float | None = Field(
        default=None,
        gt=0,
        description="US dollars that a right patch is worth: no further candidates where these would cost more than "
        "they can bring, by the token prices. Unset, all go by `risk`.",
    )
    min_confidence: float = Field(default=0.0, ge=0, le=1, description="Below it, bestpatch abstains (exit code 3).")


class PriceSettings(Section):
    """US dollars for a million tokens."""

    prompt: float = Field(default=0.0, ge=0, description="Prompt tokens.")
    cached: float = Field(default=0.0, ge=0, description="Prompt tokens that came from the server's cache.")
    completion: float = Field(default=0.0, ge=0, description="Completion tokens.")
    gpu_hour: float = Field(default=0.0, ge=0, description="An hour of one GPU of servers that bestpatch starts.")


class ProfileSettings(Section):
    """Overrides of the model's profile."""

    context_tokens: Count | None = Field(default=None, ge=1024, description="Prompt and answer together.")
    context_budget: Count | None = Field(
        default=None, ge=256, description="Tokens of repository text shown to the model."
    )
    edit_format: Literal["symbol", "search_replace"] | None = Field(
        default=None, description="How the model writes edits."
    )
    script_style: Literal["asserts", "exit_codes"] | None = Field(
        default=None, description="How the model writes test scripts."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Sampling temperature of trajectories.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling of trajectories.")
    script_tokens: Count | None = Field(default=None, ge=64, description="Longest answer that holds a test script.")
    edit_tokens: Count | None = Field(default=None, ge=64, description="Longest answer that holds an edit.")
    parallel: int | None = Field(default=None, ge=1, description="Requests in flight at once.")
    price: PriceSettings | None = Field(default=None, description="What tokens cost.")


class ServeSettings(Section):
    """How vLLM serves on this machine's GPUs. What is unset is chosen for the model and the machine."""

    replicas: int | None = Field(
        default=None, ge=1, description="Servers, each with the whole model; as many as the GPUs allow."
    )
    tensor_parallel: int | None = Field(
        default=None, ge=1, description="GPUs of one server; as few as hold the model and a useful cache."
    )
    context_tokens: Count | None = Field(default=None, ge=1024, description="Longest prompt and answer together.")
    memory_share: float | None = Field(
        default=None, gt=0, le=1, description="Of a GPU's memory; 0.92 where nobody else uses it."
    )
    sequences: int | None = Field(
        default=None, ge=1, description="Answers that one server writes at once; as many as its cache holds, up to 256."
    )
    quantization: Literal["fp8"] | None = Field(
        default=None, description="Weights in 8 bits, where the GPU computes so."
    )
    speculation: Literal["none", "ngram"] = Field(
        default="none", description="`ngram`: guesses what comes next from the prompt, which edits mostly copy."
    )
    speculative_tokens: int = Field(default=8, ge=1, le=64, description="Tokens guessed at once.")
    routing: Literal["prefix", "round_robin"] = Field(
        default="prefix", description="Which server a request goes to: the one that holds its prefix, or the next."
    )
    arguments: tuple[str, ...] = Field(default=(), description="Further arguments of `vllm serve`.")


class PathSettings(Section):
    """Where things are kept on this machine."""

    cache: Path = Field(
        default_factory=lambda: Path(os.environ.get("BESTPATCH_CACHE") or platformdirs.user_cache_path("bestpatch")),
        description="Weights, the model server, survey results. BESTPATCH_CACHE names it as well.",
    )
    prices: Path | None = Field(
        default=None, description="A TOML file with a table of prices for each model; `profile.price` goes before it."
    )


class Settings(BaseSettings):
    """All settings of a run. Frozen; build variants with `Settings(...)`, `load` or `model_copy`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="BESTPATCH_", env_nested_delimiter="__", env_ignore_empty=True
    )

    model: str | None = Field(
        default=None, description="Model spec: vllm:NAME, openai:MODEL@BASE_URL, embedded, scripted:FILE."
    )
    candidates: int = Field(
        default=8, ge=1, le=256, description="Editing trajectories at most, each of which may give a candidate."
    )
    test_turns: int | None = Field(
        default=None, ge=1, le=32, description="Turns of a test-writing trajectory; the model's profile says otherwise."
    )
    edit_turns: int | None = Field(
        default=None, ge=1, le=32, description="Turns of an editing trajectory; the model's profile says otherwise."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Every draw of the run derives from it.")
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    sandbox: SandboxSettings = Field(default_factory=SandboxSettings)
    environment: EnvironmentSettings = Field(default_factory=EnvironmentSettings)
    selection: SelectionSettings = Field(default_factory=SelectionSettings)
    profile: ProfileSettings = Field(default_factory=ProfileSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    paths: PathSettings = Field(default_factory=PathSettings)


def limits_of(settings: LimitSettings) -> Limits:
    """The limits of one execution, as sandboxes take them; with their own deadline where none was given."""
    return Limits(settings.seconds or Limits.seconds, settings.memory, settings.cpus, settings.processes)


def serving_of(settings: Settings) -> Serving:
    """How vLLM is to serve, as the model's part takes it."""
    return Serving(**settings.serve.model_dump())


def backend_settings(settings: Settings) -> tuple[DockerSettings, BubblewrapSettings]:
    """The settings as the sandboxes' backends take them."""
    limits, sandbox = limits_of(settings.limits), settings.sandbox
    ours = sandbox.model_dump()
    common = {name: value for name, value in ours.items() if name in BackendSettings.model_fields}
    engines = {name: value for name, value in ours.items() if name in DockerSettings.model_fields}
    cache = settings.paths.cache
    return (
        DockerSettings(**{**common, **engines}, limits=limits, cache=cache),
        BubblewrapSettings(**common, limits=limits, cache=cache, images=sandbox.images),
    )
