"""Rows 10, 16 and 17 of the table of faults: patches that reach out, git that is turned against us, and the answer."""

# ruff: noqa: E501 - tables of texts

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from sandbox.base import UNEDITED, Limits, Patch, RepoPath, Sandbox
from sandbox.errors import PatchRejected
from sandbox.script import Verdict, run_script
from tests.conformance.repository import CALC, Repository

QUICK = Limits(seconds=60.0, memory_bytes=512 * 1024**2)
FIXED = CALC.replace(b"a - b", b"a + b")


def new(path: str, mode: str = "100644", text: str = "canary", *, header: str | None = None) -> str:
    return (
        f"diff --git {header or f'a/{path} b/{path}'}\nnew file mode {mode}\nindex 0000000..1111111\n"
        f"--- /dev/null\n+++ {path if path.startswith(chr(34)) else f'b/{path}'}\n@@ -0,0 +1 @@\n+{text}\n"
    )


# Row 10: paths and modes

REACHING = {
    "up": new("../../../tmp/canary"),
    "up from inside": new("src/../../canary"),
    "absolute": new("/tmp/canary"),
    "git's own": new(".git/hooks/post-checkout", "100755"),
    "git's own, other case": new(".GiT/config"),
    "git's own, a trailing dot": new(".git./config"),
    "git's own, an invisible letter": new(".g\u200cit/config"),
    "git's own, by its short name": new("GIT~1/config"),
    "git's own, below": new("src/.git/config"),
    "git's own, quoted": new('"b/.g\\151t/hooks/pre-commit"', header='"a/.g\\151t/x" "b/.g\\151t/x"'),
    "git's own, by renaming": "diff --git a/calc.py b/.git/hooks/x\nsimilarity index 100%\nrename from calc.py\nrename to .git/hooks/x\n",
    "git's own, by copying": "diff --git a/calc.py b/.git/x\nsimilarity index 100%\ncopy from calc.py\ncopy to .git/x\n",
    "other names in the last line": new("ok.py", header="a/ok.py b/ok.py").replace("+++ b/ok.py", "+++ b/../canary"),
    "a submodule": new("sub", "160000", "Subproject commit " + "1" * 40),
    "the list of submodules": new(".gitmodules"),
    "a device": new("disk", "060000"),
    "a fifo": new("pipe", "010000"),
    "the set-user-id bit": new("tool", "104755"),
    "a link to outside": new("link", "120000", "/etc/passwd"),
    "a link that climbs": new("a/link", "120000", "../../etc/passwd"),
    "a link into git's own": new("link", "120000", ".git/hooks"),
    "through its own link": new("way", "120000", "src") + new("way/canary.py"),
    "through a link of the tree": new("link.txt/canary.py"),
    "a file that becomes a link": "diff --git a/calc.py b/calc.py\ndeleted file mode 100644\n--- a/calc.py\n+++ /dev/null\n"
    + "".join(["@@ -1,6 +0,0 @@\n", *(f"-{line}\n" for line in CALC.decode().splitlines())])
    + new("calc.py", "120000", "/etc/passwd"),
    "two names for one file": new("New.py") + new("new.py"),
    "two spellings of one letter": new("caf\u00e9.py") + new("cafe\u0301.py"),
    "a NUL": new("nul\0byte"),
    "a header inside a hunk that is not one": "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,9 @@\n+x\n"
    + new(".git/config"),
}  # fmt: skip


@pytest.mark.parametrize("how", REACHING)
async def test_row_10_a_patch_that_reaches_out_is_rejected_before_anything_runs(sandbox: Sandbox, how: str) -> None:
    with pytest.raises(PatchRejected):
        async with sandbox.workspace(Patch(REACHING[how])):
            pass
    async with sandbox.workspace() as workspace:
        found = "find / -name 'canary*' -not -path '/proc/*' 2>/dev/null; git status --porcelain"
        assert (await workspace.run(["sh", "-c", found], limits=QUICK)).output == ""


async def test_row_10_an_added_link_inside_the_tree_is_taken(sandbox: Sandbox) -> None:
    async with sandbox.workspace(
        Patch(new("src/again.py", "120000", "../calc.py\n\\ No newline at end of file"))
    ) as workspace:
        assert (await workspace.run(["cat", "src/again.py"], limits=QUICK)).output == CALC.decode()


# Row 16: git turned against us

TURNED = {
    "alternates of somebody else's": "mkdir -p .git/objects/info; echo /tmp/objects > .git/objects/info/alternates",
    "a corrupt index": "head -c 5000 /dev/urandom > .git/index",
    "a lock left behind": "touch .git/index.lock .git/HEAD.lock .git/config.lock",
    "a git folder that is a file": "rm -rf .git; echo 'gitdir: /tmp/elsewhere' > .git",
    "no git folder": "rm -rf .git",
    "a work tree elsewhere": "git config core.worktree /etc; git config core.bare true",
    "another reference format": "printf '[core]\\nrepositoryformatversion = 99\\n' > .git/config",
    "a huge pack that is none": "mkdir -p .git/objects/pack; head -c 50000000 /dev/urandom > .git/objects/pack/pack-1.pack",
    "replaced objects": "git replace $(git rev-parse HEAD) $(git -c user.name=a -c user.email=b commit-tree HEAD^{tree} -m x)",
    "files assumed unchanged": "git update-index --assume-unchanged calc.py; git update-index --skip-worktree calc.py",
    "everything ignored": "echo '*' > .git/info/exclude; git config core.excludesFile /tmp/all; echo '*' > /tmp/all",
    "attributes without text": "mkdir -p .git/info; echo '* binary -diff' > .git/info/attributes",
    "the user's own": "printf '[core]\\nfsmonitor = touch /tmp/sprung\\n[diff]\\nexternal = touch /tmp/sprung\\n' > ~/.gitconfig",
    "programs of git's name": "mkdir -p ~/bin bin; for d in ~/bin bin; do printf '#!/bin/sh\\ntouch /tmp/sprung' > $d/git; chmod +x $d/git; done; rm -r bin",
    "a start file of Python's": "mkdir -p ~/.local/lib/python3.11/site-packages; echo 'open(\"/tmp/sprung\", \"w\")' > ~/.local/lib/python3.11/site-packages/usercustomize.py",
}  # fmt: skip


@pytest.mark.parametrize("how", TURNED)
async def test_row_16_the_diff_is_the_same_whatever_was_done_to_git(sandbox: Sandbox, how: str) -> None:
    async with sandbox.workspace() as workspace:
        await workspace.run(["sh", "-c", TURNED[how]], limits=QUICK)
        await workspace.write("calc.py", FIXED)
        patch = await workspace.diff()
        sprung = await workspace.run(["test", "-e", "/tmp/sprung"], limits=QUICK)
    assert patch == await sandbox.make_patch({RepoPath("calc.py"): FIXED})
    assert sprung.exit_code == 1


async def test_row_16_no_program_of_the_host_is_run_for_a_candidate(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every program of the host that could take part leaves a mark when it is run."""
    canary = tmp_path / "canary"
    for name in ("git", "patch", "diff", "python3", "python", "sh", "tar"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n/bin/echo {name} >> {canary}\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(tmp_path / "bin" / "diff"))
    patch = await sandbox.make_patch({RepoPath("calc.py"): FIXED})
    assert (
        await run_script(sandbox, "from calc import add\nassert add(1, 2) == 3", patch, QUICK)
    ).verdict is Verdict.PASSED
    async with sandbox.workspace(patch) as workspace:
        assert await workspace.diff() == patch
    assert not canary.exists()
    await anyio.run_process("git", check=False)  # the trap works
    assert canary.read_text() == "git\n"


# Row 17: the answer


async def test_row_17_no_object_reference_or_log_of_another_commit_is_left(
    sandbox: Sandbox, repository: Repository
) -> None:
    async with sandbox.workspace() as workspace:
        for commit in (repository.later, repository.earlier, repository.base):
            execution = await workspace.run(["git", "cat-file", "-e", commit], limits=QUICK)
            assert execution.exit_code != 0
        look = (
            "git for-each-ref | wc -l; git fsck --unreachable --no-reflogs --full 2>/dev/null | wc -l; "
            "ls .git | grep -E '_HEAD$|packed-refs|shallow|logs' | wc -l; git rev-list --all --objects | wc -l; "
            "git cat-file --batch-all-objects --batch-check | wc -l"
        )
        references, unreachable, heads, reachable, stored = (
            await workspace.run(["sh", "-c", look], limits=QUICK)
        ).output.split()
    assert (references, unreachable, heads) == ("1", "0", "0")
    assert reachable == stored, "what is stored is what the one commit needs"


async def test_row_17_the_answer_is_nowhere_in_the_file_system(sandbox: Sandbox) -> None:
    """In no file, and in no compressed object of any git directory."""
    source = """
import json, os, subprocess
found, word = [], b'the ' + b'answer'
for folder, folders, files in os.walk('/'):
    if folder in ('/proc', '/sys', '/dev', '/usr'): folders[:] = files[:] = []
    if os.path.exists(folder + '/objects/pack'):
        git = ['git', '--git-dir', folder, 'cat-file', '--batch-all-objects', '--batch']
        found += [folder] * (word in subprocess.run(git, capture_output=True).stdout)
    for name in files:
        try:
            if word in open(os.path.join(folder, name), 'rb').read(): found.append(folder + '/' + name)
        except OSError: pass
print(json.dumps(found))
"""
    async with sandbox.workspace() as workspace:
        execution = await workspace.run([sandbox.python, "-c", source], limits=QUICK)
    assert json.loads(execution.output) == []


async def test_row_17_nothing_can_be_fetched(sandbox: Sandbox) -> None:
    commands = (
        "git fetch https://example.org/x.git", "git clone git://example.org/x /tmp/x", "git ls-remote ssh://example.org/x",
        "python3 -m pip download --timeout 2 --retries 0 six -d /tmp",
    )  # fmt: skip
    async with sandbox.workspace() as workspace:
        for command in commands:
            execution = await workspace.run(["sh", "-c", command], limits=QUICK)
            assert execution.exit_code != 0, execution.output
        assert await workspace.diff() == UNEDITED
