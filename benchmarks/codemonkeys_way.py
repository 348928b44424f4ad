"""How CodeMonkeys (arXiv 2501.14723) executes a script on a patch, written anew from a description.

A fresh container for each execution, as root and with the engine's default network; files go in as tar archives; the
patch is applied by `git apply`, else by `patch --fuzz=5`; the script runs from a folder of its own in a thread that is
waited for until its deadline; the container is removed. No pool, no limits.
"""

from __future__ import annotations

import threading
from pathlib import PurePosixPath

from ways import Containers

from sandbox.client import archive_of

SCRIPT = PurePosixPath("/script/test_script.py")
PATCH = "/tmp/patch.diff"


def run_cell(containers: Containers, script: str, patch: str, seconds: float) -> int:
    """The script's exit code; 1 where the patch does not apply or the deadline comes first."""
    api = containers.api
    container = containers.create(["tail", "-f", "/dev/null"], user="root")
    try:
        api.start(container)
        api.put_archive(container, "/tmp", archive_of({PATCH.rpartition("/")[2]: patch.encode()}))
        if not _applied(containers, container):
            return 1
        api.put_archive(container, "/", archive_of({str(SCRIPT).lstrip("/"): script.encode()}))
        codes: list[int] = []

        def run() -> None:
            argv = [containers.python, SCRIPT.name]
            # The repository is not installed in this image, so it is put on the path.
            env = {"PYTHONPATH": containers.repository, "PYTHONDONTWRITEBYTECODE": "1"}
            codes.append(containers.executed(container, argv, workdir=str(SCRIPT.parent), environment=env)[0])

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(seconds)
        return codes[0] if codes else 1
    finally:
        api.remove_container(container, force=True)


def _applied(containers: Containers, container: str) -> bool:
    for argv in (["git", "apply", "-v", PATCH], ["patch", "--batch", "--fuzz=5", "-p1", "-i", PATCH]):
        if containers.executed(container, argv, workdir=containers.repository)[0] == 0:
            return True
    return False
