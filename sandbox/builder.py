"""Builds and pulls images through the engine's classic interface, with deadlines and the log's tail kept."""

from __future__ import annotations

import io
import random
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import IO, Any

from sandbox.client import Client, Refused, connect, translated
from sandbox.errors import DiskFull, EnvironmentUnavailable, SandboxError
from sandbox.image_store import ImageStore, check_floor
from sandbox.inventory import BUILDING
from sandbox.registry import Memory, exact_name, read_refusal
from sandbox.settings import DockerSettings

Say = Callable[[str], None]

SPOKEN = "bestpatch: "
"""Begins a line of a build's output that says why it failed, in our words."""
NOTE = "bestpatch: note: "
"""Begins one that says what was left out, where the build goes on."""
PULL_TRIES = 4
FIRST_WAIT_SECONDS = 2.0
"""Before the second try of a pull; each further wait is twice as long, all of them shortened by chance."""
_COMMAND_FAILED = "returned a non-zero code"
_LAYER_GONE = re.compile(r"failed to get digest sha256|unknown parent image ID|failed to set parent sha256")
"""A cached layer that the build was to go on from was removed meanwhile, with the last image that held it."""
_LOG_LINES = 200
_LOOK_SECONDS = 0.5


class Builder:
    """One image build or pull at a time; blocks. `cancelled` ends it, also in the middle of a silent step."""

    def __init__(self, client: Client, settings: DockerSettings, say: Say, cancelled: threading.Event) -> None:
        self.client = client
        self.settings = settings
        self.say = say
        self.cancelled = cancelled
        self.store = ImageStore(client, settings, say, cancelled)
        self.used = ExitStack()
        """Holds on the images that were asked for here; whoever uses them closes it."""
        self._full: DiskFull | None = None

    def ensure(self, tag: str, make: Callable[[], None]) -> str:
        """The tag, once the engine has an image of that name: found, or made by one of those who ask for it."""
        self.used.callback(self.store.ensure(tag, make).release)
        return tag

    def build(self, context: IO[bytes], tag: str, *, arguments: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Build the context's `Dockerfile`. Raises EnvironmentUnavailable with the log's tail, DiskFull."""
        # The engine unpacks the context, and copies it into a layer.
        self.store.make_room(2 * context.seek(0, io.SEEK_END))
        self._persist(tag, partial(self._build, context, tag, arguments, labels))

    def _build(self, context: IO[bytes], tag: str, arguments: Mapping[str, str], labels: Mapping[str, str]) -> None:
        log: deque[str] = deque(maxlen=_LOG_LINES)
        deadline = time.monotonic() + self.settings.build_seconds
        context.seek(0)
        try:
            with self._stream(self.settings.build_seconds) as api, translated("building an image"):
                events = api.build(
                    fileobj=context,
                    custom_context=True,
                    dockerfile="Dockerfile",
                    tag=tag,
                    rm=True,
                    forcerm=True,
                    decode=True,
                    network_mode=self.settings.build_network,
                    buildargs=dict(arguments),
                    labels={**labels, BUILDING: ""},
                    timeout=self.settings.build_seconds,
                )
                for event in events:
                    self._event(event, log, deadline, tag)
                self._go_on(
                    deadline, "the image build", "".join(log)
                )  # an answer that was cut short ends like a whole one
        except Refused as refused:
            raise EnvironmentUnavailable(str(refused), "".join(log)) from refused
        except SandboxError:
            self._go_on(deadline, "the image build", "".join(log))  # a connection that we hung up is no lost one
            raise

    def _event(self, event: Mapping[str, Any], log: deque[str], deadline: float, tag: str) -> None:
        line = str(event.get("stream") or event.get("status") or "")
        if line:
            log.append(line if line.endswith("\n") else line + "\n")
            if line.startswith("Step "):
                self.say(line.strip()[:200])
            for told in line.splitlines():
                if told.startswith(NOTE):
                    self.say(told.removeprefix(SPOKEN)[:200])
        if "error" in event:
            text = "".join(log)
            why = str(event["error"])
            _refuse_full(why, f"building {tag}")
            steps = [told for told in log if told.startswith("Step ")]
            if steps and re.match(r"Step \d+/\d+ : FROM ", steps[-1]):
                why = f"{why}. {read_refusal(why).advice}"
            for told in text.splitlines():
                if told.startswith(SPOKEN) and not told.startswith(NOTE):
                    why = told.removeprefix(SPOKEN)
            raise EnvironmentUnavailable(
                f"the image {tag} could not be built: {why}. The end of its log shows the step; commands come "
                "from the recipe's `install` and `apt`, or from the project's Dockerfile.",
                text,
            )
        self._go_on(deadline, "the image build", "".join(log))

    def _go_on(self, deadline: float, what: str, log: str) -> None:
        if self._full is not None:
            raise self._full
        if self.cancelled.is_set():
            raise EnvironmentUnavailable(f"{what} was interrupted", log)
        if time.monotonic() > deadline:
            raise EnvironmentUnavailable(
                f"{what} took more than {self.settings.build_seconds:.0f} s; raise sandbox.build_seconds", log
            )

    def pull(self, name: str) -> None:
        """Pull an image; one named by digest is verified by the engine. A passing refusal is met by further tries;
        another one is remembered for an hour. Raises EnvironmentUnavailable, DiskFull."""
        memory = Memory(self.settings.cache)
        remembered = memory.why(name)
        if remembered:
            raise EnvironmentUnavailable(f"the image {name} cannot be pulled ({remembered}; remembered for an hour)")
        self.store.make_room()
        self.say(f"pulling {name}")
        try:
            self._persist(name, partial(self._pull, name))
        except DiskFull:
            raise
        except SandboxError as error:
            if self.cancelled.is_set():
                raise EnvironmentUnavailable("the pull was interrupted") from error
            refusal = read_refusal(str(error))
            if not refusal.passing:
                memory.note(name, f"{error}. {refusal.advice}")
            raise EnvironmentUnavailable(f"the image {name} cannot be pulled: {error}. {refusal.advice}") from error
        described = self.client.image(name)
        if described is not None:
            self.say(f"pulled {exact_name(described, name)}")

    def _persist(self, name: str, ask: Callable[[], None]) -> None:
        """Ask, and ask again while what stood in the way is a passing thing."""
        wait = FIRST_WAIT_SECONDS
        for tries in range(1, PULL_TRIES):
            try:
                return ask()
            except EnvironmentUnavailable as error:
                # A command that failed is no registry, whatever words it holds.
                passing = read_refusal(str(error)).passing or _LAYER_GONE.search(str(error)) is not None
                passing = passing and _COMMAND_FAILED not in str(error)
                if self.cancelled.is_set() or not passing:
                    raise
                # By chance, so that those who were turned away together do not come back together.
                delay = random.uniform(0.5, 1.0) * wait  # noqa: S311
                self.say(f"{name}: {error}; trying again in {delay:.0f} s (try {tries} of {PULL_TRIES})")
            self.cancelled.wait(delay)
            wait *= 2
        return ask()

    def _pull(self, name: str) -> None:
        repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
        if "@" in name:
            repository, tag = name, None
        deadline = time.monotonic() + self.settings.build_seconds
        try:
            with self._stream(self.settings.pull_seconds) as api, translated("pulling"):
                for event in api.pull(repository, tag=tag, stream=True, decode=True):
                    if "error" in event:
                        _refuse_full(str(event["error"]), f"pulling {name}")
                        raise EnvironmentUnavailable(str(event["error"]))
                    self._go_on(deadline, "the pull", "")
                self._go_on(deadline, "the pull", "")
        except Refused as refused:
            raise EnvironmentUnavailable(str(refused)) from refused
        except SandboxError:
            self._go_on(deadline, "the pull", "")
            raise

    @contextmanager
    def _stream(self, seconds: float) -> Generator[Any, None, None]:
        """The SDK with a connection of its own, whose deadline holds for each piece of a long answer.

        The SDK gives no way to end such an answer early. Its responses are noted as they come, and closed. While one
        is waited for, only its connection can be hung up, by another thread; the engine then ends the build. That
        happens when this one is cancelled, and when the engine's disk falls to its floor.
        """
        client = connect(self.settings.url, seconds, 1)
        answers: list[Any] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_LOOK_SECONDS):
                try:
                    check_floor(self.store.free(), self.store.info.get("DockerRootDir"), self.settings)
                except DiskFull as full:
                    self._full = full
                if self.cancelled.is_set() or self._full is not None:
                    for answer in answers:
                        _hang_up(client.api, answer)
                    return

        def note(answer: Any, *_: Any, **__: Any) -> None:
            answers.append(answer)

        client.api.hooks["response"].append(note)
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield client.api
        finally:
            ended.set()
            thread.join()
            for answer in answers:
                answer.close()
            client.close()


def _refuse_full(why: str, doing: str) -> None:
    if "no space left on device" in why.lower():
        raise DiskFull(f"{doing}: the engine's disk is full. Free some: bestpatch prune, docker system prune")


def _hang_up(api: Any, answer: Any) -> None:
    """Shut the connection of an answer that another thread reads: closing it would not wake that thread."""
    with suppress(Exception):  # an answer that has come to its end has no connection any more
        raw = api._get_raw_response_socket(answer)
        getattr(raw, "_sock", raw).shutdown(socket.SHUT_RDWR)
