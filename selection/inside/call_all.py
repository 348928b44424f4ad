"""Calls functions of a tree with given arguments and tells what comes of each call.

    CALLS REPOSITORY NONCE SECONDS      Python 3.6 or later, standard library only

CALLS is a JSON file: a list of [module, qualified name, the constructor's arguments or null, arguments], arguments as
the repr of (tuple, dict). Each call runs in a process of its own, forked once the modules are loaded: with fresh
arguments, with nothing that a call before it left, for at most SECONDS, with at most `MEMORY` more memory. A line for
each: the nonce, a space, a JSON list of the call's number and its output. What the code prints goes nowhere.

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
    """What a call comes to: its result or the exception's type, and what it did to its arguments and its object."""
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
    if after != before:
        text += "; arguments become " + after
    if owner is not None and canonical(owner) != state:
        text += "; object becomes " + canonical(owner)
    return text


def in_child(telling: int, module: "Any", call: "List[Any]") -> None:
    """Ends the process."""
    try:
        os.setsid()
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = used + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        text = capped(outcome(module, call[1], call[2], call[3]))
        os.write(telling, json.dumps(text).encode() + b"\n")
    finally:
        os._exit(0)


def called(module: "Any", call: "List[Any]", seconds: float, out: int) -> str:
    hearing, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        os.close(hearing)
        in_child(telling, module, call)
    os.close(telling)
    line, ended = heard(hearing, time.monotonic() + seconds)
    os.close(hearing)
    for kill, whom in ((os.killpg, pid), (os.kill, pid)):
        try:
            kill(whom, signal.SIGKILL)
        except OSError:
            continue  # it had no group yet, or is gone
    os.waitpid(pid, 0)
    if not line.endswith(b"\n"):
        return ENDS if ended else NO_END
    try:
        return capped(str(json.loads(line.decode("ascii"))))
    except ValueError:
        return ENDS


def heard(hearing: int, until: float) -> "Tuple[bytes, bool]":
    """What comes before the deadline, up to a line's end, and whether the other side is closed."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 64 * LONGEST:
        left = until - time.monotonic()
        if left <= 0 or not select.select([hearing], [], [], left)[0]:
            return line, False
        more = os.read(hearing, 65536)
        if not more:
            break
        line += more
    return line, True


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
    for number, call in enumerate(calls):
        module = modules[call[0]]
        text: str = module if isinstance(module, str) else called(module, call, float(seconds), out)
        endless += text == NO_END
        os.write(out, ("%s %s\n" % (nonce, json.dumps([number, text]))).encode())
        if endless >= MOST_ENDLESS:
            break
    os._exit(0)  # threads of the code under test do not keep it


main()
