"""What every backend promises of its walls: no network, no privileges, no host, no history."""

from __future__ import annotations

import json

import pytest

from sandbox.base import Ended, Limits, Sandbox
from tests.conformance.repository import Repository

QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2)


async def said(sandbox: Sandbox, *argv: str) -> str:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(argv, limits=QUICK)
    assert execution.ended is Ended.EXITED
    return execution.output


async def python(sandbox: Sandbox, source: str) -> str:
    return await said(sandbox, sandbox.python, "-c", source)


@pytest.mark.parametrize(
    "address",
    [("127.0.0.1", 2375), ("169.254.169.254", 80), ("1.1.1.1", 53), ("172.17.0.1", 80), ("2606:4700:4700::1111", 53)],
)
async def test_no_address_can_be_reached(sandbox: Sandbox, address: tuple[str, int]) -> None:
    source = (
        "import socket\ntry: socket.create_connection(%r, timeout=3); print('CONNECTED')\n"
        "except OSError as e: print('refused', e)"
    )
    assert (await python(sandbox, source % (address,))).startswith("refused")


async def test_no_name_is_resolved_and_only_loopback_is_there(sandbox: Sandbox) -> None:
    source = (
        "import json, socket\ntry: found = socket.getaddrinfo('example.org', 443)\nexcept OSError: found = None\n"
        "print(json.dumps([found, [name for _, name in socket.if_nameindex()]]))"
    )
    found, interfaces = json.loads(await python(sandbox, source))
    assert found is None
    assert interfaces == ["lo"]


async def test_loopback_works(sandbox: Sandbox) -> None:
    source = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), timeout=3); print('ok')"
    )
    assert await python(sandbox, source) == "ok\n"


async def test_it_has_no_capability_and_can_gain_none(sandbox: Sandbox) -> None:
    status = dict(line.split(":\t", 1) for line in (await said(sandbox, "cat", "/proc/self/status")).splitlines())
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


async def test_it_is_not_root(sandbox: Sandbox) -> None:
    assert (await said(sandbox, "id", "-u")).strip() != "0"


@pytest.mark.parametrize(
    "command",
    [
        "mount -t tmpfs none /mnt",
        "unshare -r true",
        "unshare -n true",
        "chown 0 calc.py",
        "su -c id",
        "echo x > /etc/passwd",
        "echo x > /opt/bestpatch/prepare.py",
        "rm -rf /opt/bestpatch/base.git/objects/pack/*",
        "mknod /tmp/disk b 8 0",
        "cat /proc/1/environ /proc/kcore",
        "echo 1 > /proc/sys/kernel/core_pattern",
        "dmesg",
    ],
)
async def test_privileged_acts_are_denied(sandbox: Sandbox, command: str) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", command], limits=QUICK)
    if command.startswith("cat /proc/1/environ"):
        # Its own first process may be readable; the kernel's memory is not.
        assert "kcore: " in execution.output
    assert execution.exit_code != 0, execution.output


async def test_neither_the_host_nor_the_engine_is_in_sight(sandbox: Sandbox) -> None:
    assert await said(sandbox, "sh", "-c", "ls /var/run/docker.sock /run/docker.sock 2>/dev/null") == ""
    mounts = [line.split() for line in (await said(sandbox, "cat", "/proc/self/mountinfo")).splitlines()]
    # Of kernel file systems, overlays and memory each sandbox has its own; anything else comes from outside. What the
    # engine itself lays over the image's files is known.
    own = {"overlay", "tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"}
    engines = {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/sbin/docker-init", "/usr/sbin/docker-init"}
    # Where no device file can be made, those that every user may use are lent.
    lent = {("devtmpfs", f"/{name}") for name in ("null", "zero", "full", "random", "urandom", "tty")}
    kinds = {(words[words.index("-") + 1], words[3]): words[4] for words in mounts}
    foreign = {path for (kind, root), path in kinds.items() if kind not in own and (kind, root) not in lent} - engines
    assert foreign == set()


async def test_no_core_is_dumped(sandbox: Sandbox) -> None:
    assert (await said(sandbox, "sh", "-c", "ulimit -c; ulimit -H -c")).split() == ["0", "0"]


async def test_no_open_file_of_ours_is_inherited(sandbox: Sandbox) -> None:
    listed = await python(sandbox, "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")
    assert json.loads(listed) in ([0, 1, 2], [0, 1, 2, 3])  # the fourth is the listing's own


# History


async def test_there_is_one_commit_and_nothing_else(sandbox: Sandbox) -> None:
    kinds = ("tag", "reflog --all", "stash list", "remote")
    counted = "git rev-list --all --count; " + "; ".join(f"git {kind} | wc -l" for kind in kinds)
    assert (await said(sandbox, "sh", "-c", counted)).split() == ["1", "0", "0", "0", "0"]
    assert await said(sandbox, "git", "log", "--format=%P") == "\n"


async def test_commits_before_and_after_are_not_reachable(sandbox: Sandbox, repository: Repository) -> None:
    async with sandbox.workspace() as workspace:
        for commit in (repository.later, repository.earlier, repository.base):
            execution = await workspace.run(["git", "cat-file", "-e", commit], limits=QUICK)
            assert execution.exit_code != 0
        objects = await workspace.run(["git", "cat-file", "--batch-all-objects", "--batch"], limits=QUICK)
    assert "# the answer" not in objects.output
    assert "# first draft" not in objects.output


async def test_the_commit_is_the_snapshots_tree(sandbox: Sandbox, repository: Repository) -> None:
    assert (await said(sandbox, "git", "rev-parse", "HEAD^{tree}")).strip() == repository.snapshot.digest


async def test_git_works_for_the_project_itself(sandbox: Sandbox) -> None:
    assert await said(sandbox, "git", "status", "--porcelain") == ""
    ignored = (await said(sandbox, "git", "status", "--porcelain", "--ignored")).splitlines()
    assert [line for line in ignored if not line.endswith("__pycache__/")] == [], "only what compiling has made"
    changed = (
        "echo x > new.py; git add new.py && git -c user.name=a -c user.email=b commit -q -m x && git log --oneline"
    )
    assert len((await said(sandbox, "sh", "-c", changed)).splitlines()) == 2
