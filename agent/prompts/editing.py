"""User turns of the editing trajectory. The wording was chosen by trials, not by one of the benchmarks."""

from __future__ import annotations

from agent.model.base import Profile
from agent.prompts.shared import capped, fenced, one_line, tail_capped
from agent.suspects import Suspect
from sandbox.script import ScriptRun, Verdict

OUTPUT_CHARS = 1_500
DIFF_CHARS = 6_000

# Of first answers of Qwen2.5-Coder-1.5B (40 small bugs; five bugs in an example repository of eight files), this share
# was right: the suspect alone 0.50 and 0.30, with its test 0.47 and 0.28, the shortest request without a suspect
# 0.45 and 0.04. Any word about methods and their class makes it wrap functions in a class (0.10), and a sentence of
# thought before the code costs more right answers than it wins (0.32 and 0.15).
_FUNCTION = "Write the complete corrected function in one Python block and nothing else."
_SHORTEST = "Solve the issue. Answer with one Python block that holds the complete corrected function and nothing else."

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


def first(profile: Profile, script: str | None, run: ScriptRun | None, suspect: Suspect | None = None) -> str:
    """Asks for an edit: with the suspect to look at, and the trajectory's test script and how it ends now."""
    if profile.edit_format == "symbol":
        return _function(script, run, suspect)
    if script is None or run is None:
        return _SEARCH_REPLACE
    output = tail_capped(run.execution.output.strip() or "(no output)", OUTPUT_CHARS)
    return (
        f"{_SEARCH_REPLACE}\n\nThis test script fails now and should pass afterwards (it may be wrong in details; the "
        f"issue decides):\n{fenced(script, 'python')}\nNow it prints:\n{fenced(output)}"
    )


def _function(script: str | None, run: ScriptRun | None, suspect: Suspect | None) -> str:
    parts: list[str] = []
    if suspect is not None:
        where = f"`{suspect.qualified}` in {one_line(suspect.path, 200)}"
        parts.append(f"{where} is probably what is wrong:\n{fenced(suspect.source, 'python')}\n")
    if script is not None and run is not None:
        ends = [f"It ends with: {end[:300]}\n" for end in run.execution.output.strip().splitlines()[-1:]]
        parts.append(
            "This test fails now and should pass once the issue is solved:\n"
            f"{fenced(capped(script, OUTPUT_CHARS), 'python')}"
        )
        parts += ["It does not end.\n"] if run.verdict is Verdict.TIMED_OUT else ends
    parts.append(_SHORTEST if suspect is None else _FUNCTION)
    return "\n".join(parts)


def problem(profile: Profile, message: str) -> str:
    """Says why an edit could not be read or applied."""
    if profile.edit_format == "symbol":
        return message
    return f"{message}\nWrite the whole edit again, relative to the files as they are shown above."


def after_run(profile: Profile, diff: str, original: ScriptRun, edited: ScriptRun) -> str:
    """Shows what the trajectory's script says of the edited tree (and said of the unedited one)."""
    after = fenced(tail_capped(edited.execution.output.strip() or "(no output)", OUTPUT_CHARS))
    how = {
        Verdict.FAILED: "still fails",
        Verdict.BROKEN: "breaks with an error",
        Verdict.TIMED_OUT: "does not end in time",
        Verdict.PASSED: "passes",
    }[edited.verdict]
    if profile.edit_format == "symbol":
        return f"With this edit the test script {how}:\n{after}"
    before = fenced(tail_capped(original.execution.output.strip() or "(no output)", OUTPUT_CHARS))
    choices = (
        "Write a new edit in the same form; it replaces this one and is relative to the files as shown above. If the "
        "test script is what is wrong, write a complete new script in one Python block instead; it will be run on the "
        "unedited files and must fail there."
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
