"""`bestpatch doctor`: is everything there that a run needs? How to mend what is not; `--mend` does it."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx

from agent.errors import ModelError
from agent.model.driver import gpu_there
from agent.model.embedded import embedded_status, ensure_embedded
from agent.model.spec import Embedded, OpenAI, Vllm, parse_spec
from agent.model.vllm import find_vllm, missing_vllm, unseen_gpu
from harness.commands.common import give, say
from harness.commands.exit import FAILED, Exit
from harness.config import Settings, backend_settings
from harness.outcome import redacted
from sandbox.errors import SandboxError

BASE = "python:3.11"
"""The base image of most environments."""
ROOM = 8 * 1024**3
"""Bytes that images, weights and the model server take."""
PATIENCE = 8.0
"""Seconds for an answer from a registry."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One thing that a run needs. `note`: it is missed, and a run does without."""

    name: str
    state: Literal["ok", "missing", "note"]
    detail: str
    mend: str = ""


def doctor_command(settings: Settings, *, mend: bool, as_json: bool) -> None:
    """Raises Exit(4) when something that a run needs is missing."""
    if mend:
        _mend(settings)
    checks = [check for group in (_git, _engine, _disk, _registries, _gpu, _model) for check in group(settings)]
    if as_json:
        give(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        width = max(len(check.name) for check in checks)
        marks = {"ok": "ok     ", "missing": "missing", "note": "note   "}
        for check in checks:
            give(f"{marks[check.state]}  {check.name:{width}}  {check.detail}")
            if check.mend and check.state != "ok":
                give(f"{'':9}{'':{width}}  mend: {check.mend}")
    if any(check.state == "missing" for check in checks):
        if not mend and not as_json:
            say("`bestpatch doctor --mend` mends what it can")
        raise Exit(FAILED)


def _mend(settings: Settings) -> None:
    """Set up the engine, the base image and the embedded model; what fails is told and then found missing below."""
    from sandbox.engine import ensure_bubblewrap, ensure_engine

    try:
        if settings.sandbox.backend == "bubblewrap":
            ensure_bubblewrap(say)
        else:
            ensure_engine(say)
            _with_builder(settings, say, lambda builder: _ensure_base(builder))
    except SandboxError as error:
        say(str(error))
    size = _embedded_size(settings)
    if size is not None:
        try:
            anyio.run(ensure_embedded, settings.paths.cache, say, size)
        except ModelError as error:
            say(str(error))


def _git(_: Settings) -> list[Check]:
    found = _output(["git", "--version"])
    if found is None:
        return [Check("git", "missing", "not on PATH", "install git (Debian: apt-get install git)")]
    return [Check("git", "ok", found)]


def _engine(settings: Settings) -> list[Check]:
    """What sandboxes would be made with."""
    backend = settings.sandbox.backend
    checks = [] if backend == "bubblewrap" else _docker(settings)
    if backend == "docker" or (checks and checks[0].state == "ok"):
        return checks
    from sandbox.cgroup import make_cgroup
    from sandbox.walls import why_not

    why = why_not()
    if why is not None:
        lack = Check("bubblewrap", "missing", why, "bestpatch doctor --mend, as root; or as said")
        return [*checks, lack] if backend == "bubblewrap" else [*checks, replace(lack, state="note")]
    found = [Check("engine", "ok", "bubblewrap" if backend == "bubblewrap" else "bubblewrap; no Docker engine answers")]
    cgroup = make_cgroup()
    if cgroup is None:
        lack = "none can be made: memory is limited for each process, CPUs are not"
        found.append(Check("control groups", "note", lack, "run bestpatch in a delegated group, or as root"))
    else:
        cgroup.remove()
        found.append(Check("control groups", "ok", "version 2" if cgroup.unified else "version 1"))
    return found


def _docker(settings: Settings) -> list[Check]:
    def look(builder: Any) -> list[Check]:
        info = builder.client.info()
        found = [Check("engine", "ok", f"Docker {info.get('ServerVersion', '?')}, {info.get('NCPU', '?')} CPUs")]
        if builder.client.image(f"bestpatch/{BASE}") is not None or builder.client.image(BASE) is not None:
            found.append(Check("base image", "ok", BASE))
        else:
            found.append(Check("base image", "note", f"{BASE} is not there; the first run fetches or makes it"))
        return found

    try:
        return _with_builder(settings, lambda _: None, look)
    except SandboxError as error:
        return [Check("engine", "missing", str(error), "bestpatch doctor --mend, as root; or start Docker")]


def _disk(settings: Settings) -> list[Check]:
    places = {"cache": settings.paths.cache}
    docker = Path("/var/lib/docker")
    if docker.exists():
        places["engine's disk"] = docker
    checks: list[Check] = []
    for name, place in places.items():
        there = next(path for path in (place, *place.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        detail = f"{free / 1e9:.1f} GB free at {place}"
        if free < settings.sandbox.free_disk_bytes:
            checks.append(Check(name, "missing", detail, "free some disk: bestpatch prune, docker system prune"))
        elif free < ROOM:
            checks.append(Check(name, "note", f"{detail}; a first set-up takes {ROOM / 1e9:.0f} GB"))
        else:
            checks.append(Check(name, "ok", detail))
    return checks


def _registries(settings: Settings) -> list[Check]:
    """Whether pip finds a package with the settings that builds get, and whether the engine's registry answers."""
    checks: list[Check] = []
    pip = [sys.executable, "-m", "pip", "index", "versions", "pip", "--retries", "0", "--timeout", str(PATIENCE)]
    if _output([*pip, "--disable-pip-version-check", "--no-input"], seconds=3 * PATIENCE) is not None:
        checks.append(Check("package index", "ok", "pip's index answers"))
    else:
        mend = "check the network, the proxy variables, and pip's index settings"
        lack = "pip's index does not answer; environments that install packages cannot be built"
        checks.append(Check("package index", "note", lack, mend))
    try:
        address = str(
            _with_builder(settings, lambda _: None, lambda builder: builder.client.info())["IndexServerAddress"]
        )
    except (SandboxError, KeyError):
        return checks  # without an engine there is nobody to pull
    host = httpx.URL(address).host
    refused = _refused(address)
    if refused is None:
        checks.append(Check("image registry", "ok", f"{host} answers"))
    else:
        lack = "base images are made on this machine instead"
        checks.append(Check("image registry", "note", f"{host}: {refused}; {lack}"))
    return checks


def _gpu(_: Settings) -> list[Check]:
    found = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if not found:
        if gpu_there():
            return [
                Check("GPU", "note", "one is there, and nvidia-smi does not answer", "install or update its driver")
            ]
        return [Check("GPU", "note", "none is visible; models run on the CPU, or elsewhere (--model openai:...)")]
    return [Check("GPU", "ok", "; ".join(found.splitlines()))]


def _model(settings: Settings) -> list[Check]:
    size = _embedded_size(settings)
    if size is None:
        return [_endpoint(settings.model or "")]
    return [
        Check("embedded", "ok" if ready else "missing", what, "" if ready else f"bestpatch doctor --mend; or {mend}")
        for what, ready, mend in embedded_status(settings.paths.cache, size)
    ]


def _endpoint(spec: str) -> Check:
    parsed = parse_spec(spec)
    if isinstance(parsed, Vllm):
        return _vllm(spec)
    if not isinstance(parsed, OpenAI):
        return Check("model", "ok", redacted(spec))
    refused = [why for url in parsed.base_urls if (why := _refused(f"{url.rstrip('/')}/models")) is not None]
    if not refused:
        return Check("model", "ok", f"{redacted(spec)} answers")
    some = len(refused) < len(parsed.base_urls)
    why = "; ".join(refused)
    return Check("model", "note" if some else "missing", f"{redacted(spec)}: {why}", "start it, or check the address")


def _vllm(spec: str) -> Check:
    """Whether vLLM is there and sees the GPUs that it is to serve on."""
    mend = "docs/how-to/gpu.md has the installation"
    try:
        installed = anyio.run(find_vllm)
        if installed is None:
            raise missing_vllm()
    except ModelError as error:
        return Check("model", "missing", f"{spec}: {error}", mend)
    if problem := unseen_gpu(installed):
        return Check("model", "missing", f"{spec}: {problem}", mend)
    what = f"{spec} by {installed.package} {installed.version}"
    if not installed.gpus:
        return Check("model", "note", f"{what} on the CPU, if it was built for that: it sees no GPU")
    return Check("model", "ok", f"{what} on {len(installed.gpus)} GPU{'s' if len(installed.gpus) > 1 else ''}")


def _embedded_size(settings: Settings) -> str | None:
    """Which embedded weights a run would take; None where the model is elsewhere."""
    spec = Embedded() if settings.model is None else parse_spec(settings.model)
    return spec.size if isinstance(spec, Embedded) else None


def _refused(url: str) -> str | None:
    """Why a server does not answer; None when it does, whatever it says (401 is an answer)."""
    try:
        with httpx.Client(timeout=PATIENCE, verify=ssl.create_default_context(), follow_redirects=True) as client:
            client.get(url)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return redacted(f"{type(error).__name__}: {error}")
    return None


def _output(command: list[str], seconds: float = 10.0) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _with_builder(settings: Settings, tell: Say, action: Callable[[Any], Any]) -> Any:
    from sandbox.builder import Builder
    from sandbox.client import connect

    docker = backend_settings(settings)[0]
    client = connect(docker.url, docker.engine_seconds)
    builder = Builder(client, docker, tell, threading.Event())
    try:
        return action(builder)
    finally:
        builder.used.close()
        client.close()


def _ensure_base(builder: Any) -> str:
    from sandbox.base_image import ensure_base

    return ensure_base(builder, BASE)
