"""Calls functions of a tree with given arguments and tells what comes of each call.

    CALLS REPOSITORY NONCE SECONDS      Python 3.6 or later, standard library only

CALLS is a JSON file: a list of [module, qualified name, the constructor's arguments or null, arguments], arguments as
the repr of (tuple, dict). The calls run one after the other in a process that is forked once the modules are loaded:
with fresh arguments, each for at most SECONDS, with at most `MEMORY` more memory. A call that hangs or ends the process
loses its own output, and the next ones run in a new process. (A process for each call would cost 4 ms, a call takes
0.1.) A line for each: the nonce, a space, a JSON list of the call's number and its output. What the code prints goes
nowhere.

The code under test shares the process and could forge lines. It gains nothing: they count for its own tree alone,
whose outputs it chooses anyway.
"""

import ast
import hashlib
import importlib
import json
import os
import re
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

MEMORY = 1 << 30
LONGEST, WHOLE, DEEPEST, WIDEST = 300, 200, 12, 2000
"""Characters of an output; those that are kept of a longer one; nesting and size of values that are looked into."""
MOST_ENDLESS = 3
"""Calls that may run out of time before the rest is left out."""
NO_END, ENDS = "does not end in time", "ends the program"

ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


kind_of: "Callable[[Any], Any]" = type


def canonical(value: "Any", depth: int = 0) -> str:
    """A text that is equal for equal values: no addresses, no order where there is none, 9 digits of a number."""
    kind = kind_of(value)
    if kind is float:
        return "%.9g" % value  # 1.0 as 1, to which it is equal
    if kind is complex:
        return "complex(%.9g, %.9g)" % (value.real, value.imag)
    if depth > DEEPEST:
        return "..."
    if kind is dict:
        parts = sorted(canonical(key, depth + 1) + ": " + canonical(value[key], depth + 1) for key in first(value))
        return "{" + ", ".join(parts) + "}"
    if kind in (set, frozenset):
        parts = sorted(canonical(part, depth + 1) for part in first(value))
        text = "{" + ", ".join(parts) + "}" if parts else ""
        return text if text and kind is set else kind.__name__ + "(" + text + ")"
    if kind in (list, tuple):
        parts = [canonical(part, depth + 1) for part in first(value)]
        return ("[%s]" if kind is list else "(%s,)" if len(parts) == 1 else "(%s)") % ", ".join(parts)
    if kind.__repr__ is object.__repr__ and hasattr(value, "__dict__"):
        return kind.__qualname__ + canonical(value.__dict__, depth + 1)
    if hasattr(value, "__next__"):
        return "iterator" + canonical(first(value), depth + 1)
    return ADDRESS.sub("0x", repr(value))


def first(values: "Any") -> "List[Any]":
    found: "List[Any]" = []
    for value in values:
        found.append(value)
        if len(found) >= WIDEST:
            break
    return found


def capped(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[:WHOLE] + "... sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def outcome(module: "Any", name: str, constructor: "Optional[str]", arguments: str) -> str:
    """What a call comes to: its result or the exception's type, and what it did to its object.

    Where it returns nothing, also what it did to its arguments. Beside a result that is left out: it told apart
    candidates that are equally right.
    """
    target: "Any" = module
    owner: "Any" = None
    positional, named = ast.literal_eval(arguments)
    before = canonical((positional, named))
    try:
        *around, last = name.split(".")
        for part in around:
            target = getattr(target, part)
        if constructor is not None:
            given, by_name = ast.literal_eval(constructor)
            target = owner = target(*given, **by_name)
        state = "" if owner is None else canonical(owner)
        result = getattr(target, last)(*positional, **named)
        if hasattr(result, "cr_frame"):
            import asyncio

            result = asyncio.new_event_loop().run_until_complete(result)
        text = canonical(result)
    except BaseException as error:  # SystemExit and its like are outputs as well
        return "raises " + type(error).__name__
    after = canonical((positional, named))
    if result is None and after != before:
        text += "; arguments become " + after
    if owner is not None and canonical(owner) != state:
        text += "; object becomes " + canonical(owner)
    return text


def in_child(telling: int, modules: "Dict[str, Any]", calls: "List[List[Any]]", begin: int) -> None:
    """Ends the process."""
    try:
        os.setsid()
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = used + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        for number in range(begin, len(calls)):
            module, name, constructor, arguments = calls[number]
            loaded = modules[module]
            text = loaded if isinstance(loaded, str) else outcome(loaded, name, constructor, arguments)
            os.write(telling, json.dumps([number, capped(text)]).encode() + b"\n")
    finally:
        os._exit(0)


class Child:
    """A process that makes the calls from a number on."""

    def __init__(self, modules: "Dict[str, Any]", calls: "List[List[Any]]", begin: int, out: int) -> None:
        self.hearing, telling = os.pipe()
        self.heard = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.close(out)
            os.close(self.hearing)
            in_child(telling, modules, calls, begin)
        os.close(telling)

    def output(self, number: int, seconds: float) -> "Tuple[str, bool]":
        """What comes of the call of that number, and whether the process goes on."""
        until = time.monotonic() + seconds
        while True:
            line, end, rest = self.heard.partition(b"\n")
            if end:
                self.heard = rest
                try:
                    told, text = json.loads(line.decode("ascii"))
                    if told == number:
                        return capped(str(text)), True
                except (ValueError, TypeError):
                    pass  # a line that the code under test wrote
                continue
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.hearing], [], [], left)[0]:
                return NO_END, False
            more = os.read(self.hearing, 65536)
            if not more or len(self.heard) > 64 * LONGEST:
                return ENDS, False
            self.heard += more

    def kill(self) -> None:
        os.close(self.hearing)
        for kill, whom in ((os.killpg, self.pid), (os.kill, self.pid)):
            try:
                kill(whom, signal.SIGKILL)
            except OSError:
                continue  # it had no group yet, or is gone
        os.waitpid(self.pid, 0)


def main() -> None:
    path, repository, nonce, seconds = sys.argv[1:5]
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    with open(path, encoding="utf-8") as file:
        calls: "List[List[Any]]" = json.load(file)
    sys.path[0] = os.path.dirname(path)
    sys.path += [repository, os.path.join(repository, "src")]
    sys.argv = [path]
    modules: "Dict[str, Any]" = {}
    for call in calls:
        if call[0] not in modules:
            try:
                modules[call[0]] = importlib.import_module(call[0])
            except BaseException as error:  # a tree that cannot be loaded has this as its output
                modules[call[0]] = "raises %s when it is imported" % type(error).__name__
    endless = 0
    child: "Optional[Child]" = None
    for number in range(len(calls)):
        child = child or Child(modules, calls, number, out)
        text, goes_on = child.output(number, float(seconds))
        os.write(out, ("%s %s\n" % (nonce, json.dumps([number, text]))).encode())
        if not goes_on:
            child.kill()
            child = None
        endless += text == NO_END
        if endless >= MOST_ENDLESS:
            break
    if child is not None:
        child.kill()
    os._exit(0)  # threads of the code under test do not keep it


main()
