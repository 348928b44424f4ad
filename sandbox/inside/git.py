"""Git with a directory of its own, and what patches are made with: part of `git_tool.py`.

Neither the repository's nor the user's git configuration takes part: the git directory is made anew in a
temporary folder, its attributes outrank those of the tree, and the objects are read from a store that only root
can write. So no hook, filter, text conversion, external diff or file system monitor of theirs can run.

Python 3.6 or later, standard library only.
"""

import os
import zlib

TYPE_CHECKING = False
try:
    if TYPE_CHECKING:
        raise ImportError
    from _sha1 import sha1  # hashlib loads OpenSSL
except ImportError:
    from hashlib import sha1

if TYPE_CHECKING:  # typing, subprocess, tempfile, shutil: importing them takes longer than the interpreter's start
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

    def __init__(self, folder: str, tree: "Optional[str]") -> None:
        self.folder = os.path.join(folder, "git")
        for name in ("objects/info", "refs/heads", "info"):
            os.makedirs(os.path.join(self.folder, name))
        self.write("config", CONFIG)
        self.write("HEAD", "ref: refs/heads/none\n")
        self.write("info/attributes", ATTRIBUTES)
        self.write("objects/info/alternates", os.path.join(STORE, "objects") + "\n")
        exclude = os.path.join(STORE, "info", "exclude")
        if os.path.exists(exclude):
            with open(exclude, errors="surrogateescape") as file:
                self.write("info/exclude", file.read())
        self.env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "LC_ALL": "C",
            "GIT_DIR": self.folder,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_INDEX_FILE": os.path.join(folder, "index"),
        }
        self.tree = tree
        if tree is not None:
            self.env["GIT_WORK_TREE"] = tree
        with open(os.path.join(STORE, "base")) as file:
            self.base = file.read().strip()

    def write(self, name: str, text: str) -> None:
        with open(os.path.join(self.folder, name), "w", errors="surrogateescape") as file:
            file.write(text)

    def __call__(self, *args: str, **more: "Any") -> bytes:
        """What git prints; `input` goes in, the rest of `more` is environment. Files, so that no stream can fill up."""
        argv, folder = ["git"] + list(args), os.path.dirname(self.folder)
        paths = [os.path.join(folder, name) for name in ("input", "output", "errors")]
        with open(paths[0], "wb") as file:
            file.write(more.pop("input", b""))
        pid = os.fork()
        if pid == 0:
            try:
                for number, path in enumerate(paths):
                    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
                    os.dup2(os.open(path, flags, 0o600), number)
                os.chdir(self.tree or self.folder)
                os.execvpe("git", argv, dict(self.env, **more))
            finally:
                os._exit(127)
        failed = os.waitpid(pid, 0)[1]
        with open(paths[2 if failed else 1], "rb") as file:
            said = file.read()
        if failed:
            raise Rejected(said.decode("utf-8", "replace").strip() or "git " + args[0] + " failed")
        return said

    def entries(self) -> "Dict[bytes, Tuple[str, str]]":
        """Path -> (mode, object) of the base commit."""
        found: "Dict[bytes, Tuple[str, str]]" = {}
        for line in self("ls-tree", "-r", "-z", "--full-tree", self.base).split(b"\0"):
            if line:
                meta, path = line.split(b"\t", 1)
                mode, _, name = meta.decode().split()
                found[path] = (mode, name)
        return found

    def store(self, content: bytes) -> str:
        """Write a blob, as `git hash-object -w` does; its name."""
        data = b"blob %d\0" % len(content) + content
        name = sha1(data).hexdigest()
        folder = os.path.join(self.folder, "objects", name[:2])
        if not os.path.isdir(folder):
            os.mkdir(folder)
        with open(os.path.join(folder, name[2:]), "wb") as file:
            file.write(zlib.compress(data, 1))
        return name

    def blobs(self, names: "Sequence[str]") -> "Dict[str, bytes]":
        wanted = sorted({name for name in names if set(name) != {"0"}})
        found = dict.fromkeys(names, b"")
        data, at = b"", 0
        if wanted:
            data = self("cat-file", "--batch", input="".join(name + "\n" for name in wanted).encode())
        for name in wanted:
            end = data.index(b"\n", at)
            if data[at:end].endswith(b" missing"):
                raise Rejected("an object is missing: " + name)
            size = int(data[at:end].split()[2])
            found[name] = data[end + 1 : end + 1 + size]
            at = end + 1 + size + 1
        return found

    def changed(self) -> "List[Tuple[bytes, str, str, str, str]]":
        """What differs between the base commit and the index: path, modes and objects before and after."""
        fields = self("diff-index", "--cached", "--raw", "-z", "--no-renames", "--abbrev=40", self.base).split(b"\0")
        found: "List[Tuple[bytes, str, str, str, str]]" = []
        for meta, path in zip(fields[0::2], fields[1::2]):
            old_mode, new_mode, old, new, _ = meta.decode().lstrip(":").split()
            found.append((path, old_mode, new_mode, old, new))
        return found

    def patch(self, contents: "Dict[bytes, Sequence[bytes]]", paths: "Sequence[bytes]" = ()) -> bytes:
        """The patch from the base commit to the index: valid UTF-8, whatever the files hold.

        `contents`: what changed files hold before and after. `paths`: all that the index holds, if not all files.
        """
        if not contents:
            return b""
        lines = [ATTRIBUTES]
        for path in sorted(contents):
            if not all(map(is_text, contents[path])):
                lines.append(_attribute_pattern(path) + " -diff\n")
        self.write("info/attributes", "".join(lines))
        return _whole_hunk_titles(self(*DIFF, self.base, "--", *map(os.fsdecode, paths)))


def is_text(data: bytes) -> bool:
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
