"""All methods, with their sources."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from selection.methods import compared, models, outputs, pipelines, plain, votes
from selection.methods.base import Method, Signal

CODEMONKEYS = "CodeMonkeys, arXiv 2501.14723"
PATCHES, SCRIPTS, TESTS = frozenset({Signal.PATCHES}), frozenset({Signal.SCRIPTS}), frozenset({Signal.REGRESSIONS})
AUTHORS = frozenset({Signal.AUTHORS})
UNCHECKED, PROBES, JUDGED = frozenset({Signal.UNCHECKED}), frozenset({Signal.PROBES}), frozenset({Signal.JUDGEMENTS})
COMPARED = frozenset({Signal.COMPARISONS})


_ALL = (
    Method("random", "random", "pass@1 of the drawn candidates", plain.random),
    Method("first", "first with a patch", "what one try after the other gives", plain.first),
    Method("shortest", "shortest patch", "common tie-break", plain.shortest, PATCHES),
    Method("majority-text", "most frequent text", "common baseline", plain.majority_text, PATCHES),
    Method("majority", "largest class", "Agentless 1.5, arXiv 2407.01489, without its tests", plain.majority),
    Method("atoms", "PatchFusion's edit atoms", "PatchFusion, arXiv 2607.01597, ranking only", plain.atoms, PATCHES),
    Method("behaviour", "behavioural majority", "AlphaCode, arXiv 2203.07814", votes.behaviour, SCRIPTS),
    Method("checked-vote", "equal vote of checked scripts", "common baseline", votes.checked_vote, SCRIPTS),
    Method(
        "checked-vote-then-size", "equal vote, then class size", "rule to beat", votes.checked_vote_then_size, SCRIPTS
    ),
    Method("cross-vote", "equal vote without one's own", "cross-testing", votes.cross_vote, SCRIPTS | AUTHORS),
    Method("codet", "CodeT's dual agreement", "CodeT, arXiv 2207.10397", votes.codet, SCRIPTS),
    Method("codemonkeys-vote", "CodeMonkeys' vote", CODEMONKEYS, votes.codemonkeys_vote, SCRIPTS, UNCHECKED),
    Method(
        "codemonkeys-top",
        "CodeMonkeys' vote filter, first",
        CODEMONKEYS,
        votes.codemonkeys_top,
        SCRIPTS | PATCHES,
        UNCHECKED,
    ),
    Method("codemonkeys-model", "CodeMonkeys' model over all", CODEMONKEYS, models.model_choice, JUDGED),
    Method(
        "codemonkeys-model-top3",
        "CodeMonkeys' model over its top 3",
        CODEMONKEYS,
        models.model_choice_of_three,
        SCRIPTS | PATCHES | JUDGED,
        UNCHECKED,
    ),
    Method(
        "codemonkeys-machine",
        "CodeMonkeys' selection machine",
        CODEMONKEYS,
        compared.machine,
        SCRIPTS | PATCHES | COMPARED,
        UNCHECKED,
        compared.MACHINE,
    ),
    Method(
        "agentless",
        "Agentless' filter, then majority",
        "Agentless 1.5, arXiv 2407.01489",
        pipelines.agentless,
        SCRIPTS,
        TESTS,
    ),
    Method(
        "kozuchi",
        "Kozuchi's 0.3 scripts + 0.7 tests",
        "Kozuchi, Fujitsu 2026",
        votes.kozuchi,
        SCRIPTS | TESTS | PATCHES,
    ),
    Method("r2e", "R2E-Gym's hybrid", "R2E-Gym, arXiv 2504.07164", pipelines.r2e_hybrid, JUDGED | SCRIPTS, TESTS),
    Method("tournament", "pairwise tournament", "Copeland, arXiv 2605.14163", models.tournament, JUDGED),
    Method("pruning", "Trae's pruning", "Trae Agent, arXiv 2507.23370", pipelines.pruned, TESTS),
    Method("trae", "Trae's pruning and selector", "Trae Agent, arXiv 2507.23370", models.trae, JUDGED, TESTS),
    Method(
        "distinguishing",
        "S*'s distinguishing inputs",
        "S*, arXiv 2502.14382, decided by majority",
        outputs.distinguishing,
        PROBES,
    ),
    Method("mbr-exec", "MBR-Exec", "MBR-Exec, arXiv 2204.11454", outputs.mbr_exec, PROBES),
    Method("consensus", "MBR-Exec, soft", "MBR-Exec, arXiv 2204.11454, soft loss", outputs.consensus, PROBES),
    Method(
        "ours",
        "bestpatch",
        "selection/choose.py, before a comparison",
        votes.ours,
        frozenset(),
        SCRIPTS | TESTS | AUTHORS | PROBES,
    ),
    Method(
        "ours-compared",
        "bestpatch and its comparison",
        "selection/choose.py, the rule of small models",
        compared.compared_small,
        COMPARED,
        SCRIPTS | TESTS | AUTHORS | PROBES,
        compared.SMALL,
    ),
    Method(
        "ours-compared-strong",
        "bestpatch, comparison overruling",
        "selection/choose.py, the rule of strong models",
        compared.compared_strong,
        COMPARED,
        SCRIPTS | TESTS | AUTHORS | PROBES,
        compared.STRONG,
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})
"""Name -> method."""

RANDOM, OURS = "random", "ours"

OWN = frozenset({OURS, "ours-compared", "ours-compared-strong"})
"""What is no rival of `OURS`."""
