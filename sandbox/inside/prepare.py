"""Makes an image's repository fit for sandboxes, while the image is built. Runs as root, on Python 3.6 and later.

    prepare.py begin  REPOSITORY USER   commit the tree anew, as one commit without parents
    prepare.py finish REPOSITORY USER   after installing: compiled, tracked files as committed, made files ignored

USER is a name, a number or number:number, as in a Dockerfile. With a file `paths` (NUL after each) beside this
program, exactly those files are committed; without, the commit that the image's repository stands at.
The objects go to a store that only root can write; the repository borrows them. What the repository held
before, such as later history, is deleted.
"""

import grp
import os
import pwd
import shutil
import subprocess
import sys
from typing import Any, List, Optional, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
STORE = os.path.join(HERE, "base.git")
ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding\n"
HOME = "/home/bestpatch"
ENV = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": HERE,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "bestpatch",
    "GIT_AUTHOR_EMAIL": "bestpatch@localhost",
    "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "bestpatch",
    "GIT_COMMITTER_EMAIL": "bestpatch@localhost",
    "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
}
SAFE = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "core.excludesFile=/dev/null",
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.symlinks=true",
]


def git(*args: str, **more: Any) -> str:
    """Run git; keywords in capitals are environment variables."""
    env = dict(ENV, **{name: value for name, value in more.items() if name.isupper()})
    done = subprocess.run(
        ["git"] + SAFE + list(args),
        input=more.get("input"),
        stdout=subprocess.PIPE,
        cwd=more.get("cwd", more.get("GIT_WORK_TREE")),
        env=env,
        check=more.get("check", True),
    )
    return os.fsdecode(done.stdout)


def write(path: str, text: str, mode: str = "w") -> None:
    with open(path, mode) as file:
        file.write(text)


def account(spec: str) -> Tuple[int, int]:
    """User and group number of a Dockerfile's USER."""
    name, _, group = (spec or "0").partition(":")
    if name.isdigit():
        known = [entry for entry in pwd.getpwall() if entry.pw_uid == int(name)]
        uid, gid = int(name), known[0].pw_gid if known else int(name)
    else:
        entry = pwd.getpwnam(name)
        uid, gid = entry.pw_uid, entry.pw_gid
    if group:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    return uid, gid


def home(uid: int, gid: int) -> None:
    """A writable home, and an account, so that looking up the user's name works."""
    for path, line, number in (
        ("/etc/passwd", "bestpatch:x:%d:%d::%s:/bin/sh\n" % (uid, gid, HOME), uid),
        ("/etc/group", "bestpatch:x:%d:\n" % gid, gid),
    ):
        known = ""
        if os.path.exists(path):
            with open(path) as file:
                known = file.read()
        if not any(entry.split(":")[2:3] == [str(number)] for entry in known.splitlines()):
            write(path, line if known.endswith("\n") or not known else "\n" + line, "a")
    os.makedirs(HOME, exist_ok=True)
    os.chown(HOME, uid, gid)


def store(repository: str) -> str:
    """Commit the tree into the store, without parents; gives the commit."""
    git("init", "-q", "--bare", "--template=", STORE)
    os.makedirs(os.path.join(STORE, "info"), exist_ok=True)
    write(os.path.join(STORE, "info", "attributes"), ATTRIBUTES)
    write(os.path.join(STORE, "info", "exclude"), "")  # an image made from one of ours has its patterns there
    listed = os.path.join(HERE, "paths")
    if os.path.exists(listed):
        with open(listed, "rb") as file:
            paths = file.read()
        git("update-index", "--add", "-z", "--stdin", input=paths, GIT_DIR=STORE, GIT_WORK_TREE=repository)
        tree, old = git("write-tree", GIT_DIR=STORE).strip(), ""
    else:
        # The image's own repository: its commit counts, not what happens to lie around it.
        tree = git("-c", "safe.directory=*", "rev-parse", "HEAD^{tree}", cwd=repository).strip()
        old = git("-c", "safe.directory=*", "rev-parse", "--git-path", "objects", cwd=repository).strip()
        old = os.path.join(repository, old)
    both = {"GIT_DIR": STORE, "GIT_ALTERNATE_OBJECT_DIRECTORIES": old}
    commit = git("commit-tree", tree, "-m", "base", **both).strip()
    pack = os.path.join(STORE, "objects", "pack", "pack")
    git("pack-objects", "--revs", "-q", pack, input=(commit + "\n").encode(), **both)
    git("prune-packed", "-q", GIT_DIR=STORE)
    git("update-ref", "refs/heads/main", commit, GIT_DIR=STORE)
    git("symbolic-ref", "HEAD", "refs/heads/main", GIT_DIR=STORE)
    git("read-tree", commit, GIT_DIR=STORE)
    write(os.path.join(STORE, "base"), commit + "\n")
    return commit


def fresh(repository: str, commit: str) -> None:
    """A repository of one commit, whose objects are the store's."""
    old = os.path.join(repository, ".git")
    if os.path.isdir(old) and not os.path.islink(old):
        shutil.rmtree(old)
    elif os.path.lexists(old):
        os.remove(old)  # a worktree's or submodule's pointer
    git("init", "-q", "--template=", repository)
    os.makedirs(os.path.join(old, "objects", "info"), exist_ok=True)
    os.makedirs(os.path.join(old, "info"), exist_ok=True)
    write(os.path.join(old, "objects", "info", "alternates"), os.path.join(STORE, "objects") + "\n")
    git("symbolic-ref", "HEAD", "refs/heads/main", GIT_DIR=old)
    git("update-ref", "refs/heads/main", commit, GIT_DIR=old)
    git("read-tree", commit, GIT_DIR=old)
    shutil.rmtree(os.path.join(old, "logs"), ignore_errors=True)


def begin(repository: str, uid: int, gid: int) -> None:
    home(uid, gid)
    fresh(repository, store(repository))
    # For whatever the project itself does with git: the files may belong to another user than the one who asks.
    subprocess.run(["git", "config", "--system", "--add", "safe.directory", "*"], check=True)


def compiled(repository: str) -> None:
    """Bytecode beside the sources, for all executions: each begins with a tree that nothing has run in.

    Without, 60 imported modules of the repository took 128 ms instead of 35. It counts only while it is of the very
    content that the source has (PEP 552): a patch within the same second, of the same size, is seen.
    """
    if sys.version_info >= (3, 7):
        how = ["-m", "compileall", "-q", "-q", "-f", "-j", "0", "--invalidation-mode", "checked-hash"]
        subprocess.run([sys.executable, "-I"] + how + [repository], env=ENV, stdout=subprocess.DEVNULL)


def finish(repository: str, uid: int, gid: int) -> None:
    compiled(repository)
    where = {"GIT_DIR": STORE, "GIT_WORK_TREE": repository}
    git("update-index", "-q", "--refresh", check=False, **where)
    git("checkout-index", "-f", "-a", "-q", **where)
    made = git("ls-files", "--others", "--directory", "--exclude-standard", "-z", **where).split("\0")
    patterns = [ignore_pattern(path) for path in made if path and path != ".git/"]
    own = os.path.join(repository, ".git")
    for exclude in (os.path.join(STORE, "info", "exclude"), os.path.join(own, "info", "exclude")):
        with open(exclude, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(pattern + "\n" for pattern in patterns if pattern))
    git("update-index", "-q", "--refresh", check=False, GIT_DIR=own, GIT_WORK_TREE=repository)
    for folder, folders, files in os.walk(repository):
        for name in [folder] + [os.path.join(folder, name) for name in folders + files]:
            status = os.lstat(name)
            if (status.st_uid, status.st_gid) != (uid, gid):
                os.chown(name, uid, gid, follow_symlinks=False)
    os.makedirs(os.path.join(HERE, "run"), exist_ok=True)
    copy_of_etc()


def copy_of_etc() -> None:
    """The image's /etc once more: in a container the engine's files lie over some of it (see `inside/cells.py`)."""
    copy = os.path.join(HERE, "etc")
    subprocess.run(["cp", "-a", "/etc", copy], check=True)
    for name, text in (
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        ("hostname", "sandbox\n"),
        ("resolv.conf", ""),
    ):
        path = os.path.join(copy, name)
        if os.path.lexists(path):
            os.remove(path)
        write(path, text)


def ignore_pattern(path: str) -> Optional[str]:
    """The path as a pattern of .gitignore; None for a name with a line break, which has none."""
    if "\n" in path:
        return None
    escaped = "".join("\\" + char if char in "*?[]\\!# " else char for char in path)
    return "/" + escaped


def main(args: List[str]) -> None:
    step, repository, spec = args
    (begin if step == "begin" else finish)(repository, *account(spec))


if __name__ == "__main__":
    main(sys.argv[1:])
