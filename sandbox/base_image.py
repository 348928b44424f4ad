"""Base images `bestpatch/python:X.Y`: from a registry where one answers, else made on this machine.

Made here means: a minimal Debian (or Ubuntu) of this machine's own release from its package mirror, and a CPython
found on this machine, copied without its site-packages. Binaries fit because both come from the same release.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import digest_of
from sandbox.builder import Builder, Context, context_of
from sandbox.client import Refused, translated
from sandbox.dockerfile import python_dockerfile
from sandbox.errors import EnvironmentUnavailable
from sandbox.host import apt_mirror, host_network, run_host

_NAME = re.compile(r"(?:docker\.io/)?(?:library/)?python:(3\.\d+)(\.\d+)?(-[\w.-]+)?")
_PACKAGES = ("build-essential", "ca-certificates", "git", "patch", "pkg-config", "procps")
_BOOTSTRAP_SECONDS = 900.0
LABELS = {"bestpatch": "base"}


@dataclass(frozen=True)
class Interpreter:
    """A CPython on this machine. `version` is X.Y."""

    version: str
    prefix: Path


def ensure_base(builder: Builder, name: str) -> str:
    """The name of an image the engine has for this base. Raises EnvironmentUnavailable."""
    match = _NAME.fullmatch(name)
    if match is None:
        if builder.client.image(name) is None:
            builder.pull(name)
        return name
    version = match[1]
    tag = f"bestpatch/python:{version}"
    if not match[2] and not match[3]:
        if builder.client.image(tag) is not None:
            return tag
        names = (f"python:{version}-slim", name)
    else:
        names = (name,)
        tag = f"bestpatch/python:{name.rpartition(':')[2]}"
        if builder.client.image(tag) is not None:
            return tag
    refusals: list[str] = []
    for pulled in names:
        try:
            if builder.client.image(pulled) is None:
                builder.pull(pulled)
            return _from_registry(builder, pulled, tag, version)
        except EnvironmentUnavailable as error:
            if builder.cancelled.is_set():
                raise
            refusals.append(str(error))
    return _made_here(builder, version, refusals)


def _from_registry(builder: Builder, pulled: str, tag: str, version: str) -> str:
    network = host_network()

    def fill(context: Context) -> None:
        text = python_dockerfile(pulled, version=version, from_registry=True, arguments=network.arguments)
        context.add("Dockerfile", text.encode())
        context.add("ca.crt", network.ca or b"")

    with context_of(fill) as file:
        builder.build(file, tag, arguments=network.arguments, labels=LABELS)
    return tag


def _made_here(builder: Builder, version: str, refusals: list[str]) -> str:
    tag = f"bestpatch/python:{version}"
    if builder.client.image(tag) is not None:
        return tag
    interpreters = {found.version: found for found in find_interpreters()}
    if version not in interpreters:
        known = ", ".join(sorted(interpreters, key=lambda text: int(text.split(".")[1]))) or "none"
        raise EnvironmentUnavailable(
            f"no image for Python {version}: no registry gave one ({'; '.join(refusals)}), and this machine has no "
            f"CPython {version} to make one of (it has: {known}). Install it (pyenv install {version}, or "
            f"uv python install {version}), choose another version, or name an image."
        )
    interpreter = interpreters[version]
    builder.say(f"making {tag} from Python {version} in {interpreter.prefix}")
    packages, loose = libraries(interpreter)
    debian = _debian(builder, packages)

    def fill(context: Context) -> None:
        text = python_dockerfile(debian, version=version, from_registry=False, arguments={})
        context.add("Dockerfile", text.encode())
        context.add("ca.crt", b"")
        for path in interpreter_files(interpreter):
            context.add_file(f"python/{path.relative_to(interpreter.prefix)}", path)
        for library in loose:
            context.add(f"python/lib/{library.name}", library.read_bytes(), 0o755)

    with context_of(fill) as file:
        builder.build(file, tag, arguments={}, labels=LABELS)
    return tag


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


def _debian(builder: Builder, packages: list[str]) -> str:
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    system, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if system not in ("debian", "ubuntu") or not codename:
        raise EnvironmentUnavailable(
            "no registry answers, and base images can be made on Debian or Ubuntu only. Make a registry reachable "
            "(registry mirror or proxy of the Docker engine), or name an image that the engine has."
        )
    wanted = sorted({*_PACKAGES, *packages})
    tag = f"{codename}-{digest_of(*wanted)[:12]}"
    name = f"bestpatch/{system}:{tag}"
    if builder.client.image(name) is not None:
        return name
    _ensure_mmdebstrap(builder)
    builder.say(f"making a minimal {system} {codename} with {len(wanted)} packages (about a minute)")
    mirror = apt_mirror(codename)
    components = "main" if system == "debian" else "main,universe"
    with tempfile.TemporaryDirectory(prefix="bestpatch-") as folder:
        tar = Path(folder) / "root.tar"
        argv = ["mmdebstrap", "--variant=minbase", "--quiet", f"--components={components}"]
        argv += [f"--include={','.join(wanted)}", codename, str(tar), *([mirror] if mirror else [])]
        code, text = run_host(argv, _BOOTSTRAP_SECONDS, {"DEBIAN_FRONTEND": "noninteractive"})
        if code != 0:
            raise EnvironmentUnavailable(
                f"a minimal {system} {codename} could not be made (mmdebstrap ended with {code}). Does "
                f"{mirror or 'the package mirror'} answer?",
                text,
            )
        try:
            with translated("importing a base image"):
                builder.client.api.import_image_from_file(str(tar), repository=f"bestpatch/{system}", tag=tag)
        except Refused as refused:
            raise EnvironmentUnavailable(str(refused)) from refused
    return name


def _ensure_mmdebstrap(builder: Builder) -> None:
    if run_host(["mmdebstrap", "--version"], 30)[0] == 0:
        return
    if os.geteuid() != 0:
        raise EnvironmentUnavailable(
            "no registry answers; to make a base image here, mmdebstrap is needed: sudo apt-get install mmdebstrap"
        )
    builder.say("installing mmdebstrap")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "mmdebstrap"]):
        code, text = run_host(argv, 300, env)
        if code != 0:
            raise EnvironmentUnavailable(f"`{' '.join(argv)}` failed; mmdebstrap is needed to make base images", text)
