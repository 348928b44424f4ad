"""The user's own repository: its base commit, a snapshot of it, and the branch of the result.

Nothing here touches the working tree or the index, and nothing runs what a repository may configure (hooks, filters,
file-system monitors). What candidates do to trees happens in sandboxes only.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from git import Git, GitCommandError, InvalidGitRepositoryError, NoSuchPathError, Repo
from git.exc import GitCommandNotFound

from harness.commit_tree import CommitTree, Entry, add_entry
from harness.errors import RemoteError, RepositoryError
from sandbox.base import Patch, Snapshot
from sandbox.scratch import scratch_folder

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.attributesFile=/dev/null",
    "apply.whitespace=nowarn",
)
"""Configuration of every git command here: nothing of the repository's is executed, content stays byte-exact."""

_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}

_AUTHOR = {
    "GIT_AUTHOR_NAME": "bestpatch",
    "GIT_AUTHOR_EMAIL": "bestpatch@localhost",
    "GIT_COMMITTER_NAME": "bestpatch",
    "GIT_COMMITTER_EMAIL": "bestpatch@localhost",
}
"""Signs the commit where the user has configured no name."""


class Repository:
    """A repository on this machine. Use `Repository.open`, and `close` (or `with`) afterwards."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._where = str(Path(repo.git_dir).absolute())
        options: Any = repo.git.set_persistent_git_options
        options(git_dir=self._where)

    @classmethod
    def open(cls, path: Path) -> Repository:
        """Open the repository whose root (or bare git directory) is `path`. Raises RepositoryError."""
        with suppress(RuntimeError):  # ~name of nobody: it may be a folder of that name
            path = path.expanduser()
        if not path.exists():
            raise RepositoryError(f"{path}: no such path; give the folder of a git repository")
        if not path.is_dir():
            raise RepositoryError(f"{path}: is a file; give the folder of a git repository")
        try:
            return cls(Repo(path))
        except (InvalidGitRepositoryError, NoSuchPathError):
            root = _enclosing(path)
            hint = (
                f"it lies inside the repository {root}; give that"
                if root
                else "run `git init` and commit, then try again"
            )
            raise RepositoryError(f"{path}: is not the root of a git repository; {hint}") from None
        except GitCommandNotFound:
            raise RepositoryError("git was not found on PATH; install git (on Debian: apt-get install git)") from None

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._repo.close()

    @property
    def root(self) -> Path:
        """The working tree's root; of a bare repository its git directory."""
        return Path(self._work_tree or self._repo.git_dir).resolve()

    @property
    def _work_tree(self) -> Path | None:
        """None for a git directory alone. One without a configuration file does not say that it is bare."""
        tree, folder = self._repo.working_tree_dir, Path(self._repo.git_dir)
        return None if tree is None or (folder.name != ".git" and folder.parent == Path(tree)) else Path(tree)

    @property
    def name(self) -> str:
        """The root folder's name, without a `.git` at its end."""
        return self.root.name.removesuffix(".git") or "repository"

    def base(self, revision: str | None = None) -> str:
        """The full id of the commit that the work starts from: `revision`, else HEAD. Raises RepositoryError."""
        wanted = revision or "HEAD"
        if wanted.startswith("-"):
            raise RepositoryError(f"{wanted!r} is no revision; give --base a branch, a tag or a commit")
        try:
            return str(
                self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{commit}}")
            ).strip()
        except GitCommandError as error:
            if "dubious ownership" in str(error.stderr):
                raise RepositoryError(
                    f"{self.root} belongs to another user and git refuses it; "
                    f"if you trust it: git config --global --add safe.directory {self.root}"
                ) from None
            if revision is None:
                raise RepositoryError(
                    f"{self.root} has no commit yet; commit what should be worked on, then try again"
                ) from None
            raise RepositoryError(f"{revision!r} names no commit in {self.root}; check --base") from None

    def is_dirty(self) -> bool:
        """Whether there are uncommitted changes or untracked files (which the work does not see)."""
        if self._work_tree is None:
            return False
        # Looking at changed files runs the filters that the repository's configuration names; without them a filtered
        # file may at worst count as changed, and this only decides about a note.
        names = str(self._git("config", "--name-only", "--get-regexp", r"^filter\.", with_exceptions=False)).split("\n")
        drivers = {name.rpartition(".")[0] for name in names if name}
        off = [
            f"{name}.{key}" for name in sorted(drivers) for key in ("clean=", "smudge=", "process=", "required=false")
        ]
        return bool(self._git("status", "--porcelain", "--ignore-submodules=all", config=off).strip())

    def tree_id(self, commit: str) -> str:
        """Git's id of the commit's tree."""
        return str(self._git("rev-parse", "--verify", f"{commit}^{{tree}}")).strip()

    def entries(self, commit: str) -> Iterator[Entry]:
        """All entries of the commit's tree, sorted by path as git sorts."""
        raw = cast(bytes, self._git("ls-tree", "-r", "-l", "-z", "--full-tree", commit, stdout_as_string=False))
        for line in filter(None, raw.split(b"\0")):
            head, _, path = line.partition(b"\t")
            mode, kind, sha, size = head.decode("ascii").split()
            yield Entry(mode, kind, sha, 0 if size == "-" else int(size), path.decode("utf-8", "surrogateescape"))

    def tree(self, commit: str) -> CommitTree:
        """The regular files at a commit; contents are read when they are asked for."""
        return CommitTree(self.read, [entry for entry in self.entries(commit) if entry.mode in ("100644", "100755")])

    def read(self, sha: str) -> bytes:
        """Content of a blob, byte for byte."""
        database: Any = self._repo.odb
        return database.stream(bytes.fromhex(sha)).read()

    def snapshot(self, commit: str, to: Path) -> Snapshot:
        """Write the commit's tree as a tar archive, byte for byte from the object database.

        Not by `git archive`, which rewrites content by attributes (export-subst, line ends, filters) and leaves
        files out (export-ignore). Submodules are left out: they are commits of other repositories. Times are the
        commit's, because archives of a build refuse the year 1970.
        """
        tree_id = self.tree_id(commit)
        when = int(self._git("show", "--no-patch", "--format=%ct", commit).strip())
        # Several threads may write the same snapshot at once: each writes its own, and the last to be ready stays.
        part = to.with_name(f"{to.name}.{uuid.uuid4().hex}.part")
        with part.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in self.entries(commit):
                if entry.type == "blob":
                    add_entry(tar, entry, self.read(entry.sha), when)
        part.replace(to)
        return Snapshot(tar=to, digest=tree_id)

    def require_free_branch(self, branch: str) -> None:
        """Raises RepositoryError when the name cannot be a new branch."""
        try:
            self._git("check-ref-format", f"refs/heads/{branch}")
        except GitCommandError:
            raise RepositoryError(f"{branch!r} cannot be a branch's name; choose another for --apply") from None
        if branch.startswith("-") or branch == "HEAD":
            raise RepositoryError(f"{branch!r} cannot be a branch's name; choose another for --apply")
        with suppress(GitCommandError):
            self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
            raise RepositoryError(
                f"the branch {branch!r} exists already; choose another for --apply, "
                f"or remove it with: git branch -D {branch}"
            )

    def apply_branch(self, patch: Patch, branch: str, *, base: str, message: str) -> str:
        """Commit the patch on a new branch from `base`, touching neither working tree nor index. Returns the commit.

        Raises RepositoryError when the branch exists or the patch does not apply.
        """
        self.require_free_branch(branch)
        with scratch_folder() as folder:
            env = {"GIT_INDEX_FILE": str(folder / "index")}
            try:
                self._git("read-tree", base, env=env)
                if patch:
                    with self._input(patch.encode("utf-8")) as stream:
                        self._git("apply", "--cached", "--binary", "-", env=env, istream=stream)
                tree = str(self._git("write-tree", env=env)).strip()
            except GitCommandError as error:
                raise RepositoryError(f"the patch does not apply to {base[:12]}: {str(error.stderr).strip()}") from None
        with self._input(message.encode("utf-8")) as stream:
            commit = str(self._git("commit-tree", tree, "-p", base, env=self._author(), istream=stream)).strip()
        try:
            # The last argument is the old value: the branch must not have come into being meanwhile.
            self._git("update-ref", f"refs/heads/{branch}", commit, "0" * len(commit))
        except GitCommandError as error:
            raise RepositoryError(f"the branch {branch!r} cannot be made: {str(error.stderr).strip()}") from None
        return commit

    def branch_commit(self, branch: str) -> str | None:
        """The commit that a branch of this repository names; None when there is none."""
        with suppress(GitCommandError):
            return str(self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")).strip()
        return None

    def remote_address(self, remote: str = "origin") -> str | None:
        """Where a remote is, as the repository's configuration says."""
        return self._git("config", "--get", f"remote.{remote}.url", with_exceptions=False).strip() or None

    def default_branch(self, remote: str = "origin") -> str:
        """The branch that a remote's HEAD names, as far as this repository knows; else the one that is checked out."""
        for reference, prefix in ((f"refs/remotes/{remote}/HEAD", f"{remote}/"), ("HEAD", "")):
            name = self._git("symbolic-ref", "--quiet", "--short", reference, with_exceptions=False).strip()
            if name:
                return str(name).removeprefix(prefix)
        return "main"

    def push(self, branch: str, remote: str = "origin") -> None:
        """Make the branch known to a remote, with git's own credentials. Never by force. Raises RemoteError."""
        reference = f"refs/heads/{branch}"
        try:
            self._git("push", "--quiet", "--no-verify", remote, f"{reference}:{reference}", kill_after_timeout=300)
        except GitCommandError as error:
            why = re.sub(r"//[^/\s]*@", "//***@", str(error.stderr).strip())  # an address may hold a login
            raise RemoteError(f"the branch {branch!r} cannot be pushed to {remote}: {why}") from None

    def _author(self) -> dict[str, str]:
        names = [
            self._git("config", "--get", key, with_exceptions=False).strip() for key in ("user.name", "user.email")
        ]
        return {} if all(names) else {**_AUTHOR}

    def _git(self, *args: str, env: Mapping[str, str] | None = None, config: Sequence[str] = (), **kwargs: Any) -> Any:
        """Run git with safe configuration. `GitCommandError` on a non-zero exit."""
        git: Any = self._repo.git
        options = [part for setting in (*_SAFE, *config) for part in ("-c", setting)]
        command = [Git.GIT_PYTHON_GIT_EXECUTABLE or "git", f"--git-dir={self._where}", *options, *args]
        return git.execute(command, env={**_QUIET, **(env or {})}, **kwargs)

    @staticmethod
    @contextmanager
    def _input(data: bytes) -> Generator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            yield file


def _enclosing(path: Path) -> Path | None:
    with suppress(InvalidGitRepositoryError), Repo(path, search_parent_directories=True) as repo:
        if repo.working_tree_dir:
            return Path(repo.working_tree_dir)
    return None
