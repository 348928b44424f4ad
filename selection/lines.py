"""Lines that several patches change alike: what candidates agree on where nothing was executed that tells them apart.

After the "edit atoms" of PatchFusion (arXiv 2607.01597): wrong patches are wrong in different places, right ones share
what they must change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from selection.base import ClassId


def changed_lines(patch: str) -> frozenset[str]:
    """The patch's added and removed lines with their file and sign, up to white space; no blank ones."""
    path, found = "", set[str]()
    for line in patch.split("\n"):
        if line.startswith(("+++ ", "--- ")):
            path = line[4:].removeprefix("a/").removeprefix("b/")
        elif line[:1] in ("+", "-") and (text := " ".join(line[1:].split())):
            found.add(f"{path}\n{line[0]}{text}")
    return frozenset(found)


def repeated(lines: Sequence[frozenset[str]]) -> list[float]:
    """For each patch the mean over its lines of the share of the others that have the line, 0 to 1."""
    counts = Counter(line for of_one in lines for line in of_one)
    others = max(1, len(lines) - 1)
    return [round(sum(counts[line] - 1 for line in mine) / (max(1, len(mine)) * others), 9) for mine in lines]


def tie_break(patches: Mapping[ClassId, Sequence[str]], *, shared: bool) -> dict[ClassId, float]:
    """For each class what decides where votes and sizes tie; less is better. `patches`: those of its members.

    `shared`: the lines that the best of its members shares with the other candidates, negated; else the characters of
    the diff. See `lines_decide`.
    """
    if not shared:
        return {c: float(len(members[0])) for c, members in patches.items()}
    every = [(c, patch) for c, members in patches.items() for patch in members]
    shares = repeated([changed_lines(patch) for _, patch in every])
    best = dict.fromkeys(patches, 0.0)
    for (c, _), share in zip(every, shares, strict=True):
        best[c] = max(best[c], share)
    return {c: -share for c, share in best.items()}


def lines_decide(sources: Collection[str], *, voted: bool) -> bool:
    """Whether shared lines break ties: where no script voted and the candidates have several sources.

    Among 29 tasks with real patches of many systems, without scripts, the shorter diff does worse than chance (-0.39 of
    the gap, tuning) and shared lines better (0.26). Samples of one model make the same mistakes: among theirs the
    shorter diff is right more often (0.02 of the gap at 8 and 16 candidates of a 1.5B model, tuning).
    """
    return not voted and len(set(sources)) > 1
