"""Faults and attacks on what is Docker's own: images with an editable install, the processes of a place, containers."""

from __future__ import annotations

# ruff: noqa: ASYNC240 - the tests have the loop to themselves
import io
import tarfile
import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import anyio
import pytest

from sandbox import profile
from sandbox.base import Ended, ImageName, Limit, Limits, Recipe, RepoPath, Sandbox, Snapshot
from sandbox.cell_sandbox import CellSandbox
from sandbox.client import Client, connect
from sandbox.docker import DockerBackend, DockerSettings
from sandbox.script import Verdict, module_command, run_script

pytestmark = pytest.mark.docker
QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2)
CALC = b"def add(a, b):\n    return a - b\n"
QUITS = b"import os\nos._exit(0)\n"


@pytest.fixture
def client() -> Generator[Client, None, None]:
    client = connect(None, 60)
    yield client
    client.close()


@pytest.fixture
async def backend() -> AsyncGenerator[DockerBackend, None]:
    backend = DockerBackend(DockerSettings(parallel=1, isolation="cells"))
    yield backend
    await backend.close()


@pytest.fixture
async def editable(backend: DockerBackend, tmp_path: Path) -> Sandbox:
    """A repository that is installed as editable: its folder is on the path of every interpreter from the start."""
    tar = tmp_path / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        member = tarfile.TarInfo("calc.py")
        member.size = len(CALC)
        archive.addfile(member, io.BytesIO(CALC))
    place = "$(python3 -c 'import site; print(site.getsitepackages()[0])')/editable.pth"
    recipe = Recipe(base="python:3.11", install=(f'pwd > "{place}"',))
    return await backend.open(recipe, Snapshot(tar, "editable"), run_id=f"test-{uuid.uuid4().hex[:8]}")


@pytest.mark.parametrize("name", ["sitecustomize.py", "usercustomize.py"])
async def test_row_12_a_module_that_python_loads_by_itself_forges_nothing(editable: Sandbox, name: str) -> None:
    """It ends the interpreter with exit code 0 before any code of ours has run in it."""
    patch = await editable.make_patch({RepoPath(name): QUITS})
    loaded = await run_script(editable, "import calc\nassert calc.add(1, 2) == 3", patch, QUICK)
    async with editable.workspace(patch) as workspace:
        plain = await workspace.run([editable.python, "-c", "raise SystemExit(5)"], limits=QUICK)
        tests = await workspace.run(module_command(editable.python, "unittest", "calc"), limits=QUICK)
    assert plain.exit_code == 0, "the trap does not work at all"
    assert loaded.verdict is Verdict.BROKEN
    assert tests.exit_code == 1


@pytest.mark.skipif("__import__('os').geteuid() != 0", reason="only root may choose whom the kernel kills")
@pytest.mark.parametrize("victim", ["keeper", "init"])
async def test_row_02_our_own_process_killed_for_memory_is_told_as_that(
    sandbox: CellSandbox, client: Client, backend: DockerBackend, victim: str
) -> None:
    """Nothing inside can bring the kernel to it any more, so it is done from outside."""
    chosen_now = "open('/proc/self/oom_score_adj').read().strip() == '900'"  # the command's own is written last
    fill = (
        f"import os, time\nwhile not {chosen_now}: time.sleep(.05)\n"
        "f = os.memfd_create('x')\nwhile True: os.write(f, b'x' * 10**6)"
    )
    image = client.image(sandbox.digest)
    assert image is not None
    run_id = f"test-{uuid.uuid4().hex[:8]}"
    own = await backend.open(ImageName(str(image["RepoTags"][0])), None, run_id=run_id)

    async def choose_the_victim() -> None:
        await anyio.sleep(1.0)
        container = client.containers(f"{profile.RUN}={run_id}")[0]
        listed = client.api.top(str(container["Id"]), "-o pid,ppid")["Processes"]
        parents = {str(parent): str(child) for child, parent in listed}
        server = next(child for child, parent in listed if parent not in {child for child, _ in listed})
        line = [str(server)]  # and down: its child, the keeper, init, the command
        while line[-1] in parents:
            line.append(parents[line[-1]])
        for number, pid in enumerate(line):
            chosen = {"keeper": 2, "init": 3}[victim]
            # The kernel may look for a next one before the memory is free: that is to be below, and ends anyway.
            score = "0" if number < chosen else "1000" if number == chosen else "900"
            Path(f"/proc/{pid}/oom_score_adj").write_text(score)

    async with own.workspace() as workspace, anyio.create_task_group() as group:
        group.start_soon(choose_the_victim)
        execution = await workspace.run([own.python, "-c", fill], limits=Limits(seconds=60, memory_bytes=64 * 1024**2))
    assert execution.ended is Ended.OUT_OF_MEMORY
    assert execution.reached == {Limit.MEMORY}
    async with own.workspace() as workspace:
        assert (await workspace.run(["echo", "fine"], limits=QUICK)).output == "fine\n"
