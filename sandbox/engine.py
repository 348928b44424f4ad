"""Sees to it that a Docker engine answers: `python -m sandbox.engine`, or `ensure_engine`.

Where none answers and we are root on Debian or Ubuntu, the distribution's engine is installed and started.
Everywhere else the message says what to do. Nothing is changed where an engine answers.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.client import connect
from sandbox.errors import EngineUnavailable
from sandbox.host import run_host
from sandbox.walls import why_not

Say = Callable[[str], None]

LOG = Path("/var/log/bestpatch-dockerd.log")
_ANSWER_SECONDS = 10.0
_START_SECONDS = 60.0
_INSTALL_SECONDS = 900.0


def ensure_engine(say: Say = lambda _: None, url: str | None = None) -> None:
    """Return when an engine answers. Raises EngineUnavailable with what to do."""
    if _answers(url):
        return
    remote = url or os.environ.get("DOCKER_HOST", "")
    if remote and not remote.startswith("unix://"):
        raise EngineUnavailable(f"the Docker engine at {remote} does not answer. Start it there, or unset DOCKER_HOST.")
    why = why_not_here(platform.system(), os.geteuid(), _release())
    if why:
        raise EngineUnavailable(why)
    if shutil.which("dockerd") is None:
        say("installing the Docker engine (docker.io)")
        _install("docker.io", "iptables", "ca-certificates")
    for driver in ("overlay2", "vfs"):
        say(f"starting the Docker engine (storage {driver}, log in {LOG})")
        if _start(driver, url):
            return
    raise EngineUnavailable(f"dockerd was started and does not answer. Its log is {LOG}; it ends:\n{_log_tail()}")


def why_not_here(system: str, uid: int, release: str) -> str | None:
    """Why an engine cannot be installed by us, and what to do instead; None when it can."""
    if system != "Linux":
        return (
            f"no Docker engine answers. On {system}, install and start Docker Desktop (or another engine with "
            "Docker's interface), and set DOCKER_HOST if it listens elsewhere."
        )
    if release not in ("debian", "ubuntu"):
        return (
            "no Docker engine answers. Install it with this system's package manager, start it "
            "(systemctl start docker), and add yourself to the group docker."
        )
    if uid != 0:
        return (
            "no Docker engine answers, or you may not use it. If it is installed: sudo systemctl start docker, and "
            "sudo usermod -aG docker $USER, then log in again. If not: sudo apt-get install docker.io"
        )
    return None


def dockerd_command(driver: str, url: str | None = None) -> list[str]:
    """How the engine is started: detached from us, so that it outlives this program."""
    command = ["dockerd", f"--storage-driver={driver}"]
    socket = url or os.environ.get("DOCKER_HOST", "")
    return [*command, f"--host={socket}"] if socket else command


def _answers(url: str | None) -> bool:
    try:
        connect(url, _ANSWER_SECONDS, 1).close()
    except EngineUnavailable:
        return False
    return True


def _release() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""


def ensure_bubblewrap(say: Say = lambda _: None) -> None:
    """Return when sandboxes can be made without an engine. Raises EngineUnavailable with what to do."""
    if shutil.which("bwrap") is None and os.geteuid() == 0 and _release() in ("debian", "ubuntu"):
        say("installing bubblewrap")
        _install("bubblewrap")
    why = why_not()
    if why is not None:
        raise EngineUnavailable(why)


def _install(*packages: str) -> None:
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    commands = [
        ["apt-get", "update", "-qq"],
        # Without recommendations there would be no rules for the firewall and no file system tools.
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ]
    for command in commands:
        code, text = run_host(command, _INSTALL_SECONDS, env)
        if code != 0:
            raise EngineUnavailable(f"`{' '.join(command)}` failed ({code}); install {packages[0]} by hand:\n{text}")


def _start(driver: str, url: str | None) -> bool:
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            dockerd_command(driver, url),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _answers(url):
            # It is meant to outlive us: tell Popen not to warn that it is still running.
            process.returncode = 0
            return True
        if process.poll() is not None:
            return _answers(url)
        time.sleep(0.3)
    process.kill()
    process.wait()
    return False


def _log_tail() -> str:
    try:
        return LOG.read_text("utf-8", "replace")[-2000:]
    except OSError:
        return ""


def main() -> int:
    """Exit code 0 when an engine answers, 4 when not."""
    try:
        ensure_engine(lambda line: print(line, file=sys.stderr))  # noqa: T201 - a command's progress
    except EngineUnavailable as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
