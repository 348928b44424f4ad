"""What every backend promises of patches: git makes them, they give back every byte, and none leaves the tree."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seed_hypothesis
from hypothesis import strategies as st

from sandbox.base import UNEDITED, Changes, Limits, Patch, RepoPath, Sandbox
from sandbox.errors import PatchRejected
from sandbox.patch import check_clashes, check_path
from tests.conformance.repository import CALC, EXECUTABLE, FILES

QUICK = Limits(seconds=60.0, memory_bytes=512 * 1024**2)
FIXED = CALC.replace(b"a - b", b"a + b")


async def given_back(sandbox: Sandbox, wanted: Changes) -> Patch:
    """Make the patch, apply it in a new workspace, and compare every changed file there."""
    patch = await sandbox.make_patch(wanted)
    patch.encode("utf-8")
    async with sandbox.workspace(patch) as workspace:
        for path, data in wanted.items():
            if data is None:
                gone = await workspace.run(["test", "!", "-f", path], limits=QUICK)
                assert gone.exit_code == 0, path
            else:
                assert await workspace.read(path) == data, path
    return patch


# ruff: noqa: E501 - tables of texts
ROUND_TRIPS: dict[str, Changes] = {
    "one line": {RepoPath("calc.py"): FIXED},
    "a new file in new folders": {RepoPath("a/b/c.py"): b"x = 1\n"},
    "a new empty file": {RepoPath("new_empty.txt"): b""},
    "a file emptied": {RepoPath("calc.py"): b""},
    "an empty file filled": {RepoPath("empty.txt"): b"x\n"},
    "a deleted file": {RepoPath("calc.py"): None},
    "a deleted empty file": {RepoPath("empty.txt"): None},
    "CRLF lines": {RepoPath("crlf.txt"): b"one\r\n2\r\nthree\r\n"},
    "CRLF to LF": {RepoPath("crlf.txt"): b"one\ntwo\nthree\n"},
    "mixed line ends": {RepoPath("mixed.txt"): b"one\r\n2\nthree\r\n\r"},
    "no final newline": {RepoPath("no_newline.txt"): b"first\nanother last line"},
    "a final newline added": {RepoPath("no_newline.txt"): b"first\nlast line without its end\n"},
    "a final newline removed": {RepoPath("calc.py"): CALC[:-1]},
    "text that is not UTF-8": {RepoPath("latin1.txt"): "th\u00e9\nna\u00efve\n".encode("latin-1")},
    "text that becomes UTF-8": {RepoPath("latin1.txt"): "caf\u00e9\n".encode()},
    "text that stops being UTF-8": {RepoPath("utf8.txt"): b"caf\xe9\n"},
    "a new file that is not UTF-8": {RepoPath("neu.txt"): b"\xff\xfe\n"},
    "binary": {RepoPath("data.bin"): bytes(reversed(range(256))) * 3},
    "a NUL far inside": {RepoPath("calc.py"): b"#" * 20_000 + b"\0\n"},
    "binary deleted": {RepoPath("data.bin"): None},
    "a name with a space": {RepoPath("with space.txt"): b"b\n"},
    "a name with quote and backslash": {RepoPath('quote"and\\slash.txt'): b"b\n"},
    "a name with other letters": {RepoPath("\u00fcnic\u00f6de/na\u00efve.txt"): b"b\xff\n"},
    "a name like a pattern": {RepoPath("star*[x]?.txt"): b"\xff\n", RepoPath("starYx!.txt"): b"plain\n"},
    "new odd names": {RepoPath("tab\there"): b"x\n", RepoPath(" lead"): b"x\n", RepoPath("-dash"): b"x\n", RepoPath("#h"): b"\xff"},
    "a name with a line break": {RepoPath("line\nbreak.txt"): b"x\n"},
    "a file where a folder was": {RepoPath("docs/readme.md"): None, RepoPath("docs"): b"now a file\n"},
    "a folder where a file was": {RepoPath("calc.py"): None, RepoPath("calc.py/inner.py"): b"x\n"},
    "text like a conflict or a diff": {RepoPath("docs/readme.md"): b"--- a/x\n+++ b/.git/config\n@@ -1 +1 @@\n=======\n"},
    "a file marked by attributes": {RepoPath("docs/readme.md"): b"Title\r\n======\r\n"},
    "a file that git ignores": {RepoPath("trace.log"): b"x\n"},
    "the attributes themselves": {RepoPath(".gitattributes"): b"*.py -diff text eol=crlf\n", RepoPath("calc.py"): FIXED},
    "a long title of a hunk": {RepoPath("calc.py"): b"def " + "\u4f60".encode() * 60 + b"():\n" + b"    pass\n" * 20 + CALC},
    "many files": {RepoPath(f"many/{number}.py"): b"x\n" * number for number in range(1, 40)},
}  # fmt: skip


@pytest.mark.parametrize("what", ROUND_TRIPS)
async def test_a_patch_gives_back_every_byte(sandbox: Sandbox, what: str) -> None:
    patch = await given_back(sandbox, ROUND_TRIPS[what])
    assert patch


async def test_the_executable_bit_is_kept(sandbox: Sandbox) -> None:
    patch = await sandbox.make_patch({RepoPath(EXECUTABLE): b"#!/bin/sh\necho changed\n"})
    async with sandbox.workspace(patch) as workspace:
        execution = await workspace.run([f"./{EXECUTABLE}"], limits=QUICK)
    assert execution.output == "changed\n"


async def test_changes_that_change_nothing_are_the_empty_patch(sandbox: Sandbox) -> None:
    assert await sandbox.make_patch({}) == UNEDITED
    assert await sandbox.make_patch({RepoPath("calc.py"): CALC}) == UNEDITED
    assert await sandbox.make_patch({RepoPath("not/there.py"): None}) == UNEDITED


async def test_equal_changes_make_equal_patches(sandbox: Sandbox) -> None:
    one = await sandbox.make_patch({RepoPath("calc.py"): FIXED, RepoPath("a.py"): b"x\n"})
    two = await sandbox.make_patch({RepoPath("a.py"): b"x\n", RepoPath("calc.py"): FIXED})
    assert one == two


contents = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"a", b"b\n", b"c\r\n", b"\r", b"\n", b"--- a/x\n", b"\\ No newline", b"\xc3"])).map(
        b"".join
    ),
)
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs", "Cf"]), min_size=1, max_size=20)


def contents_to_try(seed: int) -> Changes:
    """Changes drawn by Hypothesis; the round trip itself is asynchronous, so it stands outside of `given`."""
    drawn: list[Changes] = []

    @seed_hypothesis(seed)
    @settings(max_examples=12, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(st.dictionaries(st.sampled_from(sorted(FILES)), st.none() | contents), st.dictionaries(names, contents))
    def draw(old: dict[str, bytes | None], new: dict[str, bytes]) -> None:
        drawn.append({RepoPath(path): data for path, data in {**new, **old}.items()})

    draw()
    return max(drawn, key=len)


@pytest.mark.parametrize("seed", range(4))
async def test_any_content_under_any_name(sandbox: Sandbox, seed: int) -> None:
    wanted = contents_to_try(seed)
    try:
        check_clashes(wanted)
        for path in wanted:
            check_path(path)
    except PatchRejected:
        with pytest.raises(PatchRejected):
            await sandbox.make_patch(wanted)
        return
    await given_back(sandbox, wanted)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.py", "/etc/passwd", "a/../../b", ".git/config", "sub/.git/hooks/pre-commit", ".GIT/config", "",
        ".git", "a//b", "./a", "a/", ".gitmodules", "link.txt", "link.txt/x", "calc.py/below.py", "src", "nul\0byte",
        ".git\u200b/config", "git~1/config",
    ],
)  # fmt: skip
async def test_changes_that_do_not_belong_are_rejected(sandbox: Sandbox, path: str) -> None:
    with pytest.raises(PatchRejected):
        await sandbox.make_patch({RepoPath(path): b"x\n"})


async def test_paths_that_differ_only_by_case_are_rejected(sandbox: Sandbox) -> None:
    with pytest.raises(PatchRejected):
        await sandbox.make_patch({RepoPath("New.py"): b"x\n", RepoPath("new.py"): b"y\n"})


def diff_of(path: str, mode: str = "100644", content: str = "x") -> str:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..1111111\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{content}\n"
    )


CONTEXT = "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1,5 +1,5 @@\n"
REST = " \n \n def div(a, b):\n"
REJECTED = {
    "git's own folder": diff_of(".git/hooks/post-checkout", "100755"),
    "outside": diff_of("../../tmp/x"),
    "absolute": diff_of("/tmp/x").replace("b//tmp", "/tmp"),
    "link to outside": diff_of("escape", "120000", "../../etc/passwd"),
    "absolute link": diff_of("escape", "120000", "/etc/passwd"),
    "through a link of its own": diff_of("way", "120000", "src") + diff_of("way/x.py"),
    "submodule": diff_of("sub", "160000", "Subproject commit " + "1" * 40),
    "device": diff_of("dev", "060000"),
    "not a diff": "please fix the bug\n",
    "other content": CONTEXT + " def add(a, b):\n-    return a * b\n+    return a + b\n" + REST,
    "context that only nearly fits": CONTEXT + " def add(a,  b):\n-    return a - b\n+    return a + b\n" + REST,
    "deletes what is not there": "diff --git a/no.py b/no.py\ndeleted file mode 100644\n--- a/no.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    "creates what is there": diff_of("calc.py"),
    "cut off": CONTEXT + " def add(a, b):\n",
    "binary without content": "diff --git a/data.bin b/data.bin\nBinary files a/data.bin and b/data.bin differ\n",
    "enormous": diff_of("x.py", content="x" * 6_000_000),
}  # fmt: skip


@pytest.mark.parametrize("why", REJECTED)
async def test_patches_that_do_not_belong_or_apply_are_rejected(sandbox: Sandbox, why: str) -> None:
    with pytest.raises(PatchRejected):
        async with sandbox.workspace(Patch(REJECTED[why])):
            pass


async def test_a_patch_of_another_tool_applies(sandbox: Sandbox) -> None:
    plain = CONTEXT.split("\n", 1)[1] + " def add(a, b):\n-    return a - b\n+    return a + b\n" + REST
    async with sandbox.workspace(Patch(plain)) as workspace:
        assert await workspace.read("calc.py") == FIXED
        assert (await workspace.run(["git", "diff", "--stat"], limits=QUICK)).exit_code == 0


async def test_a_rejected_patch_does_no_harm_to_the_next(sandbox: Sandbox) -> None:
    with pytest.raises(PatchRejected):
        async with sandbox.workspace(Patch(REJECTED["other content"])):
            pass
    async with sandbox.workspace() as workspace:
        assert await workspace.read("calc.py") == CALC


# diff


async def test_diff_is_what_make_patch_gives_for_the_same_changes(sandbox: Sandbox) -> None:
    wanted: Changes = {
        RepoPath("calc.py"): FIXED,
        RepoPath("latin1.txt"): b"th\xe9\n",
        RepoPath("a/new.py"): b"x\n",
        RepoPath("crlf.txt"): b"one\r\n2\r\n",
        RepoPath("empty.txt"): None,
    }
    async with sandbox.workspace() as workspace:
        for path, data in wanted.items():
            if data is not None:
                await workspace.write(path, data)
        await workspace.write("build/ignored.py", b"x\n")
        await workspace.write("ignored.log", b"x\n")
        await workspace.run(["rm", "empty.txt"], limits=QUICK)
        patch = await workspace.diff()
    assert patch == await sandbox.make_patch(wanted)


async def test_diff_of_an_untouched_tree_is_empty(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        assert await workspace.diff() == UNEDITED


async def test_diff_gives_the_patch_back(sandbox: Sandbox) -> None:
    patch = await sandbox.make_patch({RepoPath("calc.py"): FIXED, RepoPath("data.bin"): None})
    async with sandbox.workspace(patch) as workspace:
        assert await workspace.diff() == patch


TRAPS = """
set -e
touch_it='sh -c "touch /tmp/sprung; cat"'
git config filter.evil.clean "$touch_it"; git config filter.evil.smudge "$touch_it"
git config diff.evil.textconv "$touch_it"; git config diff.evil.command "$touch_it"; git config diff.external "$touch_it"
git config core.fsmonitor "touch /tmp/sprung"; git config core.pager "touch /tmp/sprung"
git config core.attributesFile /tmp/attributes; echo '* filter=evil diff=evil' > /tmp/attributes
git config --global core.fsmonitor "touch /tmp/sprung"; git config --global filter.evil.clean "$touch_it"
git config --global core.hooksPath /tmp/hooks; mkdir -p /tmp/hooks
for hook in pre-commit post-checkout post-index-change reference-transaction pre-applypatch; do
  printf '#!/bin/sh\\ntouch /tmp/sprung\\n' > /tmp/hooks/$hook; chmod +x /tmp/hooks/$hook
  mkdir -p .git/hooks; cp /tmp/hooks/$hook .git/hooks/
done
echo '* filter=evil diff=evil' > .gitattributes
echo changed >> utf8.txt; echo changed >> with\\ space.txt; rm -f /tmp/sprung
"""


async def test_neither_hooks_nor_filters_of_the_tree_run_while_diffing(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        laid = await workspace.run(["sh", "-c", TRAPS], limits=QUICK)
        assert laid.exit_code == 0, laid.output
        patch = await workspace.diff()
        sprung = await workspace.run(["test", "-e", "/tmp/sprung"], limits=QUICK)
        proof = await workspace.run(["sh", "-c", "git status >/dev/null; test -e /tmp/sprung"], limits=QUICK)
    assert sprung.exit_code == 1
    assert "+changed" in patch
    assert proof.exit_code == 0, "the traps do not work at all"


async def test_a_replaced_git_directory_does_not_change_the_diff(sandbox: Sandbox) -> None:
    spoil = "rm -rf .git; git init -q .; git add -A; git -c user.name=a -c user.email=b commit -qm x; echo x >> calc.py"
    async with sandbox.workspace() as workspace:
        await workspace.run(["sh", "-c", spoil], limits=QUICK)
        patch = await workspace.diff()
    assert patch == await sandbox.make_patch({RepoPath("calc.py"): CALC + b"x\n"})


async def test_a_nested_repository_is_left_out_of_the_diff(sandbox: Sandbox) -> None:
    commit = "git -c user.name=a -c user.email=b commit -qm x"
    nested = f"mkdir nested && cd nested && git init -q && echo x > f && git add f && {commit}"
    async with sandbox.workspace() as workspace:
        await workspace.run(["sh", "-c", nested], limits=QUICK)
        assert "Subproject" not in await workspace.diff()
