"""From an environment and a snapshot to an image that sandboxes are made of, named by its content and cached.

Every such image holds the repository with one commit and no history, the helper programs in /opt/bestpatch, and
the objects of that commit in a store that only root can write.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import docker.utils.build

from sandbox import inside
from sandbox.base import ContainerFile, Environment, ImageName, Recipe, Snapshot, digest_of
from sandbox.base_image import ORIGIN, ensure_base
from sandbox.build_context import Context, context_of
from sandbox.builder import Builder
from sandbox.dockerfile import REPOSITORY, USER, environment_dockerfile, with_host_network
from sandbox.errors import EnvironmentUnavailable
from sandbox.host import HostNetwork, host_network
from sandbox.inventory import FAMILY
from sandbox.registry import exact_name
from sandbox.scratch import scratch_folder

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAYOUT = "3"
"""Changes when images of an older bestpatch must not be used any more."""


@dataclass(frozen=True)
class Image:
    """An image of ours. `id` is the engine's content digest; `user` as in a Dockerfile."""

    name: str
    id: str
    repository: str
    user: str
    env: Mapping[str, str]
    """The image's own environment variables, PATH among them."""
    made_of: str
    """The base image by its registry's digest (`NAME@sha256:...`), or the name with the engine's own id of it."""
    used: ExitStack = field(repr=False, compare=False)
    """Holds on it and what it stands on: nobody removes them before this is closed."""


def prepare_image(builder: Builder, environment: Environment, snapshot: Snapshot | None) -> Image:
    """Find or build the image, and hold it. Raises EnvironmentUnavailable, DiskFull, SandboxLost, SandboxTimeout."""
    with ExitStack() as undone:
        undone.callback(builder.used.close)
        image = _prepare(builder, environment, snapshot)
        undone.pop_all()
    return image


def _prepare(builder: Builder, environment: Environment, snapshot: Snapshot | None) -> Image:
    if snapshot is None and not isinstance(environment, ImageName):
        raise EnvironmentUnavailable("a recipe or Dockerfile needs the repository's snapshot")
    network = host_network()
    if network.secret:
        builder.say("note: the package index' address holds a password; the image's history will show it")
    if isinstance(environment, Recipe):
        base, repository, user = ensure_base(builder, environment.base), REPOSITORY, USER
    elif isinstance(environment, ImageName):
        base, repository = environment.image, environment.repository
        builder.ensure(base, partial(builder.pull, base))
        user = _user(_described(builder, base))
    else:
        assert snapshot is not None  # noqa: S101 - for the type checker; refused above
        base = _project_image(builder, environment, snapshot, network)
        described = _described(builder, base)
        workdir = str(described["Config"].get("WorkingDir") or "/")
        # Where the project's Dockerfile works is where it has put and installed the project.
        repository, user = (REPOSITORY if workdir == "/" else workdir), _user(described)
    return _environment_image(builder, environment, snapshot, base, repository, user, network)


def image_tag(environment: Environment, snapshot: Snapshot | None, base_id: str) -> str:
    """Equal content, equal tag: the environment, the tree, the base image and the program that prepares it decide."""
    tree = snapshot.digest if snapshot is not None else ""
    return (
        "bestpatch/env:"
        + digest_of(LAYOUT, repr(environment), tree, base_id, inside.source("prepare.py").decode())[:24]
    )


def _environment_image(
    builder: Builder,
    environment: Environment,
    snapshot: Snapshot | None,
    base: str,
    repository: str,
    user: str,
    network: HostNetwork,
) -> Image:
    below = _described(builder, base)
    tag = image_tag(environment, snapshot, str(below["Id"]))

    def make() -> None:
        builder.say(f"building the environment's image {tag}")
        recipe = environment if isinstance(environment, Recipe) else Recipe()
        install = () if isinstance(environment, ImageName) else environment.install
        text = environment_dockerfile(
            base,
            arguments=network.arguments,
            user=user,
            repository=repository,
            copy_repository=snapshot is not None,
            apt=recipe.apt,
            shared=recipe.shared,
            install=install,
            env=recipe.env,
        )

        def fill(context: Context) -> None:
            context.add("Dockerfile", text.encode("utf-8", "surrogateescape"))
            context.add("bestpatch/ca.crt", network.ca or b"")
            context.add("bestpatch/prepare.py", inside.source("prepare.py"), 0o755)
            if snapshot is not None:
                paths = context.add_snapshot(snapshot.tar, "repository")
                listed = "".join(path + "\0" for path in paths)
                context.add("bestpatch/paths", listed.encode("utf-8", "surrogateescape"))

        with _Readable(snapshot), context_of(fill) as file, _other_machine(builder, base, below):
            builder.build(file, tag, arguments=network.arguments, labels={FAMILY: "env"})

    described = _described(builder, builder.ensure(tag, make))
    labels: Mapping[str, str] = below["Config"].get("Labels") or {}
    origin = labels.get(ORIGIN) if base.startswith(f"{FAMILY}/") else None
    return Image(
        tag,
        str(described["Id"]),
        posixpath.normpath(repository),
        user,
        _env(described),
        origin or exact_name(below, base),
        builder.used,
    )


@contextmanager
def _other_machine(builder: Builder, base: str, described: Mapping[str, Any]) -> Generator[None]:
    """A build that fails on an image for another kind of machine says so: its own words are of formats and shells."""
    try:
        yield
    except EnvironmentUnavailable as error:
        theirs, ours = str(described.get("Architecture")), builder.client.architecture()
        if theirs == ours:
            raise
        raise EnvironmentUnavailable(
            f"the image {base} is made for {theirs}, and this engine runs {ours}. Name an image for {ours}, or let "
            f"the engine run others' programs (qemu-user-static). {error}",
            error.log,
        ) from error


def _project_image(builder: Builder, environment: ContainerFile, snapshot: Snapshot, network: HostNetwork) -> str:
    """Build the project's own Dockerfile from the snapshot's files."""
    tag = "bestpatch/project:" + digest_of(LAYOUT, environment.dockerfile, environment.context, snapshot.digest)[:24]
    return builder.ensure(tag, partial(_make_project_image, builder, tag, environment, snapshot, network))


def _make_project_image(
    builder: Builder, tag: str, environment: ContainerFile, snapshot: Snapshot, network: HostNetwork
) -> None:
    builder.say(f"building the project's image from {environment.dockerfile}")
    with _Readable(snapshot), scratch_folder() as folder:
        with tarfile.open(snapshot.tar) as tar:
            tar.extractall(folder, filter="tar")
        root = folder / environment.context
        try:
            text = (folder / environment.dockerfile).read_text("utf-8")
            ignored = root / ".dockerignore"
            patterns = ignored.read_text("utf-8").splitlines() if ignored.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentUnavailable(
                f"{environment.dockerfile} cannot be read in the repository: {error}"
            ) from error
        kept: set[str] = docker.utils.build.exclude_paths(str(root), [line for line in patterns if line.strip()])

        def fill(context: Context) -> None:
            for path in sorted(kept):
                if path not in ("Dockerfile", ""):
                    context.add_file(path, root / path)
            context.add("Dockerfile", with_host_network(text, network.arguments).encode())
            context.add(".bestpatch/ca.crt", network.ca or b"")

        with context_of(fill) as file:
            builder.build(file, tag, arguments=network.arguments, labels={FAMILY: "project"})


class _Readable:
    """Turns an unreadable snapshot into EnvironmentUnavailable."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.snapshot is not None and isinstance(error, tarfile.TarError | FileNotFoundError):
            raise EnvironmentUnavailable(f"the snapshot {self.snapshot.tar} cannot be read: {error}") from error


def _described(builder: Builder, name: str) -> Mapping[str, Any]:
    described = builder.client.image(name)
    if described is None:
        raise EnvironmentUnavailable(f"the image {name} has vanished from the engine; try again")
    return described


def _user(described: Mapping[str, Any]) -> str:
    return str(described["Config"].get("User") or "0:0")


def _env(described: Mapping[str, Any]) -> Mapping[str, str]:
    entries: list[str] = described["Config"].get("Env") or []
    parted = [entry.partition("=") for entry in entries]
    found = {name: value for name, _, value in parted}
    return {"PATH": _PATH, **found}
