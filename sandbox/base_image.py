"""Base images `bestpatch/python:X.Y`: from a registry where one answers, else made on this machine.

Made here means: a minimal Debian (or Ubuntu) of this machine's own release from its package mirror, and a CPython
found on this machine, copied without its site-packages. Binaries fit because both come from the same release.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox.base import digest_of
from sandbox.build_context import Context, context_of
from sandbox.builder import Builder, Say
from sandbox.client import Refused, translated
from sandbox.dockerfile import python_dockerfile
from sandbox.errors import EnvironmentUnavailable
from sandbox.host import apt_mirror, host_network, run_host
from sandbox.inventory import FAMILY
from sandbox.registry import exact_name
from sandbox.scratch import scratch_folder

_NAME = re.compile(r"(?:docker\.io/)?(?:library/)?python:(3\.\d+)(\.\d+)?(-[\w.-]+)?")
_PACKAGES = ("build-essential", "ca-certificates", "git", "patch", "pkg-config", "procps")
_BOOTSTRAP_SECONDS = 900.0
LABELS = {FAMILY: "base"}
ORIGIN = "bestpatch.from"
"""The label of a base image that says what it was made of."""


@dataclass(frozen=True)
class Interpreter:
    """A CPython on this machine. `version` is X.Y."""

    version: str
    prefix: Path


def ensure_base(builder: Builder, name: str) -> str:
    """The name of an image the engine has for this base. Raises EnvironmentUnavailable."""
    match = _NAME.fullmatch(name)
    if match is None:
        return builder.ensure(name, partial(builder.pull, name))
    version = match[1]
    tag = f"bestpatch/python:{version}"
    names = (f"python:{version}-slim", name)
    if match[2] or match[3]:
        names = (name,)
        tag = f"bestpatch/python:{name.rpartition(':')[2]}"
    refusals: list[str] = []
    for pulled in names:
        try:
            return builder.ensure(tag, partial(_from_registry, builder, pulled, tag, version))
        except EnvironmentUnavailable as error:
            if builder.cancelled.is_set():
                raise
            refusals.append(str(error))
    tag = f"bestpatch/python:{version}"
    return builder.ensure(tag, partial(_make_here, builder, tag, version, refusals))


def _from_registry(builder: Builder, pulled: str, tag: str, version: str) -> None:
    if builder.client.image(pulled) is None:
        builder.pull(pulled)
    described = builder.client.image(pulled)
    origin = exact_name(described, pulled) if described is not None else pulled
    network = host_network()

    def fill(context: Context) -> None:
        text = python_dockerfile(pulled, version=version, from_registry=True, arguments=network.arguments)
        context.add("Dockerfile", text.encode())
        context.add("ca.crt", network.ca or b"")

    with context_of(fill) as file:
        builder.build(file, tag, arguments=network.arguments, labels={**LABELS, ORIGIN: origin})


def _make_here(builder: Builder, tag: str, version: str, refusals: list[str]) -> None:
    interpreter = interpreter_of(version, f"no registry gave one ({'; '.join(refusals)}), and ")
    builder.say(f"making {tag} from Python {version} in {interpreter.prefix}")
    packages, loose = libraries(interpreter)
    debian = _debian(builder, packages)

    def fill(context: Context) -> None:
        text = python_dockerfile(debian, version=version, from_registry=False, arguments={})
        context.add("Dockerfile", text.encode())
        context.add("ca.crt", b"")
        add_interpreter(context, "python", interpreter, loose)

    with context_of(fill) as file:
        builder.build(file, tag, arguments={}, labels=LABELS)


def python_version(name: str) -> str | None:
    """X.Y of a base image's name such as `python:3.11-slim`; None for any other name."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def interpreter_of(version: str, why: str = "") -> Interpreter:
    """Raises EnvironmentUnavailable; `why` says what was tried before."""
    interpreters = {found.version: found for found in find_interpreters()}
    if version not in interpreters:
        known = ", ".join(sorted(interpreters, key=lambda text: int(text.split(".")[1]))) or "none"
        raise EnvironmentUnavailable(
            f"no image for Python {version}: {why}this machine has no CPython {version} to make one of (it has: "
            f"{known}). Install it (pyenv install {version}, or uv python install {version}), choose another version, "
            "or name an image."
        )
    return interpreters[version]


def add_interpreter(context: Context, under: str, interpreter: Interpreter, loose: list[Path]) -> None:
    """Put an interpreter, and the libraries that no package owns, into a folder of a build context."""
    for path in interpreter_files(interpreter):
        context.add_file(f"{under}/{path.relative_to(interpreter.prefix)}", path)
    for library in loose:
        context.add(f"{under}/lib/{library.name}", library.read_bytes(), 0o755)


def find_interpreters() -> Iterator[Interpreter]:
    """CPythons of this machine that can be copied: pyenv's, uv's, in /usr/local, and the one that runs us.

    The distribution's own in /usr is left out: its library is spread over packages and lacks pip.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local" / "share" / "uv" / "python")
    places = [*_newest_last(pyenv), *_newest_last(uv), Path("/usr/local"), Path(sys.base_prefix)]
    for place in places:
        for binary in sorted(place.glob("bin/python3.*")):
            match = re.fullmatch(r"python(3\.\d+)", binary.name)
            if match and (place / "lib" / binary.name / "os.py").exists() and place != Path("/usr"):
                yield Interpreter(match[1], place.resolve())


def _newest_last(folder: Path) -> list[Path]:
    def order(path: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", path.name)]

    return sorted((path for path in folder.glob("*") if path.is_dir() and not path.is_symlink()), key=order)


def interpreter_files(interpreter: Interpreter) -> Iterator[Path]:
    """Interpreter, standard library and headers; without tests, caches, static libraries and installed packages."""
    prefix, name = interpreter.prefix, f"python{interpreter.version}"
    yield prefix / "bin" / name
    yield from sorted((prefix / "lib").glob(f"lib{name}*.so*"))
    yield from sorted((prefix / "lib").glob("libpython3.so*"))
    for top in (prefix / "lib" / name, *sorted((prefix / "include").glob(f"{name}*"))):
        for folder, folders, files in os.walk(top):
            here = Path(folder)
            inside = here.relative_to(top).parts
            if inside[:1] == ("site-packages",):
                folders.clear()
                continue
            folders[:] = sorted(
                n for n in folders if n not in ("__pycache__", "test", "tests", "idlelib", "turtledemo")
            )
            yield from (here / file for file in sorted(files) if not file.endswith((".a", ".pyc")))


def libraries(interpreter: Interpreter) -> tuple[list[str], list[Path]]:
    """The packages whose shared libraries it needs, and the libraries that no package owns."""
    binaries = [interpreter.prefix / "bin" / f"python{interpreter.version}"]
    binaries += sorted((interpreter.prefix / "lib" / f"python{interpreter.version}" / "lib-dynload").glob("*.so"))
    code, text = run_host(["ldd", *map(str, binaries)], 60)
    if code == 127:
        raise EnvironmentUnavailable("`ldd` is missing; it tells which libraries the interpreter needs (libc-bin)")
    paths = sorted({Path(path) for path in re.findall(r"=> (/\S+)", text)})
    packages: set[str] = set()
    loose: list[Path] = []
    for path in paths:
        owner = _owner(path)
        if owner is not None:
            packages.add(owner)
        elif not path.name.startswith("libpython3"):
            loose.append(path)
    return sorted(packages), loose


def _owner(path: Path) -> str | None:
    """The Debian package that owns a library; before and after /lib became a link to /usr/lib."""
    spellings = {str(path), str(path.resolve()), str(path.resolve()).removeprefix("/usr"), "/usr" + str(path)}
    for spelling in sorted(spellings):
        code, text = run_host(["dpkg", "-S", spelling], 30, {"LC_ALL": "C"})
        match = re.match(r"([a-z0-9][a-z0-9.+-]*)(?::\S+)?: ", text)
        if code == 0 and match:
            return match[1]
    return None


def debian_release(packages: list[str]) -> tuple[str, str, list[str]]:
    """System and code name of this machine, and all packages of a base image. Raises EnvironmentUnavailable."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    system, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if system not in ("debian", "ubuntu") or not codename:
        raise EnvironmentUnavailable(
            "no registry answers, and base images can be made on Debian or Ubuntu only. Make a registry reachable "
            "(registry mirror or proxy of the Docker engine), or name an image that the engine has."
        )
    return system, codename, sorted({*_PACKAGES, *packages})


def make_debian(system: str, codename: str, wanted: list[str], tar: Path, say: Say) -> None:
    """A minimal system of this machine's own release, as a tar archive. Raises EnvironmentUnavailable."""
    _ensure_mmdebstrap(say)
    say(f"making a minimal {system} {codename} with {len(wanted)} packages (about a minute)")
    mirror = apt_mirror(codename)
    components = "main" if system == "debian" else "main,universe"
    argv = ["mmdebstrap", "--variant=minbase", "--quiet", f"--components={components}"]
    argv += [f"--include={','.join(wanted)}", codename, str(tar), *([mirror] if mirror else [])]
    code, text = run_host(argv, _BOOTSTRAP_SECONDS, {"DEBIAN_FRONTEND": "noninteractive"})
    if code != 0:
        raise EnvironmentUnavailable(
            f"a minimal {system} {codename} could not be made (mmdebstrap ended with {code}). Does "
            f"{mirror or 'the package mirror'} answer?",
            text,
        )


def _debian(builder: Builder, packages: list[str]) -> str:
    system, codename, wanted = debian_release(packages)
    tag = f"{codename}-{digest_of(*wanted)[:12]}"
    name = f"bestpatch/{system}:{tag}"
    return builder.ensure(name, partial(_bootstrap, builder, name, system, codename, wanted))


def _bootstrap(builder: Builder, name: str, system: str, codename: str, wanted: list[str]) -> None:
    with scratch_folder() as folder:
        tar = folder / "root.tar"
        make_debian(system, codename, wanted, tar, builder.say)
        try:
            with translated("importing a base image"):
                builder.client.api.import_image_from_file(
                    str(tar),
                    repository=f"bestpatch/{system}",
                    tag=name.rpartition(":")[2],
                    changes=[f"LABEL {label}={value}" for label, value in LABELS.items()],
                )
        except Refused as refused:
            raise EnvironmentUnavailable(str(refused)) from refused


def _ensure_mmdebstrap(say: Say) -> None:
    if run_host(["mmdebstrap", "--version"], 30)[0] == 0:
        return
    if os.geteuid() != 0:
        raise EnvironmentUnavailable(
            "no registry answers; to make a base image here, mmdebstrap is needed: sudo apt-get install mmdebstrap"
        )
    say("installing mmdebstrap")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "mmdebstrap"]):
        code, text = run_host(argv, 300, env)
        if code != 0:
            raise EnvironmentUnavailable(f"`{' '.join(argv)}` failed; mmdebstrap is needed to make base images", text)
