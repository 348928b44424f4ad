"""The user's repository: what is read of it, byte for byte, and that nothing of it is touched or executed."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import RepositoryError
from harness.repository import Repository
from sandbox.base import Patch, RepoPath
from tests.harness.conftest import git

PATCH = Patch(
    "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1,4 +1,4 @@\n"
    ' def add(a, b):\n     """The sum."""\n-    return a - b\n+    return a + b\n \n'
)


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no such path"):
        Repository.open(tmp_path / "none")


def test_a_file_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="is a file"):
        Repository.open(tmp_path / "file")


def test_a_plain_folder_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="git init"):
        Repository.open(tmp_path)


def test_a_folder_inside_a_repository_names_its_root(repo: Path) -> None:
    (repo / "sub").mkdir()
    with pytest.raises(RepositoryError, match=f"inside the repository {repo}; give that"):
        Repository.open(repo / "sub")


def test_a_repository_without_a_commit(make_repo: Callable[..., Path]) -> None:
    with Repository.open(make_repo({})) as repository, pytest.raises(RepositoryError, match="no commit yet"):
        repository.base()


def test_base_is_the_commit_that_a_revision_names(repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD").strip()
    git(repo, "tag", "-a", "v1", "-m", "one")
    (repo / "calc.py").write_text("")
    git(repo, "commit", "-qam", "two")
    with Repository.open(repo) as repository:
        assert repository.base("v1") == first  # the commit, not the tag object
        assert repository.base("HEAD~1") == first
        assert repository.base() == git(repo, "rev-parse", "HEAD").strip()
        for wrong in ("nowhere", "-h", "--all"):
            with pytest.raises(RepositoryError, match=r"names no commit|is no revision"):
                repository.base(wrong)


def test_dirty(repo: Path) -> None:
    with Repository.open(repo) as repository:
        assert not repository.is_dirty()
        (repo / "new.py").write_text("")
        assert repository.is_dirty()


def test_a_snapshot_is_byte_exact_and_of_the_commit(repo: Path, tmp_path: Path) -> None:
    # `git archive` would leave `left_out` away and rewrite the other two.
    (repo / ".gitattributes").write_text("left_out export-ignore\nsubst export-subst\ncrlf text eol=crlf\n")
    (repo / "left_out").write_bytes(b"here")
    (repo / "subst").write_bytes(b"$Format:%H$\n")
    (repo / "crlf").write_bytes(b"a\nb\n")
    (repo / "link").symlink_to("calc.py")
    (repo / "run.sh").write_text("#!/bin/sh\n")
    (repo / "run.sh").chmod(0o755)
    (repo / os.fsdecode(b"odd-\xff name\n.txt")).write_bytes(b"\x00\xff")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "odd files")
    (repo / "subst").write_text("uncommitted")
    with Repository.open(repo) as repository:
        commit = repository.base()
        snapshot = repository.snapshot(commit, tmp_path / "snapshot.tar")
        assert snapshot.digest == git(repo, "rev-parse", "HEAD^{tree}").strip()
        tree = repository.tree(commit)
        assert tree[RepoPath("subst")] == b"$Format:%H$\n"
        assert RepoPath("link") not in tree
    with tarfile.open(snapshot.tar) as tar:
        members = {member.name: member for member in tar.getmembers()}
        read = {name: tar.extractfile(member) for name, member in members.items() if member.isreg()}
        contents = {name: file.read() for name, file in read.items() if file}
    assert contents["left_out"] == b"here"
    assert contents["subst"] == b"$Format:%H$\n"
    assert contents["crlf"] == b"a\nb\n"
    assert contents[os.fsdecode(b"odd-\xff name\n.txt")] == b"\x00\xff"
    assert members["link"].issym()
    assert members["link"].linkname == "calc.py"
    assert members["run.sh"].mode == 0o755
    assert members["calc.py"].mode == 0o644
    assert members["calc.py"].mtime > 315532800  # zip archives of a build cannot hold times before 1980
    assert ".git" not in {Path(name).parts[0] for name in members}


def test_a_bare_repository_serves(repo: Path, tmp_path: Path) -> None:
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(bare))
    with Repository.open(bare) as repository:
        assert repository.name == "project"
        assert not repository.is_dirty()
        repository.snapshot(repository.base(), tmp_path / "snapshot.tar")
        repository.apply_branch(PATCH, "fix", base=repository.base(), message="fix")
    assert "return a + b" in git(bare, "show", "fix:calc.py")


def test_apply_leaves_a_dirty_tree_and_its_index_alone(repo: Path) -> None:
    (repo / "calc.py").write_text("# being worked on\n")
    (repo / "staged.py").write_text("staged\n")
    git(repo, "add", "staged.py")
    (repo / "untracked.py").write_text("mine\n")
    before = git(repo, "status", "--porcelain")
    index = (repo / ".git" / "index").read_bytes()
    with Repository.open(repo) as repository:
        base = repository.base()
        commit = repository.apply_branch(PATCH, "fix/add", base=base, message="Add adds\n\nwhy\n")
    assert git(repo, "rev-parse", "fix/add").strip() == commit
    assert git(repo, "rev-parse", "fix/add~1").strip() == base
    assert git(repo, "diff", "--stat", base, commit).splitlines()[0].split() == ["calc.py", "|", "2", "+-"]
    assert git(repo, "log", "-1", "--format=%B", "fix/add") == "Add adds\n\nwhy\n\n"
    assert git(repo, "status", "--porcelain") == before
    assert (repo / ".git" / "index").read_bytes() == index
    assert (repo / "calc.py").read_text() == "# being worked on\n"
    assert git(repo, "branch", "--show-current").strip() == "main"


def test_apply_keeps_windows_line_ends(make_repo: Callable[..., Path]) -> None:
    root = make_repo({"a.txt": "x"})
    (root / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    git(root, "-c", "core.autocrlf=false", "commit", "-qam", "crlf")
    git(root, "config", "core.autocrlf", "true")
    patch = Patch("diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n-one\r\n+ONE\r\n two\r\n")
    with Repository.open(root) as repository:
        repository.apply_branch(patch, "fix", base=repository.base(), message="m")
    shown = subprocess.run(["git", "cat-file", "blob", "fix:a.txt"], cwd=root, capture_output=True, check=True).stdout
    assert shown == b"ONE\r\ntwo\r\n"


def test_a_branch_that_exists_and_names_that_cannot_be(repo: Path) -> None:
    git(repo, "branch", "taken")
    with Repository.open(repo) as repository:
        for name, why in (
            ("taken", "exists already"),
            ("a..b", "cannot be"),
            ("-x", "cannot be"),
            ("HEAD", "cannot be"),
        ):
            with pytest.raises(RepositoryError, match=why):
                repository.require_free_branch(name)
        repository.require_free_branch("free/branch")


def test_a_patch_that_does_not_apply_makes_no_branch(repo: Path) -> None:
    with Repository.open(repo) as repository, pytest.raises(RepositoryError, match="does not apply"):
        repository.apply_branch(Patch(PATCH.replace("a - b", "a / b")), "fix", base=repository.base(), message="m")
    assert "fix" not in git(repo, "branch")


def test_nothing_that_a_repository_configures_is_executed(repo: Path, tmp_path: Path) -> None:
    """Hooks, file-system monitors and filters of the repository would run on this host."""
    marker = tmp_path / "executed"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\necho $0 >> {marker}\ncat\n")
    evil.chmod(0o755)
    for hook in ("reference-transaction", "post-index-change", "pre-commit", "post-commit", "fsmonitor-watchman"):
        (repo / ".git" / "hooks" / hook).write_text(evil.read_text())
        (repo / ".git" / "hooks" / hook).chmod(0o755)
    git_config = repo / ".git" / "config"
    git_config.write_text(
        git_config.read_text()
        + f'[core]\n\tfsmonitor = {evil}\n[filter "evil"]\n\tsmudge = {evil}\n\tclean = {evil}\n'
        + f"[diff]\n\texternal = {evil}\n[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = {evil}\n"
    )
    (repo / ".git" / "info" / "attributes").write_text("*.py filter=evil\n")
    with Repository.open(repo) as repository:
        base = repository.base()
        repository.is_dirty()
        repository.snapshot(base, tmp_path / "snapshot.tar")
        repository.apply_branch(PATCH, "fix", base=base, message="m")
    assert not marker.exists(), marker.read_text()
    assert "return a + b" in git(repo, "show", "--no-ext-diff", "--no-textconv", "fix:calc.py")


def test_variables_that_git_sets_for_hooks_do_not_lead_elsewhere(
    repo: Path, make_repo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.commands.common import ending
    from harness.commands.exit import Exit

    other = make_repo({"other.py": ""}, "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    with pytest.raises(Exit), ending(debug=False):  # noqa: PT012 - the second statement is the way out
        with Repository.open(repo) as repository:
            assert RepoPath("calc.py") in repository.tree(repository.base())
        raise Exit(0)


def test_a_git_directory_without_a_configuration(repo: Path, tmp_path: Path) -> None:
    """Copies of repositories are kept as bare git directories under any name, some without a `config`."""
    bare = tmp_path / "kept" / "copy"
    git(repo, "clone", "-q", "--bare", ".", str(bare))
    (bare / "config").unlink()
    with Repository.open(bare) as found:
        commit = found.base()
        assert commit == git(repo, "rev-parse", "HEAD").strip()
        assert found.root == bare
        assert found.name == "copy"
        assert not found.is_dirty()
        assert set(found.tree(commit)) == {"calc.py", "test_calc.py"}
        assert b"def add" in found.tree(commit)[RepoPath("calc.py")]


def test_the_same_snapshot_made_by_several_threads(repo: Path, tmp_path: Path) -> None:
    (repo / "big.bin").write_bytes(os.urandom(2**22))
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "big")

    def make(_: int) -> bytes:
        with Repository.open(repo) as found:
            return found.snapshot(found.base(), tmp_path / "a.tar").tar.read_bytes()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make, range(16)))) == 1
    assert [path.name for path in tmp_path.glob("*.part")] == []
