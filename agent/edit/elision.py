"""Notices where a model left lines out: `# ... rest of the code`, a lone `...`, a stub in place of a body."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.edit.definitions import Definition

_DOTS = re.compile(r"^#\s*(?:\.\.\.|…)|(?:\.\.\.|…)\s*(?:#.*)?$")
_THING = r"(?:code|lines?|methods?|functions?|implementation|logic|body|class|definitions?|statements?|part|file)"
_STAYS = r"(?:\s+(?:here|remains?|stays?|is|are|the|same|unchanged|as|before|above|goes|follows?|continues?|omitted))*"
_WORDS = re.compile(
    rf"^#\s*\W*(?:"
    rf"(?:the\s+)?(?:rest|remainder)\s+of\s+(?:the\s+|your\s+|this\s+)?(?:\w+\s+)?{_THING}{_STAYS}"
    rf"|(?:the\s+)?(?:your\s+)?(?:existing|remaining|other|unchanged|previous|original)\s+{_THING}{_STAYS}"
    rf"|(?:\w+\s+)?{_THING}?\s*(?:unchanged|omitted)(?:\s+for\s+brevity)?"
    rf"|same\s+as\s+(?:before|above|the\s+original)|unchanged|no\s+changes?(?:\s+\w+)*"
    rf")[\s.:;)\]*\-…]*$",
    re.IGNORECASE,
)


def left_out(new: Definition, lines: Sequence[str], old: Definition | None, old_lines: Sequence[str]) -> str | None:
    """The line that stands for lines left out of `new`; None when it is whole.

    What the old definition says as well (a protocol's `...`, a comment) is no elision.
    """
    known = {line.strip() for line in old_lines}
    for line in lines[new.start : new.stop]:
        text = line.strip()
        if text in known:
            continue
        comment = text[text.index("#") :] if "#" in text else ""
        if text.startswith("#") and (_DOTS.match(text) or _WORDS.match(text)):
            return text
        if text.startswith(("...", "…", "pass")) and comment and _WORDS.match(comment):
            return text
    if old and new.ellipses > old.ellipses and not new.trivial:
        return "..."
    return None


def is_stub(new: Definition, old: Definition | None) -> bool:
    """Whether `new` only stands for a definition that has a body already."""
    return old is not None and new.trivial and not old.trivial
