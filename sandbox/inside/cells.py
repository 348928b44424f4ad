"""Serves cells: executions that each see the image as if just made. Runs as the main process of a place.

    place     this program, in a container or bubblewrap sandbox that holds the image and stays warm
    └ keeper  one workspace: a user namespace and a tree of overlays whose changes lie in a tmpfs that dies with it
      └ init  one execution: namespaces of processes, IPC, network; when it ends, the kernel ends all processes there
        └ command  no capability, no way to gain one, a seccomp filter

Nothing here has a privilege outside its own user namespace. Python 3.6 or later, standard library only.

What a frame asks for, in "op":
    open    make a workspace: {size, inodes, repository, home, writable: [path] or null}; bytes: the seccomp filter
    files   {files: [[path, mode, length or null]]}: write (or delete) files below the repository
    write   {path}; bytes: the content        read   {path, most}
    run     {argv, cwd, env, here, seconds, output_bytes, rlimits: {name in `resource`: most}}
    stop    ends the execution that runs      close  ends the workspace
    renew   a pristine workspace on the same tree: this one, where no execution changed it ({kept: true}), or a new one
"""

import errno
import fcntl
import gc
import os
import select
import signal
import stat
import struct
import sys
import time

from sandbox.inside.changes import Writings
from sandbox.inside.command import run_init
from sandbox.inside.frames import Channel, Output
from sandbox.inside.kernel import (
    EVENTS,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    NODEV,
    NOSUID,
    REMOUNT,
    called,
    count,
    mount,
    open_events,
    put,
)
from sandbox.inside.tree import STAGE, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:  # every process that is forked from the place would carry what an import brings
    from typing import Any, Dict, List, NoReturn, Optional, Tuple

RENEW = 7
"""A keeper's exit code: make another one like it."""


class Keeper:
    def __init__(self, channel: Channel, head: "Dict[str, Any]", data: bytes) -> None:
        self.channel = channel
        self.filter = data
        self.repository: str = head["repository"]
        self.events = {name: open_events(*paths) for name, paths in EVENTS.items()}
        self.size, self.inodes = head["size"], head["inodes"]
        tree = Tree(head["size"], head["inodes"], head["writable"])
        for name in sorted(os.listdir("/")):
            if name not in ("proc", "sys", "dev"):
                tree.cover("/" + name)
        for path in head["writable"] or (head["home"], self.repository):
            if os.path.isdir(path):
                tree.own(path)
        tree.devices()
        self.writings = Writings(STAGE)
        self.patched = False
        self.pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
        tree.enter()

    def serve(self) -> "NoReturn":
        while True:
            head, data = self.channel.receive()
            op = head["op"]
            if op == "close":
                os._exit(0)
            if op == "stop":
                continue  # what it was meant for has ended by itself
            if op == "renew" and not self.writings.take_back():
                os._exit(RENEW)
            try:
                answer, back = getattr(self, "do_" + op)(head, data)
            except OSError as error:
                answer, back = {"error": error.strerror or str(error), "errno": error.errno}, b""
            self.channel.send(answer, back)

    def do_renew(self, head: "Dict[str, Any]", data: bytes) -> "Tuple[Dict[str, Any], bytes]":
        return {"kept": True}, b""

    def do_files(self, head: "Dict[str, Any]", data: bytes) -> "Tuple[Dict[str, Any], bytes]":
        self.writings.changed |= self.patched
        self.patched = True
        at = 0
        files: "List[Tuple[str, Optional[int], Optional[int]]]" = head["files"]
        for path, mode, length in files:
            full = os.path.join(self.repository, path)
            there = os.path.lexists(full)
            if mode is None:
                mode = os.lstat(full).st_mode if there else 0o644
            if there:
                os.unlink(full)
            if length is None:
                folder = os.path.dirname(full)
                while there and folder != self.repository and not os.listdir(folder):  # as git does
                    os.rmdir(folder)
                    folder = os.path.dirname(folder)
                continue
            content = data[at : at + length]
            at += length
            os.makedirs(os.path.dirname(full), exist_ok=True)
            if mode == 0o120000:
                os.symlink(content, os.fsencode(full))
                continue
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode & 0o777)
            with open(fd, "wb") as file:
                file.write(content)
        return {}, b""

    def do_write(self, head: "Dict[str, Any]", data: bytes) -> "Tuple[Dict[str, Any], bytes]":
        path = head["path"]
        self.writings.about_to_write(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            os.unlink(path)  # a folder says no; a link or pipe must not be written through
        with open(path, "wb") as file:
            file.write(data)
        return {}, b""

    def do_read(self, head: "Dict[str, Any]", data: bytes) -> "Tuple[Dict[str, Any], bytes]":
        fd = os.open(head["path"], os.O_RDONLY | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if status.st_size > head["most"]:
                raise OSError(errno.EFBIG, "%d bytes; at most %d are read" % (status.st_size, head["most"]))
            return {}, file.read(head["most"])

    def do_run(self, head: "Dict[str, Any]", data: bytes) -> "Tuple[Dict[str, Any], bytes]":
        before = {name: count(fd) for name, fd in self.events.items()}
        self.bound(head["memory_bytes"])
        untouched = self.writings.seen()
        called("setns", self.pids, NEWPID)
        called("unshare", NEWPID)
        out, out_writer = os.pipe()
        end, end_writer = os.pipe()
        try:  # noqa: SIM105
            fcntl.fcntl(out_writer, 1031, 1 << 20)  # F_SETPIPE_SZ
        except OSError:
            pass  # a slower pipe
        started = time.monotonic()
        init = os.fork()
        if init == 0:
            run_init(head, self.filter, out_writer, end_writer)
        os.close(out_writer)
        os.close(end_writer)
        output = Output(head["output_bytes"])
        why = self.drain(init, out, end, output, started + head["seconds"])
        told = os.read(end, 4)
        seconds = time.monotonic() - started
        os.close(out)
        os.close(end)
        left = os.statvfs("/")
        reached = [name for name, fd in self.events.items() if count(fd) > before[name]]
        if left.f_bavail * left.f_bsize < 1 << 16 or left.f_favail < 8:
            reached.append("disk")
        self.writings.changed |= not self.writings.as_seen(untouched)
        answer = {
            "why": why,
            "code": struct.unpack(">i", told)[0] if len(told) == 4 else None,
            "seconds": seconds,
            "written": output.written,
            "head": len(output.head),
            "reached": reached,
        }
        return answer, bytes(output.head) + output.end()

    def bound(self, memory: int) -> None:
        """What is written is memory too: at most half of what this execution may use, an inode for a kilobyte of it."""
        half = memory // 2
        room = "size=%d,nr_inodes=%d" % (min(self.size, half), min(self.inodes, half // 1024))
        try:  # noqa: SIM105
            mount("cell", "/", None, REMOUNT | NOSUID | NODEV, room)
        except OSError:
            pass  # an earlier execution that was allowed more has written more

    def drain(self, init: int, out: int, end: int, output: Output, deadline: float) -> str:
        """Read until all processes are dead: when init has ended by itself, at the deadline, or when told to stop."""
        why = "ended"
        reader = self.channel.reader
        watched = [out, end, reader]
        while True:
            left = deadline - time.monotonic()
            ready = select.select(watched, [], [], max(left, 0))[0]
            if out in ready and not output.take(out):
                watched.remove(out)
            if end in ready:
                break
            if reader in ready and self.channel.receive()[0]["op"] != "run":
                why = "stopped"
                break
            if left <= 0:
                why = "timed out"
                break
        if why != "ended":
            os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)  # init's end is the end of all: the kernel waits for them
        while output.take(out):
            pass
        return why


def be_keeper(channel: Channel, head: "Dict[str, Any]", data: bytes) -> "NoReturn":
    """Enter namespaces of our own, and be their first process."""
    try:
        uid, gid = os.getuid(), os.getgid()
        called("unshare", NEWUSER | NEWNS | NEWPID | NEWUTS)
        put("/proc/self/setgroups", "deny")
        put("/proc/self/uid_map", "%d %d 1" % (uid, uid))
        put("/proc/self/gid_map", "%d %d 1" % (gid, gid))
        keeper = os.fork()
        if keeper:
            status = os.waitpid(keeper, 0)[1]
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
        called("sethostname", b"sandbox", 7)
        kept = Keeper(channel, head, data)
    except BaseException as error:
        channel.send({"error": "%s: %s" % (type(error).__name__, error)})
        os._exit(1)
    channel.send({})
    kept.serve()


def main() -> None:
    gc.disable()  # it would write to all that forked processes share with this one
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would let a command interrupt its init
    events = open_events(*EVENTS["memory"])
    channel = Channel()
    who = {"python": sys.executable, "machine": os.uname().machine, "uid": os.getuid(), "gid": os.getgid()}
    channel.send(who)
    while True:
        head, data = channel.receive()
        if head["op"] != "open":
            continue  # meant for a workspace that is gone
        status = before = RENEW << 8
        while status == RENEW << 8:
            before = count(events)
            pid = os.fork()
            if pid == 0:
                be_keeper(channel, head, data)
            status = os.waitpid(pid, 0)[1]
        channel.send({"closed": status == 0, "memory": status != 0 and count(events) > before})
