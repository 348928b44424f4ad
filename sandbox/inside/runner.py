"""Runs one test script inside a sandbox and ends with the exit code that says what it found.

    SCRIPT REPOSITORY       Python 3.6 or later, standard library only
    -m MODULE ARGUMENT...   runs a module such as pytest instead; its exit code is its own

    0  the script came to its end, or said so itself (sys.exit(0)): the issue is fixed
    2  an assertion left the script (AssertionError, pytest's and unittest's failures), or sys.exit(2)
    1  any other exception, or an end that proves nothing: see below
    n  the script's own sys.exit(n), os._exit(n), or 128 + the number of the signal that killed it

An end proves nothing, and counts as 1, when
- the process exits with 0 before the script's end (os._exit(0) in the code under test),
- the code under test, not the script itself, raises SystemExit,
- the script checks nothing: no assert, no raise, no call whose name speaks of checking, failing or exiting.

Test functions (test_*) and unittest.TestCase classes that the script defines and never uses are run by us, in
the order of their definition; where they need fixtures or parameters, by pytest if the environment has it.

`witness.py` starts this program and learns its end through a pipe: so a dying interpreter is seen as such.
Imports what is loaded already or built in: ast, contextlib, runpy and typing take as long as the interpreter's start.
"""

import faulthandler
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any, Callable, Dict, List, Sequence, Set

FIXED, BROKEN, PRESENT = 0, 1, 2
SIGXCPU = 24  # the module `signal` would be imported for nothing else
SPEAKING = ("assert", "check", "exit", "expect", "fail", "fnmatch", "main", "raises", "verify", "warns", "run_doc")


def say(text: str) -> None:
    sys.stderr.write("bestpatch: " + text + "\n")


def kind(node: "Any") -> str:
    return type(node).__name__


def nodes(tree: "Any") -> "List[Any]":
    """All nodes of a syntax tree, itself first."""
    found: "List[Any]" = [tree]
    for node in found:  # which grows meanwhile
        for name in node._fields:
            value: "Any" = getattr(node, name, None)
            found += [part for part in (value if kind(value) == "list" else [value]) if hasattr(part, "_fields")]
    return found


def names_used(tree: "Any") -> "Set[str]":
    found = nodes(tree)
    names = {node.id for node in found if kind(node) == "Name" and kind(node.ctx) == "Load"}
    return names | {node.attr for node in found if kind(node) == "Attribute"}


def checks_something(tree: "Any") -> bool:
    found = nodes(tree)
    if any(kind(node) in ("Assert", "Raise") for node in found):
        return True
    called = [getattr(node.func, "attr", "") or getattr(node.func, "id", "") for node in found if kind(node) == "Call"]
    return any(word in name.lower() for name in called for word in SPEAKING)


def is_assertion(error: BaseException) -> bool:
    """AssertionError, pytest.fail and its like, or a group of nothing else."""
    parts: "Sequence[BaseException]" = getattr(error, "exceptions", ())
    if type(error).__name__.endswith("ExceptionGroup") and parts:
        return all(is_assertion(part) for part in parts)
    if isinstance(error, AssertionError):
        return True
    # pytest says that its exceptions are builtins, so they are not known by their names.
    failed = getattr(sys.modules.get("_pytest.outcomes"), "Failed", None)
    return failed is not None and isinstance(error, failed)


def show(error: BaseException) -> None:
    """The traceback from the script on, without our own frames."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    traceback.print_exception(type(error), error.with_traceback(trace), trace)


def frames(error: BaseException) -> "List[FrameType]":
    found: "List[FrameType]" = []
    trace = error.__traceback__
    while trace is not None:
        found.append(trace.tb_frame)
        trace = trace.tb_next
    return found


def exit_code(stop: SystemExit, path: str) -> int:
    """The exit code of a SystemExit that reached the script's end, when it is the script's to give."""
    stack = frames(stop)
    for frame in stack:
        owner: "Any" = frame.f_locals.get("self")
        if type(owner).__name__ == "TestProgram" and type(owner).__module__.startswith("unittest"):
            return unittest_code(owner.result)
    code: "Any" = stop.code
    if type(code).__name__ == "ExitCode" and type(code).__module__.split(".")[0] in ("pytest", "_pytest"):
        # pytest's own numbers: 1 tests failed; 2 is an interruption, not a finding.
        return PRESENT if int(code) == 1 else FIXED if int(code) == 0 else BROKEN
    raised_in = stack[-1].f_code.co_filename
    if raised_in != path and "_sitebuiltins" not in raised_in:  # where exit() lives
        show(stop)
        say("the code under test ended the program (SystemExit); catch it in the script if it is expected")
        return BROKEN
    if code is None or isinstance(code, int):
        return int(code or FIXED) & 0xFF
    sys.stderr.write(str(code) + "\n")
    return BROKEN


def unittest_code(result: "Any") -> int:
    if result.failures or getattr(result, "unexpectedSuccesses", ()):
        return PRESENT
    if result.errors:
        return BROKEN
    if not result.testsRun or len(result.skipped) == result.testsRun:
        say("no test was run")
        return BROKEN
    return FIXED


def left_over(tree: "Any", module: "ModuleType") -> "Dict[str, Any]":
    """Test functions and classes the script defines at its top and never mentions again."""
    used = names_used(tree)
    # pytest.main() and unittest.main() find the tests by themselves.
    runs = any(kind(node) == "Call" and getattr(node.func, "attr", "") == "main" for node in nodes(tree))
    if runs or used & {"globals", "locals", "vars"}:
        return {}
    found: "Dict[str, Any]" = {}
    for node in getattr(tree, "body", []):
        name = getattr(node, "name", "")
        value = getattr(module, name, None) if name else None
        if name in used or value is None:
            continue
        if kind(node) in ("FunctionDef", "AsyncFunctionDef") and name.startswith("test"):
            found[name] = value
        elif kind(node) == "ClassDef" and isinstance(value, type):
            tests = [part for part in dir(value) if part.startswith("test")]
            if tests and (name.startswith("Test") or any(base.__name__ == "TestCase" for base in value.__mro__)):
                found[name] = value
    return found


def needs_pytest(value: "Any") -> bool:
    import inspect

    if inspect.isclass(value):
        return not any(base.__name__ == "TestCase" for base in value.__mro__)
    if getattr(value, "pytestmark", None) or not inspect.isfunction(value):
        return True
    for part in inspect.signature(value).parameters.values():
        if part.default is part.empty and part.kind not in (part.VAR_POSITIONAL, part.VAR_KEYWORD):
            return True
    return False


class Watcher:
    """A pytest plugin that notes what kinds of exceptions made tests fail."""

    def __init__(self) -> None:
        self.assertions = 0
        self.others = 0

    def pytest_exception_interact(self, call: "Any") -> None:
        if is_assertion(call.excinfo.value):
            self.assertions += 1
        else:
            self.others += 1


def run_pytest(path: str) -> int:
    try:
        import pytest  # type: ignore[import-not-found]
    except ImportError:
        say("the script's test functions take parameters or fixtures, and pytest is not installed here; call them")
        return BROKEN
    watcher = Watcher()
    arguments = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", os.path.dirname(path), path]
    code: "Any" = int(pytest.main(arguments, plugins=[watcher]))
    if code == 0:
        return FIXED
    return PRESENT if watcher.assertions else BROKEN


def run_tests(found: "Dict[str, Any]", path: str) -> int:
    """Run what the script left to be run. An assertion outweighs another exception: the issue was seen."""
    if any(needs_pytest(value) for value in found.values()):
        return run_pytest(path)
    codes: "List[int]" = []
    for name in found:
        value = found[name]
        if isinstance(value, type):
            import unittest

            suite = unittest.defaultTestLoader.loadTestsFromTestCase(found[name])
            codes.append(unittest_code(unittest.TextTestRunner().run(suite)))
            continue
        codes.append(guarded(lambda test=value: call(test), path))
        sys.stderr.write("%s: %s\n" % (name, "ok" if codes[-1] == FIXED else "failed"))
    return PRESENT if PRESENT in codes else max(codes)


def call(function: "Callable[[], Any]") -> None:
    import inspect

    result = function()
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.new_event_loop().run_until_complete(result)


def guarded(function: "Callable[[], Any]", path: str) -> int:
    try:
        function()
    except SystemExit as stop:
        return exit_code(stop, path)
    except BaseException as error:
        show(error)
        return PRESENT if is_assertion(error) else BROKEN
    return FIXED


def run_script(path: str, repository: str) -> int:
    with open(path, "rb") as file:
        source = file.read()
    try:
        tree: "Any" = compile(source, path, "exec", 0x400, dont_inherit=True)  # ast.PyCF_ONLY_AST
        code = compile(tree, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        show(error.with_traceback(None))
        return BROKEN
    if not checks_something(tree):
        say("this script checks nothing: add an assert that fails while the issue is present")
        return BROKEN
    # As for any script its own folder comes first; then what is installed; the repository only after that, so
    # that a package which is installed (compiled parts, entry points) is taken as installed.
    sys.path[0] = os.path.dirname(path)
    sys.path += [repository, os.path.join(repository, "src")]
    sys.argv = [path]
    module = type(sys)("__main__")
    module.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module

    result = guarded(lambda: exec(code, module.__dict__), path)
    found = left_over(tree, module) if result == FIXED else {}
    return run_tests(found, path) if found else result


def run_module(name: str) -> int:
    """As `python -m`. An end that the module itself has not brought about counts as 1."""
    import runpy

    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        by = str(frames(stop)[-1].f_globals.get("__name__"))
        if by != "__main__" and by.split(".")[0] != name:
            show(stop)
            say("the code under test ended the tests (SystemExit)")
            return BROKEN
        code: "Any" = stop.code
        return FIXED if code is None else int(code) & 0xFF if isinstance(code, int) else BROKEN
    return FIXED


def finish(telling: int, nonce: bytes, code: int, write: "Any" = os.write) -> None:
    try:  # noqa: SIM105
        write(telling, nonce + bytes([code]))
    except OSError:
        pass  # a script that closed the pipe proves nothing
    sys.exit(code)


def main() -> None:
    given, telling = int(sys.argv.pop(1)), int(sys.argv.pop(1))
    secret = [os.read(given, 64)]
    os.close(given)
    os.set_inheritable(telling, False)
    # A script that uses up its processor time prints the calls it is in, and then ends by the signal.
    faulthandler.register(SIGXCPU, chain=True)
    # While the script runs, the nonce lies on the interpreter's stack only, in no variable of any frame.
    if sys.argv[1] == "-m":
        del sys.argv[:2]
        finish(telling, secret.pop(), run_module(sys.argv[0]))
    finish(telling, secret.pop(), run_script(sys.argv[1], sys.argv[2]))


main()
