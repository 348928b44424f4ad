"""Builds and pulls images through the engine's classic interface, with deadlines and the log's tail kept."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from platformdirs import user_cache_path

from sandbox.client import Client, Refused, connect, translated
from sandbox.errors import EnvironmentUnavailable, SandboxError
from sandbox.settings import DockerSettings

Say = Callable[[str], None]

_NEGATIVE_SECONDS = 3600.0
_LOG_LINES = 200
_LOOK_SECONDS = 0.5


class Builder:
    """One image build or pull at a time; blocks. `cancelled` ends it, also in the middle of a silent step."""

    def __init__(self, client: Client, settings: DockerSettings, say: Say, cancelled: threading.Event) -> None:
        self.client = client
        self.settings = settings
        self.say = say
        self.cancelled = cancelled

    def build(self, context: IO[bytes], tag: str, *, arguments: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Build the context's `Dockerfile`. Raises EnvironmentUnavailable with the log's tail."""
        context.seek(0)
        log: deque[str] = deque(maxlen=_LOG_LINES)
        deadline = time.monotonic() + self.settings.build_seconds
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
                    labels=dict(labels),
                    timeout=self.settings.build_seconds,
                )
                for event in events:
                    self._event(event, log, deadline, tag)
                self._go_on(
                    deadline, "the image build", "".join(log)
                )  # an answer that was cut short ends like a whole one
        except Refused as refused:
            raise EnvironmentUnavailable(str(refused), "".join(log)) from refused

    def _event(self, event: Mapping[str, Any], log: deque[str], deadline: float, tag: str) -> None:
        line = str(event.get("stream") or event.get("status") or "")
        if line:
            log.append(line if line.endswith("\n") else line + "\n")
            if line.startswith("Step "):
                self.say(line.strip()[:200])
        if "error" in event:
            text = "".join(log)
            why = str(event["error"])
            for told in text.splitlines():
                if told.startswith("bestpatch: "):
                    why = told.removeprefix("bestpatch: ")
            raise EnvironmentUnavailable(
                f"the image {tag} could not be built: {why}. The end of its log shows the step; commands come "
                "from the recipe's `install` and `apt`, or from the project's Dockerfile.",
                text,
            )
        self._go_on(deadline, "the image build", "".join(log))

    def _go_on(self, deadline: float, what: str, log: str) -> None:
        if self.cancelled.is_set():
            raise EnvironmentUnavailable(f"{what} was interrupted", log)
        if time.monotonic() > deadline:
            raise EnvironmentUnavailable(
                f"{what} took more than {self.settings.build_seconds:.0f} s; raise sandbox.build_seconds", log
            )

    def pull(self, name: str) -> None:
        """Pull an image. An answer that there is none, or no registry, is remembered for an hour."""
        remembered = _negative_answer(name)
        if remembered:
            raise EnvironmentUnavailable(f"the image {name} cannot be pulled ({remembered}; remembered for an hour)")
        self.say(f"pulling {name}")
        try:
            self._pull(name)
        except (EnvironmentUnavailable, Refused, SandboxError) as error:
            if self.cancelled.is_set():
                raise EnvironmentUnavailable("the pull was interrupted") from error
            _remember(name, str(error))
            raise EnvironmentUnavailable(f"the image {name} cannot be pulled: {error}") from error

    def _pull(self, name: str) -> None:
        repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
        if "@" in name:
            repository, tag = name, None
        deadline = time.monotonic() + self.settings.build_seconds
        with self._stream(self.settings.pull_seconds) as api, translated("pulling"):
            for event in api.pull(repository, tag=tag, stream=True, decode=True):
                if "error" in event:
                    raise EnvironmentUnavailable(str(event["error"]))
                self._go_on(deadline, "the pull", "")

    @contextmanager
    def _stream(self, seconds: float) -> Generator[Any, None, None]:
        """The SDK with a connection of its own, whose deadline holds for each piece of a long answer.

        The SDK gives no way to end such an answer early. Its responses are noted as they come, and closed. While one
        is waited for, only its connection can be hung up, by another thread; the engine then ends the build.
        """
        client = connect(self.settings.url, seconds, 1)
        answers: list[Any] = []
        ended = threading.Event()

        def hang_up_when_cancelled() -> None:
            while not ended.wait(_LOOK_SECONDS):
                if self.cancelled.is_set():
                    for answer in answers:
                        _hang_up(client.api, answer)
                    return

        def note(answer: Any, *_: Any, **__: Any) -> None:
            answers.append(answer)

        client.api.hooks["response"].append(note)
        watch = threading.Thread(target=hang_up_when_cancelled, daemon=True)
        watch.start()
        try:
            yield client.api
        finally:
            ended.set()
            watch.join()
            for answer in answers:
                answer.close()
            client.close()


def _hang_up(api: Any, answer: Any) -> None:
    """Shut the connection of an answer that another thread reads: closing it would not wake that thread."""
    with suppress(Exception):  # an answer that has come to its end has no connection any more
        raw = api._get_raw_response_socket(answer)
        getattr(raw, "_sock", raw).shutdown(socket.SHUT_RDWR)


def _cache() -> Path:
    return user_cache_path("bestpatch") / "registry.json"


def _negative_answer(name: str) -> str | None:
    try:
        known = json.loads(_cache().read_text("utf-8"))
        when, why = known[name]
        return str(why) if 0 <= time.time() - float(when) < _NEGATIVE_SECONDS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(name: str, why: str) -> None:
    path = _cache()
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**known, name: [time.time(), why[:300]]}), "utf-8")
    except OSError:
        return  # a home that cannot be written to costs a second try, no more


class Context:
    """A build context as a tar archive in a temporary file."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, path: str, data: bytes, mode: int = 0o644) -> None:
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(data), mode
        self._tar.addfile(member, io.BytesIO(data))

    def add_file(self, path: str, source: Path) -> None:
        """A file, link or folder of this machine, without its owner."""
        member = self._tar.gettarinfo(str(source), path)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        if member.isreg():
            with source.open("rb") as file:
                self._tar.addfile(member, file)
        elif member.isdir() or member.issym():
            self._tar.addfile(member)

    def add_snapshot(self, archive: Path, under: str) -> list[str]:
        """The members of a snapshot's archive; gives the paths of its files and links."""
        paths: list[str] = []
        with tarfile.open(archive) as snapshot:
            for member in snapshot:
                name = member.name.removeprefix("./").rstrip("/")
                if name in ("", ".", "pax_global_header"):
                    continue
                parts = name.split("/")
                if name.startswith("/") or ".." in parts or ".git" in parts:
                    raise EnvironmentUnavailable(f"the snapshot holds a path that does not belong in it: {name!r}")
                data = snapshot.extractfile(member) if member.isreg() or member.islnk() else None
                member = member.replace(name=f"{under}/{name}", uid=0, gid=0, uname="", gname="", deep=False)
                # Long and non-ASCII names come in extended headers, which would outrank the name just given.
                member.pax_headers = {}
                if data is not None:
                    member.type = tarfile.REGTYPE
                    data.seek(0, io.SEEK_END)
                    member.size = data.tell()
                    data.seek(0)
                elif not (member.isdir() or member.issym()):
                    continue
                self._tar.addfile(member, data)
                if not member.isdir():
                    paths.append(name)
        return paths


@contextmanager
def context_of(fill: Callable[[Context], None]) -> Generator[IO[bytes], None, None]:
    """The file of a context that `fill` has filled; gone afterwards."""
    with tempfile.TemporaryFile(prefix="bestpatch-") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            fill(Context(tar))
        file.seek(0)
        yield file
