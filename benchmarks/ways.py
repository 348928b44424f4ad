"""Ways to execute a command in a pristine workspace, each timed alike: seconds from asking to having the exit code.

Those that are not ours speak to the engine with the docker SDK, and `docker run --rm` is the command itself. None of
them limits anything but the network; ours do what they always do.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import anyio

from sandbox import profile
from sandbox.base import Sandbox

Way = Callable[[], Awaitable[float]]
PASS = ("-c", "pass")
RESTORE = "kill -9 -1; git checkout -q -f . && git clean -q -f -d"
"""What a warm container needs after each execution: no process left, and the files as committed."""


class Wrong(Exception):
    """An execution ended otherwise than it must: its figure would mean nothing."""


def bare(argv: Sequence[str], env: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise Wrong(f"{argv} on the bare host: {done.stdout.decode()[-500:]}")
    return seconds


async def in_workspace(sandbox: Sandbox) -> float:
    began = time.perf_counter()
    async with sandbox.workspace() as workspace:
        execution = await workspace.run([sandbox.python, *PASS])
    seconds = time.perf_counter() - began
    if execution.exit_code != 0:
        raise Wrong(f"{type(sandbox).__name__}: {execution}")
    return seconds


class Containers:
    """Containers of one image, made by hand. All have the label `benchmark`, and are gone at the end."""

    def __init__(self, api: Any, image: str, python: str, repository: str) -> None:
        self.api = api
        self.image = image
        self.python = python
        self.repository = repository
        self.label = f"benchmark-{uuid.uuid4().hex[:12]}"

    def create(self, argv: Sequence[str], **more: Any) -> str:
        made: Any = self.api.create_container(self.image, list(argv), labels=[self.label], **more)
        return made["Id"]

    def remove_all(self) -> None:
        for found in self.api.containers(all=True, filters={"label": self.label}):
            self.api.remove_container(found["Id"], force=True)

    def docker_run(self) -> float:
        """The command line, which gives a container the engine's default network."""
        return bare(["docker", "run", "--rm", "--label", self.label, self.image, self.python, *PASS], {"PATH": _PATH})

    def prepared(self) -> float:
        """Variant a: made ahead (not timed), started, waited for; removed afterwards (not timed)."""
        container = self.create([self.python, *PASS], network_disabled=True)
        began = time.perf_counter()
        output: Any = self.api.attach(container, stream=True)
        self.api.start(container)
        for _ in output:
            pass
        code = self.api.wait(container)["StatusCode"]
        seconds = time.perf_counter() - began
        self.api.remove_container(container, force=True)
        if code != 0:
            raise Wrong(f"a prepared container ended with {code}")
        return seconds

    @contextmanager
    def warm(self) -> Generator[str, None, None]:
        container = self.create(["tail", "-f", "/dev/null"], network_disabled=True)
        try:
            self.api.start(container)
            yield container
        finally:
            self.api.remove_container(container, force=True)

    def executed(self, container: str, argv: Sequence[str], **more: Any) -> tuple[int, bytes]:
        made: Any = self.api.exec_create(container, list(argv), **more)
        output: bytes = self.api.exec_start(made["Id"])
        return self.api.exec_inspect(made["Id"])["ExitCode"], output

    def in_warm(self, container: str, *, restored: bool) -> float:
        """Variant b; without restoring it is its lower bound, and no pristine workspace."""
        began = time.perf_counter()
        code, output = self.executed(container, [self.python, *PASS])
        if restored and code == 0:
            code, output = self.executed(container, ["/bin/sh", "-c", RESTORE], workdir=self.repository)
        seconds = time.perf_counter() - began
        if code != 0:
            raise Wrong(f"in a warm container: {output.decode()[-500:]}")
        return seconds


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def host_environment(python: str) -> dict[str, str]:
    """What executions in sandboxes get, for the bare host."""
    return {**profile.environment({"PATH": _PATH}, python), "HOME": "/nonexistent"}


@asynccontextmanager
async def rival_ways(containers: Containers) -> AsyncGenerator[dict[str, Way], None]:
    """The other ways by their names, each with a warm container of its own for each caller at a time."""
    async with AsyncExitStack() as stack:
        warm = [stack.enter_context(containers.warm()) for _ in range(4)]
        free = {False: warm[:2], True: warm[2:]}

        async def in_warm(restored: bool) -> float:
            container = free[restored].pop()
            try:
                return await anyio.to_thread.run_sync(partial(containers.in_warm, container, restored=restored))
            finally:
                free[restored].append(container)

        yield {
            "a container per execution: `docker run --rm`": partial(anyio.to_thread.run_sync, containers.docker_run),
            "(a) a container prepared ahead, only started": partial(anyio.to_thread.run_sync, containers.prepared),
            "exec in a warm container, nothing restored": partial(in_warm, False),
            "(b) exec in a warm container, restored by git": partial(in_warm, True),
        }
