"""User turns of the editing trajectory. The wording was measured (benchmarks/propose.py)."""

from __future__ import annotations

from agent.model.base import Profile
from agent.prompts.shared import fenced, tail_capped
from sandbox.script import ScriptRun, Verdict

OUTPUT_CHARS = 1_500
DIFF_CHARS = 6_000

_SYMBOL = """\
Solve the issue: find the function or method that is wrong and write it anew, complete and corrected. Change only \
what the issue needs. Answer with one Python block that holds the whole corrected function (for a method: inside its \
`class` line, without the other methods) and nothing else. Before the block, name its file in a line such as \
`### path/to/file.py`."""

_SEARCH_REPLACE = """\
Solve the issue with an edit of the repository's files. Find the cause first; the smallest change that solves it \
in general is best, not one that only satisfies an example. Think in a few sentences, then write the edit as blocks of \
this form, as many as needed:
path/to/file.py
<<<<<<< SEARCH
lines that stand in the file now, exactly and completely, so many that they occur only once
=======
lines that replace them
>>>>>>> REPLACE
An empty SEARCH part makes a new file. Every edit is relative to the files as they are shown above."""


def format_note(profile: Profile) -> str:
    """How an edit is written."""
    return _SYMBOL if profile.edit_format == "symbol" else _SEARCH_REPLACE


def first(profile: Profile, script: str | None, run: ScriptRun | None) -> str:
    """Asks for an edit; with the trajectory's test script and what it printed on the unedited tree, if there is one."""
    if script is None or run is None:
        return format_note(profile)
    output = tail_capped(run.execution.output.strip(), 600)
    return (
        f"{format_note(profile)}\n\nThis test script fails now and should pass afterwards (it may be wrong in details; "
        f"the issue decides):\n{fenced(script, 'python')}\nNow it ends so:\n{fenced(_last_lines(output, 4))}"
    )


def _last_lines(text: str, count: int) -> str:
    return "\n".join(text.splitlines()[-count:])


def problem(profile: Profile, message: str) -> str:
    """Says why an edit could not be read or applied."""
    ask = (
        "Answer with the whole corrected function in one Python block."
        if profile.edit_format == "symbol"
        else "Write the whole edit again, relative to the files as they are shown above."
    )
    return f"{message}\n{ask}"


def after_run(profile: Profile, diff: str, original: ScriptRun, edited: ScriptRun, *, may_rewrite: bool) -> str:
    """Shows what the trajectory's script says of the edited tree (and said of the unedited one)."""
    after = fenced(tail_capped(edited.execution.output.strip() or "(no output)", OUTPUT_CHARS))
    how = {
        Verdict.FAILED: "still fails",
        Verdict.BROKEN: "breaks with an error",
        Verdict.TIMED_OUT: "does not end in time",
        Verdict.PASSED: "passes",
    }[edited.verdict]
    if profile.edit_format == "symbol":
        return (
            f"With your edit the test script {how}:\n{after}\n"
            "Find what is still wrong and answer with the whole corrected function in one Python block, "
            "written anew from the file as it is shown above."
        )
    before = fenced(tail_capped(original.execution.output.strip() or "(no output)", OUTPUT_CHARS))
    choices = "Write a new edit in the same form; it replaces this one and is relative to the files as shown above."
    if may_rewrite:
        choices += (
            " If the test script is what is wrong, write a complete new script in one Python block instead; it will be "
            "run on the unedited files and must fail there."
        )
    if edited.verdict is Verdict.PASSED:
        choices += " If the edit is right and complete, answer with `<done>` alone."
    return (
        f"Your edit as a diff:\n{fenced(tail_capped(diff, DIFF_CHARS), 'diff')}\n"
        f"On the unedited files the script printed:\n{before}\n"
        f"With your edit the script {how}:\n{after}\n{choices}"
    )


def script_rejected(message: str) -> str:
    """Says why a new script was not taken."""
    return f"The new script was not taken: {message}\nWrite a corrected script, or an edit."
