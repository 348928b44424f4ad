"""The texts that images are built from. Pure functions; every value from outside is quoted or checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from sandbox.errors import EnvironmentUnavailable
from sandbox.host import CA_PATH
from sandbox.inventory import BUILDING

HELPERS = "/opt/bestpatch"
REPOSITORY = "/testbed"
USER = "10001:10001"

# Proxies need no ARG line: the engine knows them and keeps them out of the image's history.
_PREDEFINED = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]*(?::[a-z0-9-]+)?(?:=[A-Za-z0-9.+:~-]+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEFTOVER = f"LABEL {BUILDING}=1"  # the build's end takes it back: what still has it was left behind

_APT = (
    "export DEBIAN_FRONTEND=noninteractive; ca=''; "
    f"if [ -s {CA_PATH} ]; then ca='-o Acquire::https::CAInfo={CA_PATH}'; fi; "
    "apt-get $ca update; apt-get $ca install -y --no-install-recommends {packages}; rm -rf /var/lib/apt/lists/*"
)

TOOLS = (
    'missing=""; for tool in git patch python3; do command -v $tool >/dev/null 2>&1 || missing="$missing $tool"; done; '
    'if [ -z "$missing" ]; then exit 0; fi; '
    "if command -v apt-get >/dev/null 2>&1; then (" + _APT.replace("{packages}", "$missing") + ") || true; "
    "elif command -v apk >/dev/null 2>&1; then apk add --no-cache $missing || true; fi; "
    "for tool in $missing; do command -v $tool >/dev/null 2>&1 || { "
    'echo "bestpatch: the image has no $tool and it could not be installed; add $tool to the image" >&2; '
    "exit 3; }; done"
)

_COMPILE = """\
import compileall, os, re
left_out = re.compile("/(dist-packages|idlelib|lib2to3|site-packages|test|tests|turtledemo)/")
compileall.compile_dir(os.path.dirname(os.__file__), rx=left_out, quiet=2, workers=0)
"""
BYTECODE = f"for python in python3 python; do $python -I -c '{_COMPILE}' || true; done"
"""Docker's own images of Python have no bytecode of the standard library: every script would compile what it imports.
What there is already is left as it is."""


def run_line(command: str) -> str:
    """A RUN instruction in its JSON form, which takes line breaks and quotes as they are."""
    return "RUN " + json.dumps(["/bin/sh", "-ec", command])


def apt_command(packages: Sequence[str]) -> str:
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise EnvironmentUnavailable(f"not the name of a Debian package: {package!r}")
    return _APT.format(packages=" ".join(packages))


def argument_lines(arguments: Mapping[str, str]) -> list[str]:
    return [f"ARG {name}" for name in arguments if name.lower() not in _PREDEFINED]


def env_line(name: str, value: str) -> str:
    if not _VARIABLE.fullmatch(name) or "\n" in value:
        raise EnvironmentUnavailable(f"not an environment variable for an image: {name!r}")
    # In double quotes a Dockerfile still reads backslash, quote and dollar.
    quoted = re.sub(r'([\\"$])', r"\\\1", value)
    return f'ENV {name}="{quoted}"'


def environment_dockerfile(
    base: str,
    *,
    arguments: Mapping[str, str],
    user: str,
    repository: str = REPOSITORY,
    copy_repository: bool,
    apt: Sequence[str] = (),
    shared: Sequence[str] = (),
    install: Sequence[str] = (),
    env: Sequence[tuple[str, str]] = (),
) -> str:
    """From a base image to one that sandboxes can be made of. The context holds `bestpatch/` and `repository/`."""
    prepare = f"python3 {HELPERS}/prepare.py"
    place = json.dumps(["repository/", repository.rstrip("/") + "/"])
    owner = user if re.fullmatch(r"\d+(:\d+)?", user) else "0:0"
    lines = [
        f"FROM {base}",
        _LEFTOVER,
        "USER 0:0",
        *argument_lines(arguments),
        # Alone, so that a new repository or helper does not have the packages installed again.
        f"COPY bestpatch/ca.crt {CA_PATH}",
        *([run_line(apt_command(apt))] if apt else []),
        run_line(TOOLS),
        run_line(BYTECODE),
        *(env_line(name, value) for name, value in env),
        *(run_line(command) for command in shared),
        f"COPY bestpatch/ {HELPERS}/",
        *([f"COPY --chown={owner} {place}"] if copy_repository else []),
        "RUN " + json.dumps(["/bin/sh", "-ec", f'{prepare} begin "$0" "$1"', repository, user]),
        f"WORKDIR {repository}",
        *(run_line(command) for command in install),
        "RUN " + json.dumps(["/bin/sh", "-ec", f'{prepare} finish "$0" "$1"', repository, user]),
        f"USER {user}",
        "",
    ]
    return "\n".join(lines)


def with_host_network(dockerfile: str, arguments: Mapping[str, str]) -> str:
    """A project's own Dockerfile, told about the machine's network after each FROM.

    Build arguments are only seen by the stage that declares them, and a CA bundle has to be copied in.
    """
    extra = [_LEFTOVER, *argument_lines(arguments), f"COPY .bestpatch/ca.crt {CA_PATH}"]
    lines: list[str] = []
    for line in dockerfile.splitlines():
        lines.append(line)
        stage = re.match(r"\s*FROM\s+(?:--platform=\S+\s+)?(\S+)", line, re.IGNORECASE)
        if stage and stage[1] != "scratch":
            lines += extra
    return "\n".join(lines) + "\n"


PYTHON_ENV = {
    "LANG": "C.UTF-8",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
}


def python_command(version: str) -> str:
    """What is done after a CPython was copied to /usr/local."""
    return (
        f"ldconfig; cd /usr/local/bin; ln -sf python{version} python3; ln -sf python3 python; "
        f"/usr/local/bin/python{version} -m ensurepip --upgrade --default-pip >/dev/null; "
        "python3 -m pip --version; python3 -c 'import ssl, zlib, ctypes'"
    )


def python_dockerfile(base: str, *, version: str, from_registry: bool, arguments: Mapping[str, str]) -> str:
    """`bestpatch/python:X.Y`: from the registry's image plus tools, or from Debian plus a copied CPython."""
    lines = [f"FROM {base}", _LEFTOVER, "USER 0:0", *argument_lines(arguments), f"COPY ca.crt {CA_PATH}"]
    if from_registry:
        tools = "git patch build-essential pkg-config procps"
        install = _APT.format(packages=tools)
        lines.append(run_line(f"if ! command -v git >/dev/null || ! command -v gcc >/dev/null; then {install}; fi"))
    else:
        lines += [
            "COPY python/ /usr/local/",
            run_line(python_command(version)),
        ]
    lines += [
        run_line(BYTECODE),
        *(env_line(name, value) for name, value in PYTHON_ENV.items()),
        'CMD ["python3"]',
        "",
    ]
    return "\n".join(lines)
