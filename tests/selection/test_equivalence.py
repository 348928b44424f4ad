"""Classes of candidates: equal up to formatting and comments."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from agent.trajectory import Candidate, CandidateId
from sandbox.base import UNEDITED, Patch, RepoPath, Sandbox, Tree
from sandbox.errors import PatchRejected, WorkspaceError
from selection.equivalence import classes_of

A = RepoPath("a.py")
TREE: Tree = {A: b"def f(x):\n    return x\n", RepoPath("b.txt"): b"old\n"}


def patch_to(body: str, path: str = "a.py") -> Patch:
    """The second line of a.py becomes other lines."""
    lines = body.split("\n")
    added = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,{1 + len(lines)} @@\n"
    return Patch(f"{head} def f(x):\n-    return x\n{added}")


def new_file(path: str, mode: str = "100644") -> Patch:
    return Patch(
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+# x\n"
    )


def candidate(name: str, patch: Patch) -> Candidate:
    return Candidate(CandidateId(name), patch, None, f"editing-{name}", False)


@dataclass
class FakeSandbox:
    """Knows the files after some patches; counts the workspaces it was asked for."""

    files: Mapping[Patch, Mapping[str, bytes]] = field(default_factory=dict[Patch, Mapping[str, bytes]])
    asked: list[Patch] = field(default_factory=list[Patch])

    @asynccontextmanager
    async def workspace(self, patch: Patch) -> AsyncGenerator[FakeSandbox]:
        self.asked.append(patch)
        if patch not in self.files:
            raise PatchRejected("no")
        yield self

    async def read(self, path: str) -> bytes:
        here = self.files[self.asked[-1]]
        if path not in here:
            raise WorkspaceError(path)
        return here[path]


async def grouped(patches: Mapping[str, Patch], sandbox: FakeSandbox | None = None) -> list[tuple[str, list[str]]]:
    made = await classes_of(
        [candidate(name, patch) for name, patch in patches.items()], cast(Sandbox, sandbox or FakeSandbox()), TREE
    )
    return [(item.id, [str(member.id) for member in item.members]) for item in made]


async def test_equal_up_to_formatting_is_one_class_in_order_of_first_members() -> None:
    sandbox = FakeSandbox()
    patches = {
        "p": patch_to("    return 2"),
        "q": patch_to("    return x + 1"),
        "r": patch_to("    # why\n    return (2)"),
        "s": patch_to("    # why\n\n    return  2"),
        "t": patch_to("    return x+1"),
        "u": patch_to("    return 2"),
    }
    assert await grouped(patches, sandbox) == [("c1", ["p", "s", "u"]), ("c2", ["q", "t"]), ("c3", ["r"])]
    assert not sandbox.asked


async def test_the_class_carries_its_first_members_patch() -> None:
    first, second = patch_to("    return  2"), patch_to("    return 2")
    (only,) = await classes_of([candidate("a", first), candidate("b", second)], cast(Sandbox, FakeSandbox()), TREE)
    assert only.patch == first


async def test_the_unedited_tree_is_no_class() -> None:
    patches = {"p": UNEDITED, "q": patch_to("    # only a comment\n    return x"), "r": patch_to("    return 1")}
    assert await grouped(patches) == [("c1", ["r"])]
    assert await grouped({}) == []


async def test_a_new_file_counts_even_when_it_holds_only_a_comment() -> None:
    patches = {"p": new_file("n.py"), "q": new_file("m.py"), "r": new_file("n.py", "100755")}
    assert await grouped(patches) == [("c1", ["p"]), ("c2", ["q"]), ("c3", ["r"])]


async def test_a_changed_mode_counts() -> None:
    mode = Patch("diff --git a/a.py b/a.py\nold mode 100644\nnew mode 100755\n")
    assert await grouped({"p": mode}) == [("c1", ["p"])]


async def test_what_cannot_be_done_in_memory_is_read_in_the_sandbox() -> None:
    binary = Patch("diff --git a/a.py b/a.py\nGIT binary patch\ndelta 1\n")
    comment = Patch("diff --git a/a.py b/a.py\nGIT binary patch\ndelta 2\n")
    sandbox = FakeSandbox({binary: {"a.py": b"def f(x):\n  return 2\n"}, comment: {"a.py": TREE[A] + b"# c\n"}})
    patches = {"p": patch_to("    return 2"), "q": binary, "r": comment}
    assert await grouped(patches, sandbox) == [("c1", ["p", "q"])]
    assert sandbox.asked == [binary, comment]


async def test_deletion_and_renames_are_read_by_their_paths() -> None:
    rename = Patch("diff --git a/b.txt b/c.txt\nsimilarity index 100%\nrename from b.txt\nrename to c.txt\n")
    sandbox = FakeSandbox({rename: {"c.txt": b"old\n"}})
    gone = Patch(
        "diff --git a/b.txt b/b.txt\ndeleted file mode 100644\n--- a/b.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n"
    )
    assert await grouped({"p": rename, "q": gone}, sandbox) == [("c1", ["p"]), ("c2", ["q"])]


async def test_a_patch_that_does_not_apply_is_in_no_class() -> None:
    assert await grouped({"p": Patch("no diff\n"), "q": patch_to("    return 3")}) == [("c1", ["q"])]


@pytest.mark.parametrize("header", ['"a/\\303\\244.py" "b/\\303\\244.py"', "a/x y.py b/z w v.py"])
async def test_headers_that_are_not_plain_make_a_class_by_text(header: str) -> None:
    patch = Patch(f"diff --git {header}\nGIT binary patch\n")
    sandbox = FakeSandbox({patch: {}})
    assert await grouped({"p": patch, "q": patch}, sandbox) == [("c1", ["p", "q"])]
