"""What is Docker's own: reaping, lost containers, full disks, and images of every kind of environment."""

from __future__ import annotations

# ruff: noqa: ASYNC220, ASYNC240, ASYNC251 - the tests have the loop to themselves
import io
import json
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Literal

import anyio
import pytest

from sandbox import profile
from sandbox.base import ContainerFile, ImageName, Limits, Patch, Recipe, RepoPath, Sandbox, Snapshot
from sandbox.client import Client, connect
from sandbox.docker import DockerBackend, DockerSettings
from sandbox.errors import DiskFull, EngineUnavailable, EnvironmentUnavailable, SandboxLost
from sandbox.script import Verdict, run_script
from tests.conformance.repository import CALC, HIDDEN_FIX, Repository, git
from tests.waiting import until

QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2)
BASE = "bestpatch/python:3.11"


@pytest.fixture
def client() -> Generator[Client, None, None]:
    client = connect(None, 60)
    yield client
    client.close()


@pytest.fixture
async def backend() -> AsyncGenerator[DockerBackend, None]:
    backend = DockerBackend(DockerSettings(parallel=2))
    yield backend
    await backend.close()


def tar_of(folder: Path, files: dict[str, bytes]) -> Snapshot:
    path = folder / f"{uuid.uuid4().hex}.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return Snapshot(path, uuid.uuid4().hex)


@pytest.mark.docker
async def test_modules_of_the_repository_are_compiled_and_only_their_own_content_counts(
    backend: DockerBackend, tmp_path: Path
) -> None:
    """Bytecode that goes by time and size would stand for a file that was changed within the second of its commit."""
    stale = b"# tracked, and as it was committed"
    files = {"shop.py": b"TOTAL = 1\n", "broken.py": b"def (\n", "lib/__pycache__/old.cpython-311.pyc": stale}
    sandbox = await backend.open(Recipe(base=BASE), tar_of(tmp_path, files), run_id="test")
    look = "import os, shop; print(shop.TOTAL, os.path.exists(shop.__cached__))"
    same = "import os; was = os.stat('shop.py'); open('shop.py', 'w').write('TOTAL = 2\\n')\n"
    same += "os.utime('shop.py', (was.st_atime, was.st_mtime)); assert os.path.getsize('shop.py') == was.st_size\n"
    async with sandbox.workspace() as workspace:
        assert (await workspace.run([sandbox.python, "-c", look])).output == "1 True\n"
        assert await workspace.diff() == ""
        assert await workspace.read("lib/__pycache__/old.cpython-311.pyc") == stale
        assert (await workspace.run([sandbox.python, "-c", same + look])).output == "2 True\n"
    patch = await sandbox.make_patch({RepoPath("shop.py"): b"TOTAL = 3\n"})
    async with sandbox.workspace(patch) as workspace:
        assert (await workspace.run([sandbox.python, "-c", look])).output == "3 True\n"
        assert await workspace.diff() == patch


@pytest.fixture
def image_without_bytecode(client: Client, tmp_path: Path) -> Generator[str, None, None]:
    """As Docker's own images of Python are."""
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nRUN find /usr -name '*.pyc' -delete\n")
    name = f"bestpatch/test-bare:{uuid.uuid4().hex[:8]}"
    list(client.api.build(path=str(tmp_path), tag=name, rm=True, network_mode="none"))
    yield name
    client.api.remove_image(name, force=True)


@pytest.mark.docker
async def test_no_execution_compiles_the_standard_library(
    backend: DockerBackend, image_without_bytecode: str, tmp_path: Path
) -> None:
    sandbox = await backend.open(Recipe(base=image_without_bytecode), tar_of(tmp_path, {"x": b""}), run_id="test")
    look = "import doctest, os, statistics, unittest.mock as mock; "
    look += "print([os.path.exists(one.__cached__) for one in (doctest, statistics, mock)])"
    async with sandbox.workspace() as workspace:
        assert (await workspace.run([sandbox.python, "-c", look])).output == "[True, True, True]\n"


async def test_no_engine(tmp_path: Path, repository: Repository) -> None:
    backend = DockerBackend(DockerSettings(url=f"unix://{tmp_path}/none.sock"))
    with pytest.raises(EngineUnavailable):
        await backend.open(Recipe(), repository.snapshot, run_id="x")
    await backend.close()


def names(client: Client) -> list[str]:
    return [name for found in client.containers(profile.RUN) for name in found["Names"]]


@pytest.mark.docker
async def test_containers_of_dead_runs_are_reaped_and_others_are_not(
    sandbox: Sandbox, client: Client, backend: DockerBackend, repository: Repository
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = profile.labels("reaping", "x")
    orphan, kept = f"bestpatch-test-{uuid.uuid4().hex[:8]}", f"bestpatch-test-{uuid.uuid4().hex[:8]}"
    client.create(sandbox.digest, orphan, host={}, labels={**mine, profile.OWNER: str(dead.pid)})
    client.create(sandbox.digest, kept, host={}, labels=mine)
    try:
        await backend.open(Recipe(base="python:3.11"), repository.snapshot, run_id="reaper")
        # Another process of these tests may have begun to remove it: then the engine is still at it.
        await until(lambda: f"/{orphan}" not in names(client))
        assert f"/{kept}" in names(client)
    finally:
        client.remove(kept)
        client.remove(orphan)


@pytest.mark.docker
async def test_a_killed_process_leaves_nothing_for_long(sandbox: Sandbox, client: Client, tmp_path: Path) -> None:
    """The orchestrator is killed in the middle of an execution; the next run removes what it left."""
    program = (
        "import anyio, sys\nfrom pathlib import Path\nfrom sandbox.base import *\nfrom sandbox.docker import *\n"
        "async def main():\n"
        "    backend = DockerBackend()\n"
        "    sandbox = await backend.open(ImageName(sys.argv[1], '/testbed'), None, run_id='killed')\n"
        "    async with sandbox.workspace() as workspace:\n"
        "        print('ready', flush=True)\n"
        "        await workspace.run(['sleep', '600'])\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, sandbox.digest], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(1.5)
        process.kill()
        process.wait()
    assert client.containers(f"{profile.RUN}=killed")
    backend = DockerBackend()
    await backend._connect()  # pyright: ignore[reportPrivateUsage]
    await backend.close()
    await until(lambda: not client.containers(f"{profile.RUN}=killed"))


@pytest.mark.docker
@pytest.mark.parametrize("isolation", ["cells", "containers"])
async def test_a_container_that_vanishes_is_a_lost_sandbox(
    sandbox: Sandbox, client: Client, isolation: Literal["cells", "containers"]
) -> None:
    run_id = f"vanishing-{isolation}"
    backend = DockerBackend(DockerSettings(isolation=isolation))
    opened = await backend.open(ImageName(sandbox.digest), None, run_id=run_id)

    async def remove() -> None:
        await anyio.sleep(1.0)
        for found in client.containers(f"{profile.RUN}={run_id}"):
            await anyio.to_thread.run_sync(client.remove, found["Id"])

    async with opened.workspace() as workspace:
        async with anyio.create_task_group() as group:
            group.start_soon(remove)
            with pytest.raises(SandboxLost):
                await workspace.run(["sleep", "30"], limits=QUICK)
        for act in (workspace.run(["true"]), workspace.read("calc.py"), workspace.write("x", b""), workspace.diff()):
            with pytest.raises(SandboxLost):
                await act
    async with opened.workspace() as workspace:
        assert (await workspace.run(["true"], limits=QUICK)).exit_code == 0
    await backend.close()


@pytest.mark.docker
async def test_nothing_starts_on_a_full_disk(repository: Repository) -> None:
    backend = DockerBackend(DockerSettings(free_disk_bytes=10**18))
    with pytest.raises(DiskFull, match="docker system prune"):
        await backend.open(Recipe(base="python:3.11"), repository.snapshot, run_id="x")
    await backend.close()


@pytest.mark.docker
async def test_a_command_that_fills_the_disk_is_stopped(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a container's layer is written to; what a cell writes is memory, and limited."""
    backend = DockerBackend(DockerSettings(isolation="containers"))
    opened = await backend.open(ImageName(sandbox.digest), None, run_id="full")
    async with opened.workspace() as workspace:
        monkeypatch.setattr("sandbox.docker_engine.free_bytes", lambda _: 1)
        with pytest.raises(DiskFull):
            await workspace.run(["sleep", "20"], limits=QUICK)
    monkeypatch.undo()
    await backend.close()


@pytest.mark.docker
async def test_a_runtime_the_engine_does_not_know_is_named(sandbox: Sandbox) -> None:
    backend = DockerBackend(DockerSettings(runtime="no-such-runtime"))
    with pytest.raises(EnvironmentUnavailable, match="no-such-runtime"):
        await backend.open(ImageName(sandbox.digest), None, run_id="x")
    await backend.close()


@pytest.mark.docker
async def test_an_image_that_is_nowhere(tmp_path: Path) -> None:
    backend = DockerBackend(DockerSettings(cache=tmp_path))
    name = "localhost:1/no/such:image"
    for _ in range(2):
        with pytest.raises(EnvironmentUnavailable, match="cannot be pulled") as caught:
            await backend.open(ImageName(name), None, run_id="x")
    assert "remembered" in str(caught.value)
    await backend.close()


# Recipes


def snapshot_of(tmp_path: Path, **more: bytes) -> Snapshot:
    files = {"calc.py": CALC, "tracked.cfg": b"as committed\n", ".gitignore": b"*.log\n"}
    return tar_of(tmp_path, {**files, **{name.replace("__", "/"): data for name, data in more.items()}})


@pytest.mark.docker
async def test_installing_makes_no_part_of_any_patch(backend: DockerBackend, tmp_path: Path) -> None:
    install = (
        'echo "changed by installing" > tracked.cfg; rm .gitignore; mkdir made.egg-info "odd dir"; '
        "echo x > made.egg-info/PKG; echo x > 'odd dir/[f]'; echo x > version_made.py",
        'python3 -c \'import sys; print("two\\nlines", "$HOME")\'',
    )
    recipe = Recipe(base="python:3.11", install=install, env=(("GREETING", 'say "hi" $HOME'),))
    sandbox = await backend.open(recipe, snapshot_of(tmp_path), run_id="x")
    async with sandbox.workspace() as workspace:
        assert await workspace.diff() == ""
        assert await workspace.read("tracked.cfg") == b"as committed\n"
        assert await workspace.read("version_made.py") == b"x\n"
        status = await workspace.run(["git", "status", "--porcelain"], limits=QUICK)
        assert status.output == ""
        greeting = await workspace.run(["sh", "-c", 'echo "$GREETING"'], limits=QUICK)
        assert greeting.output == 'say "hi" $HOME\n'
        await workspace.write("made.egg-info/PKG", b"y\n")
        assert (await workspace.run(["sh", "-c", "echo x >> version_made.py"], limits=QUICK)).exit_code == 0
        assert await workspace.diff() == ""
        await workspace.write("calc.py", b"x\n")
        assert "calc.py" in await workspace.diff()


@pytest.mark.docker
async def test_a_step_that_fails_is_shown(backend: DockerBackend, tmp_path: Path) -> None:
    recipe = Recipe(base="python:3.11", install=("echo the reason why >&2; exit 9",))
    with pytest.raises(EnvironmentUnavailable, match="could not be built") as caught:
        await backend.open(recipe, snapshot_of(tmp_path), run_id="x")
    assert "the reason why" in caught.value.log
    assert "9" in str(caught.value)


@pytest.mark.docker
async def test_no_network_setting_remains_in_the_image(
    backend: DockerBackend, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:canary-1@127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "https://canary-2.invalid/simple")
    seen = 'test -n "$http_proxy" && test -n "$PIP_INDEX_URL" && test -s /opt/bestpatch/ca.crt'
    recipe = Recipe(
        base="python:3.11", install=(seen if Path("/etc/ssl/certs/ca-certificates.crt").exists() else "true",)
    )
    sandbox = await backend.open(recipe, snapshot_of(tmp_path), run_id="x")
    config = json.dumps(client.image(sandbox.digest)["Config"])  # pyright: ignore[reportOptionalSubscript]
    history = json.dumps(client.api.history(sandbox.digest))
    assert "canary" not in config
    assert "canary-1" not in history
    async with sandbox.workspace() as workspace:
        assert "canary" not in (await workspace.run(["env"], limits=QUICK)).output


@pytest.mark.docker
async def test_an_image_without_the_tools_says_so(client: Client, tmp_path: Path) -> None:
    """Without network in the build, nothing can be installed; the message names what is missing."""
    name = f"bestpatch/test-bare:{uuid.uuid4().hex[:8]}"
    client.api.import_image_from_data(archive("bin/sh", Path("/bin/sh").resolve().read_bytes()), repository=name)
    backend = DockerBackend(DockerSettings(build_network="none"))
    try:
        with pytest.raises(EnvironmentUnavailable):
            await backend.open(ImageName(name), snapshot_of(tmp_path), run_id="x")
    finally:
        await backend.close()
        client.api.remove_image(name, force=True)


def archive(path: str, data: bytes) -> bytes:
    from sandbox.client import archive_of

    return archive_of({path: data}, mode=0o755)


@pytest.mark.docker
async def test_a_snapshot_that_is_no_archive(backend: DockerBackend, tmp_path: Path) -> None:
    broken = tmp_path / "x.tar"
    broken.write_bytes(b"not an archive")
    with pytest.raises(EnvironmentUnavailable, match=r"snapshot .* cannot be read"):
        await backend.open(Recipe(base="python:3.11"), Snapshot(broken, "x"), run_id="x")
    with pytest.raises(EnvironmentUnavailable, match=r"snapshot .* cannot be read"):
        await backend.open(Recipe(base="python:3.11"), Snapshot(tmp_path / "none.tar", "y"), run_id="x")
    with pytest.raises(EnvironmentUnavailable, match="snapshot"):
        await backend.open(Recipe(base="python:3.11"), None, run_id="x")
    evil = tar_of(tmp_path, {"../outside": b"x"})
    with pytest.raises(EnvironmentUnavailable, match="does not belong"):
        await backend.open(Recipe(base="python:3.11"), evil, run_id="x")


# Images that hold the repository


@pytest.fixture
def image_with_history(client: Client, tmp_path: Path) -> Generator[tuple[str, str], None, None]:
    """An image of a stranger's: root, a repository with later history, tags, an untracked file, an entry point."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "calc.py").write_bytes(CALC)
    base = commit(root)
    (root / "calc.py").write_text(HIDDEN_FIX)
    later = commit(root)
    git(root, "tag", "fixed")
    git(root, "reset", "-q", "--hard", base)
    (root / "lying_around.txt").write_text("x\n")
    (tmp_path / "Dockerfile").write_text(
        f'FROM {BASE}\nCOPY repository /code/\nENTRYPOINT ["false"]\nHEALTHCHECK CMD touch /tmp/checked\n'
    )
    name = f"bestpatch/test-foreign:{uuid.uuid4().hex[:8]}"
    list(client.api.build(path=str(tmp_path), tag=name, rm=True))
    yield name, later
    client.api.remove_image(name, force=True)


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")
    return git(root, "rev-parse", "HEAD")


@pytest.mark.docker
async def test_an_image_of_a_stranger_loses_its_history(
    sandbox: Sandbox, backend: DockerBackend, image_with_history: tuple[str, str]
) -> None:
    name, later = image_with_history
    opened = await backend.open(ImageName(name, "/code"), None, run_id="x")
    assert dict(await opened.tree()) == {"calc.py": CALC}
    async with opened.workspace() as workspace:
        assert workspace.repository == "/code"
        hidden = await workspace.run(["git", "cat-file", "-e", later], limits=QUICK)
        assert hidden.exit_code != 0
        everything = "git log --all --oneline | wc -l; git tag | wc -l; find / -name '*.pack' 2>/dev/null | wc -l"
        assert (await workspace.run(["sh", "-c", everything], limits=QUICK)).output.split() == ["1", "0", "1"]
        assert await workspace.diff() == ""
        identity = await workspace.run(["sh", "-c", "id -u; grep CapBnd /proc/self/status; ls /tmp"], limits=QUICK)
        assert identity.output.split() == ["0", "CapBnd:", "0000000000000000"], "root, but without any capability"
    fixed = await opened.make_patch({RepoPath("calc.py"): CALC.replace(b"a - b", b"a + b")})
    source = "from calc import add\nassert add(1, 2) == 3\n"
    assert (await run_script(opened, source, fixed, QUICK)).verdict is Verdict.PASSED
    assert (await run_script(opened, source, Patch(""), QUICK)).verdict is Verdict.FAILED


@pytest.mark.docker
async def test_the_projects_own_dockerfile(sandbox: Sandbox, backend: DockerBackend, tmp_path: Path) -> None:
    dockerfile = (
        f"FROM {BASE}\nRUN useradd -m -u 1234 dev || (echo 'dev:x:1234:1234::/home/dev:/bin/sh' >> /etc/passwd)\n"
        "WORKDIR /app\nCOPY . /app\nRUN test ! -e secret.txt && echo made > made.txt && chown -R 1234 /app\nUSER dev\n"
    ).encode()
    files = {
        "docker/Dockerfile": dockerfile,
        "calc.py": CALC,
        "secret.txt": b"x",
        ".dockerignore": b"# c\nsecret.txt\n",
    }
    environment = ContainerFile(RepoPath("docker/Dockerfile"), install=("echo installed > installed.txt",))
    opened = await backend.open(environment, tar_of(tmp_path, files), run_id="x")
    assert set(await opened.tree()) == set(files)
    async with opened.workspace() as workspace:
        assert workspace.repository == "/app"
        found = await workspace.run(["sh", "-c", "id -u; cat made.txt installed.txt; echo x >> calc.py"], limits=QUICK)
        assert found.output.split() == ["1234", "made", "installed"]
        assert (await workspace.diff()).count("diff --git") == 1


@pytest.mark.docker
async def test_a_dockerfile_that_is_not_there(backend: DockerBackend, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnavailable, match="cannot be read in the repository"):
        await backend.open(ContainerFile(RepoPath("Dockerfile")), snapshot_of(tmp_path), run_id="x")


@pytest.mark.docker
async def test_opening_the_same_twice_at_once_builds_once(tmp_path: Path) -> None:
    said: list[str] = []
    backend = DockerBackend(DockerSettings(parallel=2), say=said.append)
    snapshot = snapshot_of(tmp_path)
    recipe = Recipe(base="python:3.11", install=("sleep 0.5",))
    opened: list[Sandbox] = []

    async def one() -> None:
        opened.append(await backend.open(recipe, snapshot, run_id="x"))

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        group.start_soon(one)
    await backend.close()
    assert opened[0].digest == opened[1].digest
    assert len([line for line in said if line.startswith("building")]) == 1


@pytest.mark.docker
async def test_a_build_that_is_cancelled_ends(backend: DockerBackend, tmp_path: Path) -> None:
    recipe = Recipe(base="python:3.11", install=("for i in $(seq 300); do echo $i; sleep 0.2; done",))
    with anyio.move_on_after(4) as scope:
        await backend.open(recipe, snapshot_of(tmp_path), run_id="x")
    assert scope.cancelled_caught


@pytest.mark.docker
async def test_an_image_that_is_removed_during_a_run_is_no_defect_of_ours(client: Client, tmp_path: Path) -> None:
    snapshot = tar_of(tmp_path, {"gone.py": b"gone = True\n"})
    # A warm container keeps its image; without one it can go.
    backend = DockerBackend(DockerSettings(isolation="containers"))
    sandbox = await backend.open(Recipe(), snapshot, run_id=uuid.uuid4().hex)
    client.api.remove_image(sandbox.digest, force=True)
    with pytest.raises(EnvironmentUnavailable, match="the same command builds it again"):
        async with sandbox.workspace():
            pass
    await backend.close()
