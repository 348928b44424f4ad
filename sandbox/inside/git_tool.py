"""Makes, applies and reads patches with git, inside the sandbox. Runs on Python 3.6 and later.

    git_tool make  REPOSITORY REQUEST   patch of {"path": base64 or null} against the base commit, proven to apply
    git_tool apply REPOSITORY PATCH     strictly apply a patch to the tree
    git_tool files REPOSITORY PATCH     the files it changes: JSON of [path, mode, base64 or null for deleted]
    git_tool diff  REPOSITORY MAX       patch from the base commit to the present tree
    git_tool tree  MAX                  the base commit's regular files: a line of JSON, then their contents

Answers one line of JSON: {"ok": text} or {"rejected": why}. A crash of this program is the sandbox's fault.
"""

import binascii
import json
import os
import sys

from sandbox.inside.git import REGULAR, Git, Rejected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple


def _blocked(
    path: bytes, entries: "Dict[bytes, Tuple[str, str]]", changes: "Dict[bytes, Optional[bytes]]"
) -> "Optional[bytes]":
    """A file or link of the base commit that stands where the path needs a folder."""
    parts = path.split(b"/")
    for end in range(1, len(parts)):
        above = b"/".join(parts[:end])
        if above in entries and changes.get(above, b"") is not None:
            return above
    return None


def make(git: Git, request: str, repository: str) -> str:
    with open(request) as file:
        asked: "Dict[str, Optional[str]]" = json.load(file)
    changes: "Dict[bytes, Optional[bytes]]" = {}
    for path, content in asked.items():
        changes[os.fsencode(path)] = None if content is None else binascii.a2b_base64(content)
    entries = git.entries()
    info: "List[bytes]" = []
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
        info.append(mode.encode() + b" " + git.store(content).encode() + b"\t" + path)
    # The index holds the changed paths alone, since only they are compared.
    git("update-index", "-z", "--index-info", input=b"".join(line + b"\0" for line in info))
    blobs = git.blobs([entries[path][1] for path in changes if path in entries])
    before = {path: blobs[entries[path][1]] for path in changes if path in entries}
    patch = git.patch({path: (before.get(path, b""), changes[path] or b"") for path in changes}, sorted(changes))
    _prove(git, patch, repository, changes, before)
    return patch.decode("utf-8")


def _prove(
    git: Git,
    patch: bytes,
    repository: str,
    changes: "Dict[bytes, Optional[bytes]]",
    before: "Dict[bytes, bytes]",
) -> None:
    """Apply the patch to the clean tree, which must hold then what was asked for.

    Where the tree's files are not the base commit's to the byte, to that commit's index as well.
    """
    if not patch:
        return
    paths = {path: os.path.join(os.fsencode(repository), path) for path in changes}
    if any(_read(paths[path]) != before[path] for path in before):
        git("read-tree", git.base)
        git("apply", "--cached", "--whitespace=nowarn", input=patch)
        found = {path: new for path, _, _, _, new in git.changed()}
        blobs = git.blobs(list(found.values()))
        wanted = {path: content or b"" for path, content in changes.items() if content != before.get(path)}
        if {path: blobs[name] for path, name in found.items()} != wanted:
            raise Rejected("the patch does not give the changed content back")
    apply(git, patch)
    for path, content in changes.items():
        if content is None and os.path.isfile(paths[path]):
            raise Rejected("a deleted file is still there: %r" % os.fsdecode(path))
        if content is not None and _read(paths[path]) != content:
            raise Rejected("the applied file differs from the changed content: %r" % os.fsdecode(path))


def _read(path: bytes) -> "Optional[bytes]":
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None  # the tree lacks what the base commit has


def apply(git: Git, patch: bytes) -> str:
    return git("apply", "--whitespace=nowarn", input=patch).decode()


def files(git: Git, patch: bytes) -> str:
    git("read-tree", git.base)
    git("apply", "--cached", "--whitespace=nowarn", input=patch)
    changed = git.changed()
    blobs = git.blobs([new for _, _, _, _, new in changed])
    found: "List[Tuple[str, str, Optional[str]]]" = []
    for path, _, mode, _, new in changed:
        data = None if set(new) == {"0"} else binascii.b2a_base64(blobs[new], newline=False).decode()
        found.append((os.fsdecode(path), mode, data))
    # Deletions first: a folder may take the place of a deleted file.
    return json.dumps(sorted(found, key=lambda one: one[2] is not None))


def diff(git: Git, most: int) -> str:
    git("read-tree", git.base)
    git("add", "-A", "--ignore-errors", ".")
    changed = [one for one in git.changed() if "160000" not in one[1:3]]
    blobs = git.blobs([name for one in changed for name in one[3:]])
    patch = git.patch({path: (blobs[old], blobs[new]) for path, _, _, old, new in changed})
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


def main() -> None:
    args = sys.argv[1:]
    folder = os.path.join(os.environ.get("TMPDIR", "/tmp"), "bestpatch-git-" + binascii.b2a_hex(os.urandom(8)).decode())
    os.mkdir(folder, 0o700)
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
        for where, folders, names in os.walk(folder, topdown=False):
            for name in names:
                os.unlink(os.path.join(where, name))
            for name in folders:
                os.rmdir(os.path.join(where, name))
        os.rmdir(folder)
