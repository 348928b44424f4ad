"""Makes, applies and reads patches with git, inside the sandbox. Runs on Python 3.6 and later.

    git_tool.py make  REPOSITORY REQUEST   patch of {"path": base64 or null} against the base commit, proven to apply
    git_tool.py apply REPOSITORY PATCH     strictly apply a patch to the tree
    git_tool.py files REPOSITORY PATCH     the files it changes: JSON of [path, mode, base64 or null for deleted]
    git_tool.py diff  REPOSITORY MAX       patch from the base commit to the present tree
    git_tool.py tree  MAX                  the base commit's regular files: a line of JSON, then their contents

Answers one line of JSON: {"ok": text} or {"rejected": why}. A crash of this program is the sandbox's fault.

Neither the repository's nor the user's git configuration takes part: the git directory is made anew in a
temporary folder, its attributes outrank those of the tree, and the objects are read from a store that only root
can write. So no hook, filter, text conversion, external diff or file system monitor of theirs can run.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional, Sequence, Tuple

STORE = os.environ.get("BESTPATCH_STORE", "/opt/bestpatch/base.git")
# No conversion of any kind; whether a file is text is decided below, by what is in it.
ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding !diff !merge !whitespace !export-ignore\n"
CONFIG = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tsymlinks = true
\tautocrlf = false
\tsafecrlf = false
\tprecomposeunicode = false
\tquotepath = true
\thooksPath = /dev/null
\tfsmonitor = false
\tuntrackedCache = false
\tattributesFile = /dev/null
\texcludesFile = /dev/null
[advice]
\taddEmbeddedRepo = false
"""
# Each option is said, so that no configuration has a say.
DIFF = (
    "diff-index --cached --patch --binary --full-index --no-renames --no-color --no-ext-diff --no-textconv "
    "--ignore-submodules=all --src-prefix=a/ --dst-prefix=b/"
).split()
REGULAR = ("100644", "100755")


class Rejected(Exception):
    """What was asked for cannot be done to this tree."""


class Git:
    """Git with a directory of its own, on the base commit's objects."""

    def __init__(self, folder: str, tree: Optional[str]) -> None:
        self.folder = os.path.join(folder, "git")
        for name in ("objects/info", "refs/heads", "info"):
            os.makedirs(os.path.join(self.folder, name))
        self.write("config", CONFIG)
        self.write("HEAD", "ref: refs/heads/none\n")
        self.write("info/attributes", ATTRIBUTES)
        self.write("objects/info/alternates", os.path.join(STORE, "objects") + "\n")
        if os.path.exists(os.path.join(STORE, "info", "exclude")):
            shutil.copyfile(os.path.join(STORE, "info", "exclude"), os.path.join(self.folder, "info", "exclude"))
        self.env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "LC_ALL": "C",
            "GIT_DIR": self.folder,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_INDEX_FILE": os.path.join(folder, "index"),
        }
        self.tree = tree
        if tree is not None:
            self.env["GIT_WORK_TREE"] = tree
        with open(os.path.join(STORE, "base")) as file:
            self.base = file.read().strip()

    def write(self, name: str, text: str) -> None:
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def __call__(self, *args: str, **more: Any) -> bytes:
        index = more.pop("index", None)
        env = dict(self.env, GIT_INDEX_FILE=index) if index else self.env
        run: Any = subprocess.run
        pipe = subprocess.PIPE
        done = run(["git"] + list(args), stdout=pipe, stderr=pipe, cwd=self.tree or self.folder, env=env, **more)
        if done.returncode:
            raise Rejected(done.stderr.decode("utf-8", "replace").strip() or "git " + args[0] + " failed")
        return done.stdout

    def entries(self) -> Dict[bytes, Tuple[str, str]]:
        """Path -> (mode, object) of the base commit."""
        found: Dict[bytes, Tuple[str, str]] = {}
        for line in self("ls-tree", "-r", "-z", "--full-tree", self.base).split(b"\0"):
            if line:
                meta, path = line.split(b"\t", 1)
                mode, _, name = meta.decode().split()
                found[path] = (mode, name)
        return found

    def blob(self, name: str) -> bytes:
        return b"" if set(name) == {"0"} else self("cat-file", "blob", name)

    def staged_patch(self) -> bytes:
        """The patch from the base commit to the index: valid UTF-8, whatever the files hold."""
        fields = self("diff-index", "--cached", "--raw", "-z", "--no-renames", "--abbrev=40", self.base).split(b"\0")
        lines = [ATTRIBUTES]
        for meta, path in zip(fields[0::2], fields[1::2]):
            old_mode, new_mode, old, new, _ = meta.decode().lstrip(":").split()
            if "160000" in (old_mode, new_mode):
                continue
            if not (_is_text(self.blob(old)) and _is_text(self.blob(new))):
                lines.append(_attribute_pattern(path) + " -diff\n")
        self.write("info/attributes", "".join(lines))
        patch = self(*DIFF, self.base)
        return _whole_hunk_titles(patch)


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _attribute_pattern(path: bytes) -> str:
    """The path as a pattern that matches nothing else, in git's quotes, all of it in octal where it is not plain."""
    out = ["/"]
    for byte in bytearray(path):
        char = chr(byte)
        if char in "*?[]\\!#":
            out.append("\\\\" + char if char != "\\" else "\\\\\\\\")
        elif char == '"' or byte < 32 or byte > 126:
            out.append("\\%03o" % byte)
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def _whole_hunk_titles(patch: bytes) -> bytes:
    """Git cuts the title of a hunk at 80 bytes, through characters if need be; drop the broken rest."""
    lines = patch.split(b"\n")
    for at, line in enumerate(lines):
        if line.startswith(b"@@ "):
            lines[at] = line.decode("utf-8", "ignore").encode("utf-8")
    return b"\n".join(lines)


def _blocked(
    path: bytes, entries: Dict[bytes, Tuple[str, str]], changes: Dict[bytes, Optional[bytes]]
) -> Optional[bytes]:
    """A file or link of the base commit that stands where the path needs a folder."""
    parts = path.split(b"/")
    for end in range(1, len(parts)):
        above = b"/".join(parts[:end])
        if above in entries and changes.get(above, b"") is not None:
            return above
    return None


def make(git: Git, request: str, repository: str) -> str:
    with open(request) as file:
        asked: Dict[str, Optional[str]] = json.load(file)
    changes: Dict[bytes, Optional[bytes]] = {}
    for path, content in asked.items():
        changes[os.fsencode(path)] = None if content is None else base64.b64decode(content)
    entries = git.entries()
    info: List[bytes] = []
    for path in sorted(changes):
        content = changes[path]
        mode = entries.get(path, ("100644", ""))[0]
        shown = os.fsdecode(path)
        if mode not in REGULAR:
            raise Rejected("not a regular file in the repository: %r" % shown)
        if content is None:
            if path in entries:
                info.append(b"0 " + b"0" * 40 + b"\t" + path)
            continue
        blocked = _blocked(path, entries, changes)
        if blocked is not None:
            raise Rejected("%r needs a folder where %r is a file" % (shown, os.fsdecode(blocked)))
        below = path + b"/"
        if any(other.startswith(below) and changes.get(other, b"") is not None for other in entries):
            raise Rejected("%r is a folder in the repository" % shown)
        name = git("hash-object", "-w", "-t", "blob", "--no-filters", "--stdin", input=content).strip()
        info.append(mode.encode() + b" " + name + b"\t" + path)
    git("read-tree", git.base)
    # Deletions first: a folder may take the place of a deleted file.
    info.sort(key=lambda line: not line.startswith(b"0 "))
    git("update-index", "-z", "--index-info", input=b"".join(line + b"\0" for line in info))
    patch = git.staged_patch()
    _prove(git, patch, repository, changes)
    return patch.decode("utf-8")


def _prove(git: Git, patch: bytes, repository: str, changes: Dict[bytes, Optional[bytes]]) -> None:
    """Apply the patch to the base commit's index and to the clean tree; both must hold what was asked for."""
    if not patch:
        return
    wanted = git("write-tree")
    clean = git.env["GIT_INDEX_FILE"] + ".clean"
    git("read-tree", git.base, index=clean)
    git("apply", "--cached", "--whitespace=nowarn", input=patch, index=clean)
    if git("write-tree", index=clean) != wanted:
        raise Rejected("the patch does not give the changed content back")
    apply(git, patch)
    for path, content in changes.items():
        full = os.path.join(os.fsencode(repository), path)
        if content is None:
            if os.path.isfile(full):
                raise Rejected("a deleted file is still there: %r" % os.fsdecode(path))
            continue
        with open(full, "rb") as file:
            if file.read() != content:
                raise Rejected("the applied file differs from the changed content: %r" % os.fsdecode(path))


def apply(git: Git, patch: bytes) -> str:
    return git("apply", "--whitespace=nowarn", input=patch).decode()


def files(git: Git, patch: bytes) -> str:
    git("read-tree", git.base)
    git("apply", "--cached", "--whitespace=nowarn", input=patch)
    fields = git("diff-index", "--cached", "--raw", "-z", "--no-renames", "--abbrev=40", git.base).split(b"\0")
    found: List[Tuple[str, str, Optional[str]]] = []
    for meta, path in zip(fields[0::2], fields[1::2]):
        _, mode, _, name, kind = meta.decode().lstrip(":").split()
        data = None if kind == "D" else base64.b64encode(git.blob(name)).decode()
        found.append((os.fsdecode(path), mode, data))
    # Deletions first: a folder may take the place of a deleted file.
    return json.dumps(sorted(found, key=lambda one: one[2] is not None))


def diff(git: Git, most: int) -> str:
    git("read-tree", git.base)
    git("add", "-A", "--ignore-errors", ".")
    patch = git.staged_patch()
    if len(patch) > most:
        raise Rejected("the changes make a patch of %d bytes; at most %d are taken" % (len(patch), most))
    return patch.decode("utf-8")


def tree(git: Git, most: int) -> None:
    wanted = [(path, name.encode()) for path, (mode, name) in git.entries().items() if mode in REGULAR]
    names = b"".join(name + b"\n" for _, name in wanted)
    sizes = git("cat-file", "--batch-check=%(objectsize)", input=names).split()
    kept = [(path, name, int(size)) for (path, name), size in zip(wanted, sizes) if int(size) <= most]
    listing = json.dumps([[os.fsdecode(path), size] for path, _, size in kept])
    out = sys.stdout.buffer
    out.write(listing.encode("ascii") + b"\n")
    data = git("cat-file", "--batch=", input=b"".join(name + b"\n" for _, name, _ in kept))
    at = 0
    for _, _, size in kept:
        at += 1  # the empty header line
        out.write(data[at : at + size])
        at += size + 1
    out.flush()


def main(args: Sequence[str]) -> None:
    folder = tempfile.mkdtemp(prefix="bestpatch-git-")
    try:
        if args[0] == "tree":
            tree(Git(folder, None), int(args[1]))
            return
        repository = args[1]
        git = Git(folder, repository)
        try:
            if args[0] == "make":
                answer = {"ok": make(git, args[2], repository)}
            elif args[0] == "diff":
                answer = {"ok": diff(git, int(args[2]))}
            else:
                with open(args[2], "rb") as file:
                    patch = file.read()
                answer = {"ok": files(git, patch) if args[0] == "files" else apply(git, patch)}
        except Rejected as rejected:
            answer = {"rejected": str(rejected)}
        print(json.dumps(answer))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
