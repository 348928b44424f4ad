"""From an environment and a snapshot to an unpacked image: a folder that is a root file system, made once and kept.

It holds what an image of Docker holds (`image`), in the same places. All its files belong to the user who runs it, so
what a cell may write is said by path, not by owner.
"""

from __future__ import annotations

import os
import platform
import posixpath
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sandbox import inside
from sandbox.archive import unpack
from sandbox.base import ContainerFile, Environment, ImageName, Recipe, Snapshot, digest_of
from sandbox.base_image import add_interpreter, debian_release, interpreter_of, libraries, make_debian, python_version
from sandbox.build_context import Context
from sandbox.builder import Say
from sandbox.dockerfile import (
    BYTECODE,
    HELPERS,
    PYTHON_ENV,
    REPOSITORY,
    TOOLS,
    USER,
    apt_command,
    env_line,
    python_command,
)
from sandbox.errors import EnvironmentUnavailable
from sandbox.host import CA_PATH, host_network
from sandbox.image import LAYOUT, image_tag
from sandbox.kept import Kept, bytes_below
from sandbox.profile import HOME
from sandbox.rootfs import PATH, Rootfs, content_digest, remove_tree
from sandbox.settings import BubblewrapSettings

_RECIPES_WRITE = (REPOSITORY, HOME, "/tmp", "/var/tmp")  # noqa: S108 - folders of the image
_WRITTEN = ("etc", "opt", "home", "root", "tmp", "var", "run", "dev", "proc", "sys")
"""Where an environment's image differs from its base although nothing was installed."""
_APT_CONFIG = f"{HELPERS}/apt.conf"
_ACCOUNT = (
    "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]); import prepare; "
    "print(*prepare.account(sys.argv[2]))"
)


class Record(BaseModel):
    """What is known of an unpacked image; stored beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Digest of its content."""
    user: str = "0:0"
    """As in a Dockerfile; `uid` and `gid` are what it means in this image."""
    repository: str = REPOSITORY
    uid: int = 0
    gid: int = 0
    env: dict[str, str] = {}
    writable: tuple[str, ...] = ()
    """The folders in it that cells may write."""
    shared: tuple[str, ...] = ()
    """The folders whose files are one with the base's; no leading slash."""


class Unpacked(Record):
    """An unpacked image on this machine."""

    root: Path

    @property
    def path(self) -> str:
        """PATH inside."""
        return self.env.get("PATH", PATH)


class Unpacker:
    """Makes unpacked images. Blocks; raises EnvironmentUnavailable."""

    def __init__(
        self, folder: Path, saved: Path, settings: BubblewrapSettings, say: Say, cancelled: threading.Event
    ) -> None:
        """`saved`: where images are found by name. The name may be a stranger's, so it is never a path."""
        self._saved = saved
        self.kept = Kept(folder, cancelled)
        """What was prepared here is in use until it is released."""
        self._settings = settings
        self._say = say
        self._cancelled = cancelled

    def prepare(self, environment: Environment, snapshot: Snapshot | None) -> Unpacked:
        """Find or make the image of an environment."""
        if isinstance(environment, ContainerFile):
            raise EnvironmentUnavailable(
                f"{environment.dockerfile} can only be built by a Docker engine. Build it where there is one, save it "
                f"to {self._saved} (docker save -o NAME.tar NAME), and set environment.image to NAME; or give a recipe "
                "(environment.python, .apt, .install)."
            )
        if snapshot is None and not isinstance(environment, ImageName):
            raise EnvironmentUnavailable("a recipe needs the repository's snapshot")
        base = self._base(environment.base if isinstance(environment, Recipe) else environment.image)
        name = image_tag(environment, snapshot, base.id).replace("bestpatch/env:", "env-")
        return self._once(name, lambda part: self._environment(part, environment, snapshot, base), base)

    def _once(self, name: str, make: Callable[[Path], Record], base: Unpacked | None = None) -> Unpacked:
        """`base`: the image whose copy is made into this one."""
        shared: list[str] = []

        def made(part: Path) -> None:
            for gone in self.kept.trim(self._settings.image_disk_bytes):
                self._say(f"removed the unpacked image {gone}: images take more than sandbox.image_disk_bytes")
            record = make(part)
            shared[:] = record.shared
            digest = content_digest(part / "root", (base.root, base.id) if base else None, shared)
            whole = record.model_copy(update={"id": digest})
            (part / "image.json").write_text(whole.model_dump_json(indent=1), "utf-8")

        def size(part: Path) -> int:
            return bytes_below(part, {str(part / "root" / path) for path in shared})

        folder = self.kept.once(name, made, size)
        record = Record.model_validate_json((folder / "image.json").read_text("utf-8"))
        return Unpacked(root=folder / "root", **record.model_dump())

    def _rootfs(self, part: Path) -> Rootfs:
        return Rootfs(part / "root", self._settings.build_seconds, self._say, self._cancelled)

    # base images

    def _base(self, name: str) -> Unpacked:
        plain = re.sub(r"[^\w.-]", "_", name)
        for path in (self._saved / plain, self._saved / f"{plain}.tar", self._saved / f"{plain}.tar.gz"):
            if path.exists() and plain not in (".", ".."):
                return self._given(path)
        version = python_version(name)
        if version is None:
            raise EnvironmentUnavailable(
                f"without a Docker engine the image {name} cannot be pulled, and {self._saved} does not hold it. Where "
                f"there is an engine: docker save -o {plain}.tar {name}; put that file there. A folder {plain} that "
                "holds a root file system will do as well."
            )
        interpreter = interpreter_of(version)
        binary = interpreter.prefix / "bin" / f"python{version}"
        key = digest_of(LAYOUT, str(binary), str(binary.stat().st_mtime_ns))[:12]

        def make(part: Path) -> Record:
            packages, loose = libraries(interpreter)
            debian = self._debian(*debian_release(packages))
            self._say(f"making a base image from Python {version} in {interpreter.prefix}")
            rootfs = self._rootfs(part)
            rootfs.copy(debian.root)
            rootfs.fill(lambda context: add_interpreter(context, "usr/local", interpreter, loose))
            rootfs.run(python_command(version), env=PYTHON_ENV)
            rootfs.run(BYTECODE, env=PYTHON_ENV, what="compiling the standard library")
            return Record(id="", env=PYTHON_ENV)

        return self._once(f"python-{version}-{key}", make)

    def _debian(self, system: str, codename: str, wanted: list[str]) -> Unpacked:
        def make(part: Path) -> Record:
            rootfs = self._rootfs(part)
            with tempfile.TemporaryDirectory(prefix="bestpatch-") as folder:
                tar = Path(folder) / "root.tar"
                make_debian(system, codename, wanted, tar, self._say)
                with tar.open("rb") as file:
                    rootfs.unpack(file)
            return Record(id="")

        return self._once(f"{system}-{codename}-{digest_of(LAYOUT, *wanted)[:12]}", make)

    def _given(self, path: Path) -> Unpacked:
        """A folder or archive of the user's. It is taken anew when it has another time or size."""
        status = path.stat()
        key = digest_of(LAYOUT, str(path.resolve()), str(status.st_mtime_ns), str(status.st_size))[:24]

        def make(part: Path) -> Record:
            self._say(f"unpacking {path}")
            rootfs = self._rootfs(part)
            saved = unpack(path, platform.machine(), rootfs)
            try:
                rootfs.run(BYTECODE, env=saved.env, what="compiling the standard library")
            except EnvironmentUnavailable:  # no shell: what is missing is told when the environment is made
                if self._cancelled.is_set():
                    raise
            return Record(id="", user=saved.user or "0:0", env=saved.env)

        return self._once(f"given-{key}", make)

    # the environment's own image

    def _environment(
        self, part: Path, environment: Recipe | ImageName, snapshot: Snapshot | None, base: Unpacked
    ) -> Record:
        self._say("making the environment's image")
        if isinstance(environment, ImageName):
            # Nothing is installed: most of the base is only read, and copying it would take most of the time.
            try:
                return self._made(part, environment, snapshot, base, _only_read(base.root, environment.repository))
            except EnvironmentUnavailable:
                if self._cancelled.is_set():
                    raise
                remove_tree(part / "root")
        return self._made(part, environment, snapshot, base, ())

    def _made(
        self,
        part: Path,
        environment: Recipe | ImageName,
        snapshot: Snapshot | None,
        base: Unpacked,
        shared: Sequence[str],
    ) -> Record:
        """`shared`: folders of the base whose files stay one with it; see `Rootfs.copy`."""
        network = host_network()
        rootfs = self._rootfs(part)
        rootfs.copy(base.root, shared)
        recipe = environment if isinstance(environment, Recipe) else Recipe()
        repository = environment.repository if isinstance(environment, ImageName) else REPOSITORY
        user = USER if isinstance(environment, Recipe) else base.user
        for name, value in recipe.env:
            env_line(name, value)  # the same variables are taken as with Docker
        env = {**base.env, **dict(recipe.env)}
        build = {**network.arguments, "APT_CONFIG": _APT_CONFIG, **env}

        def fill(context: Context) -> None:
            context.add(CA_PATH.lstrip("/"), network.ca or b"")
            context.add(_APT_CONFIG.lstrip("/"), b'APT::Sandbox::User "root";\n')
            context.add("etc/resolv.conf", _resolver())
            context.add(f"{HELPERS}/prepare.py".lstrip("/"), inside.source("prepare.py"), 0o755)
            if snapshot is not None:
                paths = context.add_snapshot(snapshot.tar, repository.strip("/"))
                listed = "".join(path + "\0" for path in paths)
                context.add(f"{HELPERS}/paths".lstrip("/"), listed.encode("utf-8", "surrogateescape"))

        rootfs.fill(fill)
        if recipe.apt:
            rootfs.run(apt_command(recipe.apt), env=build, what=f"apt-get install {' '.join(recipe.apt)}")
        rootfs.run(TOOLS, env=build, what="looking for git, patch and python3")
        for command in recipe.shared:
            rootfs.run(command, env=build)
        prepare = f'python3 {HELPERS}/prepare.py "$0" "$1" "$2"'
        rootfs.run(prepare, "begin", repository, user, env=build, what="preparing the repository")
        for command in recipe.install:
            rootfs.run(command, env=build, cwd=repository)
        rootfs.run(prepare, "finish", repository, user, env=build, what="finishing the repository")
        account = rootfs.run('python3 -c "$0" "$1" "$2"', _ACCOUNT, HELPERS, user, env=build, what="whose it is")
        uid, gid = (int(number) for number in account.split()[-2:])
        writable = _RECIPES_WRITE if isinstance(environment, Recipe) else _all_but_helpers(rootfs.folder)
        return Record(
            id="",
            repository=posixpath.normpath(repository),
            uid=uid,
            gid=gid,
            env=env,
            writable=writable,
            shared=tuple(shared),
        )


def _only_read(root: Path, repository: str) -> tuple[str, ...]:
    """Folders of an image that making an environment's image of it, without installing anything, does not write."""
    written = {*_WRITTEN, repository.strip("/").split("/")[0]}
    tops = [entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    found = [name for name in tops if name not in written]
    if "opt" in tops and not repository.startswith("/opt/"):
        below = [entry.name for entry in os.scandir(root / "opt") if entry.is_dir(follow_symlinks=False)]
        found += [f"opt/{name}" for name in below if f"/opt/{name}" != HELPERS]
    return tuple(sorted(found))


def _all_but_helpers(root: Path) -> tuple[str, ...]:
    """All folders of an image of strangers, in which any user may be meant to write anywhere; never what is ours."""
    above, ours = os.path.split(HELPERS)
    tops = [f"/{entry.name}" for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    below = [f"{above}/{entry.name}" for entry in os.scandir(root / above.strip("/")) if entry.name != ours]
    return tuple(sorted({*tops, *below} - {above}))


def _resolver() -> bytes:
    """Which name servers the builds of this machine ask; executions have no network."""
    try:
        return Path("/etc/resolv.conf").read_bytes()
    except OSError:
        return b""
