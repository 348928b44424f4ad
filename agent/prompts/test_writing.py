"""User turns of the test-writing trajectory. The wording was chosen by trials, not by one of the benchmarks."""

from __future__ import annotations

from agent.model.base import Profile
from agent.prompts.shared import fenced, tail_capped
from agent.suspects import Subject
from sandbox.script import ScriptRun, Verdict

OUTPUT_CHARS = 1_500

# Of 16 first answers to each of 55 small bugs, 0.76 of Qwen2.5-Coder-1.5B's and none of the 0.5B's were good with the
# example of another repository, which the small one copies; 0.77 and 0.44 with the line that they begin with. The call
# to be tested as the example gave 0.80 and 0.55, but half as many different scripts, and the 1.5B's vote worse (see
# docs/study.md). Asking for a sentence of thought first, or putting the example before the task, cost half and more.
_ASSERTS = """\
Write a short Python test script that fails on the code as it is now and passes once the issue is solved. \
Import what you test from the repository's module and end with plain assert statements about what the issue says is \
right. Use the issue's own examples and no other values. Do not copy, redefine or fix the repository's code, and do \
not catch exceptions. No test framework. Answer with one Python block and nothing else"""

_ELSEWHERE = """\
from shop.basket import Basket

basket = Basket()
basket.add("tea", 2)
assert basket.count("tea") == 2"""

_EXIT_CODES = """\
Write a standalone Python script that shows the issue on the repository as it is now. Do not solve the issue.
The script must exit with code 2 when the issue is present and with code 0 when it is solved; any other end, such as \
an uncaught exception, counts as a broken script. It runs without arguments, from any folder, with the repository \
importable and without network. Check only what the issue describes, starting from its own examples, and print what \
was observed and what was expected, briefly. Import the repository's code; never copy it.
Think first in a few sentences, then answer with the complete script in one Python block at the end."""


def first(profile: Profile, subject: Subject | None = None) -> str:
    """Asks for a test script. `subject`: the function that the issue is about, where it is known."""
    if profile.script_style != "asserts":
        return _EXIT_CODES
    if subject is None:
        return f"{_ASSERTS}, like this one for another repository:\n{fenced(_ELSEWHERE, 'python')}"
    return f"{_ASSERTS}. It begins with `from {subject.module} import {subject.name}`."


def after_run(profile: Profile, run: ScriptRun) -> str:
    """Says what a script did on the unedited tree, where that is not what it should have done."""
    output = tail_capped(run.execution.output.strip(), OUTPUT_CHARS)
    shown = f"Its output:\n{fenced(output)}\n" if output else "It printed nothing.\n"
    match run.verdict:
        case Verdict.PASSED:
            said = (
                "The script passed on the code as it is now, so it does not show the issue. Read the issue again: "
                "which input gives a wrong result today? Test exactly that."
            )
        case Verdict.TIMED_OUT:
            said = "The script did not end in time. Make it short, and without endless loops or waiting for input."
        case Verdict.BROKEN:
            said = (
                "The script broke before it could show the issue. Correct it: import what you use from the module that "
                "defines it, and call it as the repository does."
            )
            if profile.script_style == "asserts":
                said += (
                    " If the exception is the issue itself, catch exactly that exception and `raise AssertionError`."
                )
        case Verdict.FAILED:
            said = "The script failed, as it should."
    return f"{said}\n{shown}{again(profile)}"


def unreadable(profile: Profile, problem: str) -> str:
    """Says why no script could be read or run."""
    return f"{problem}\n{again(profile)}"


def again(profile: Profile) -> str:
    """Asks for the whole script once more."""
    ends = (
        "ending in plain asserts that fail now and pass once the issue is solved"
        if profile.script_style == "asserts"
        else "exiting 2 while the issue is present and 0 once it is solved"
    )
    return f"Answer with the complete corrected script in one Python block, {ends}."
