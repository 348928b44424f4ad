"""Runs test scripts and tells with which arguments the repository's functions are called.

    SCRIPTS REPOSITORY TOUCHED      Python 3.6 or later, standard library only

SCRIPTS is a JSON file: a list of [path, nonce, source], the path below the file's folder. Each script is written there
and runs in a process of its own, all at once: they share the interpreter's start, and one that hangs delays no other.
TOUCHED is a JSON list of [path, qualified name]. Told are the calls of these functions, made by anybody, and those of
all functions of the repository that a script itself calls. Each is a line: the script's nonce, a space, and a JSON list
of path, module, qualified name, the constructor's arguments (null for what is no method) and the arguments. Arguments
are the repr of (tuple, dict), and only literals are told: nothing else can be built again somewhere else.

The script's verdict does not matter here, so it goes on where a test would end: each statement runs for itself, and
an assertion only has its condition evaluated. What it prints goes nowhere, so that the lines stand alone.
"""

import ast
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Callable, Dict, List, Optional, Set, Tuple

MOST, LONGEST, DEEPEST = 400, 2000, 6
"""Calls that are told; characters of the arguments of one; nesting of its values."""


kind_of: "Callable[[Any], Any]" = type


def plain(value: "Any", depth: int = 0) -> bool:
    """Whether a value is a literal that its repr gives back."""
    kind = kind_of(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return bool(value.bit_length() < 512)
    if kind is float:
        return bool(value == value) and abs(value) != float("inf")
    if depth > DEEPEST or kind not in (str, bytes, list, tuple, set, dict) or len(value) > LONGEST:
        return False
    if kind is dict:
        return all(plain(key, depth + 1) and plain(value[key], depth + 1) for key in value)
    if kind in (str, bytes):
        return True
    return (kind is not set or bool(value)) and all(plain(part, depth + 1) for part in value)  # "set()" is no literal


def text_of(positional: "List[Any]", named: "Dict[str, Any]") -> "Optional[str]":
    if not all(plain(value) for value in positional) or not all(plain(value) for value in named.values()):
        return None
    text = repr((tuple(positional), named))
    return text if len(text) <= LONGEST else None


def arguments(frame: "FrameType", function: "Any", skip: int) -> "Optional[str]":
    """The arguments of a call that begins, without the first `skip`, and without defaults at the end."""
    code, values = frame.f_code, frame.f_locals
    count, only = code.co_argcount, code.co_kwonlyargcount
    names = code.co_varnames
    if any(name not in values for name in names[: count + only]):
        return None
    positional = [values[name] for name in names[:count]]
    named = {name: values[name] for name in names[count : count + only]}
    at = count + only
    rest: "Tuple[Any, ...]" = ()
    if code.co_flags & 0x04:  # *rest
        rest, at = values[names[at]], at + 1
    if code.co_flags & 0x08:  # **rest
        named.update(values[names[at]])
    defaults = list(function.__defaults__ or ())
    while not rest and defaults and positional and positional[-1] is defaults[-1]:
        # A fix may be another default: what was not given is not told.
        positional.pop()
        defaults.pop()
    usual: "Dict[str, Any]" = function.__kwdefaults__ or {}
    for name, value in usual.items():
        if name in named and named[name] is value:
            del named[name]
    return text_of(positional[skip:] + list(rest), named)


def unwrapped(value: "Any", code: "CodeType") -> "Any":
    """The function of this code that a name stands for, maybe behind decorators; None if it is another."""
    for _ in range(8):
        if getattr(value, "__code__", None) is code:
            return value
        value = getattr(value, "__func__", None) or getattr(value, "__wrapped__", None)
    return None


class Recorder:
    """A profile function that tells calls as they begin."""

    def __init__(self, script: str, root: str, nonce: str, touched: "List[List[str]]", out: int) -> None:
        self.script = script
        self.root = root.rstrip("/") + "/"
        self.nonce = nonce
        self.touched = {(path, name) for path, name in touched}
        self.watched = {(self.root + path, name.rpartition(".")[2]) for path, name in touched}
        self.out = out
        self.told: "Set[str]" = set()
        self.made: "Dict[int, Tuple[Any, Optional[str]]]" = {}
        self.frames: "Dict[int, FrameType]" = {}

    def __call__(self, frame: "FrameType", event: str, _: "Any") -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(self.root) or len(self.told) >= MOST:
            return
        if code.co_name == "__init__":
            self.constructed(frame)
            return
        by = frame.f_back
        direct = by is not None and by.f_code.co_filename == self.script
        if not direct and (code.co_filename, code.co_name) not in self.watched:
            return
        if code.co_flags & 0x2A0:  # generators and coroutines begin anew at each step: only their first one counts
            if id(frame) in self.frames or len(self.frames) >= MOST:
                return
            self.frames[id(frame)] = frame
        found = self.described(frame)
        if found is None:
            return
        function, name, owner, skip = found
        path = code.co_filename[len(self.root) :]
        if not direct and (path, name) not in self.touched:
            return
        given = arguments(frame, function, skip)
        module: "Any" = frame.f_globals.get("__name__")
        if given is not None and isinstance(module, str):
            self.tell(json.dumps([path, module, name, owner, given]))

    def described(self, frame: "FrameType") -> "Optional[Tuple[Any, str, Optional[str], int]]":
        """The function, its qualified name, the constructor's arguments, and the arguments that a method binds."""
        code = frame.f_code
        function = unwrapped(frame.f_globals.get(code.co_name), code)
        if function is not None:
            return function, code.co_name, None, 0
        if not code.co_argcount or code.co_varnames[0] not in frame.f_locals:
            return None
        first: "Any" = frame.f_locals[code.co_varnames[0]]
        kind: "Any" = first if isinstance(first, type) else kind_of(first)
        for owner in kind.__mro__:
            function = unwrapped(owner.__dict__.get(code.co_name), code)
            if function is not None:
                break
        else:
            return None
        name = kind.__qualname__ + "." + code.co_name
        if kind is first:
            return function, name, None, 1
        made = self.constructor(first)
        return None if made is None else (function, name, made, 1)

    def constructed(self, frame: "FrameType") -> None:
        code = frame.f_code
        if not code.co_argcount or len(self.made) >= MOST:
            return
        made: "Any" = frame.f_locals.get(code.co_varnames[0])
        function = unwrapped(kind_of(made).__dict__.get("__init__"), code)
        if function is not None and id(made) not in self.made:
            self.made[id(made)] = (made, arguments(frame, function, 1))  # kept: the id of what is gone is given anew

    def constructor(self, made: "Any") -> "Optional[str]":
        """The arguments to make an object like this one with: those it was made with."""
        if id(made) in self.made:
            return self.made[id(made)][1]
        kind = kind_of(made)
        fields: "Dict[str, Any]" = getattr(kind, "__dataclass_fields__", {})
        if fields:
            return text_of([], {name: getattr(made, name, None) for name in fields if fields[name].init})
        return text_of([], {}) if kind.__init__ is object.__init__ and kind.__new__ is object.__new__ else None

    def tell(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            os.write(self.out, (self.nonce + " " + line + "\n").encode("utf-8", "replace"))


class Lenient(ast.NodeTransformer):
    """Makes of each assertion its condition, whose exceptions do not count."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        condition = ast.Expr(value=node.test)
        handler = ast.ExceptHandler(type=ast.Name(id="Exception", ctx=ast.Load()), name=None, body=[ast.Pass()])
        made = ast.Try(body=[condition], handlers=[handler], orelse=[], finalbody=[])
        return ast.fix_missing_locations(ast.copy_location(made, node))


def run(path: str) -> None:
    with open(path, "rb") as file:
        tree: "Any" = Lenient().visit(ast.parse(file.read(), path))
    module = type(sys)("__main__")
    names = module.__dict__
    names.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    for statement in list(tree.body):
        tree.body = [statement]
        attempt(lambda: exec(compile(tree, path, "exec", dont_inherit=True), names))
    for name, value in list(names.items()):
        # What a test runner would run: a function that was run already tells nothing new.
        if name.startswith("test") and callable(value) and getattr(value, "__module__", None) == "__main__":
            attempt(value)
        elif isinstance(value, type) and any(base.__name__ == "TestCase" for base in value.__mro__[1:]):
            attempt(lambda kind=value: run_case(kind))


def run_case(kind: "Any") -> None:
    import unittest

    unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(unittest.TestResult())


def attempt(action: "Any") -> None:
    try:
        result = action()
        if hasattr(result, "send") and hasattr(result, "cr_frame"):
            import asyncio

            asyncio.new_event_loop().run_until_complete(result)
    except BaseException:  # the script's end, however it comes, is not ours
        return


def in_child(script: str, source: str, recorder: Recorder) -> None:
    """Ends the process."""
    try:
        os.makedirs(os.path.dirname(script), exist_ok=True)
        with open(script, "w", encoding="utf-8", errors="replace") as file:
            file.write(source)
        sys.path[0] = os.path.dirname(script)
        sys.argv = [script]
        sys.setprofile(recorder)
        run(script)
    finally:
        os._exit(0)  # threads that the script left behind do not keep it


def main() -> None:
    scripts, repository, touched = sys.argv[1:4]
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    with open(scripts, encoding="utf-8") as file:
        given: "List[List[str]]" = json.load(file)
    sys.path += [repository, os.path.join(repository, "src")]
    children: "List[int]" = []
    for path, nonce, source in given:
        pid = os.fork()
        if pid == 0:
            script = os.path.join(os.path.dirname(scripts), path)
            in_child(script, source, Recorder(script, repository, nonce, json.loads(touched), out))
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


main()
