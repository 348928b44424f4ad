from selection.base import ClassId
from selection.methods import METHODS, Choice
from selection.pool import PoolProbe
from tests.selection.pools import task, whole


def choice(name: str, candidates: str, *probes: str) -> Choice:
    """A letter of each probe for each class in alphabetical order."""
    classes = [ClassId(c) for c in sorted(set(candidates))]
    made = tuple(PoolProbe(id=f"p{n}", outputs=dict(zip(classes, row, strict=True))) for n, row in enumerate(probes))
    return METHODS[name](whole(task(candidates, "", probes=made)))


def test_the_largest_group_with_equal_outputs() -> None:
    assert choice("mbr-exec", "abbbcd", "xyxz", "xxxx") == {"b": 1.0}
    assert choice("mbr-exec", "abbcc", "xyx", "xxx") == {"a": 1 / 3, "c": 2 / 3}


def test_consensus_takes_each_input_by_itself() -> None:
    # No two agree on everything; b agrees with somebody on each input.
    assert choice("consensus", "abc", "xxy", "xyy") == {"b": 1.0}
    assert choice("mbr-exec", "abc", "xxy", "xyy") == {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}


def test_only_inputs_that_tell_a_pair_apart_decide_it() -> None:
    assert choice("distinguishing", "aabc", "xyy", "xxx") == {"a": 0.5, "b": 0.25, "c": 0.25}
    assert choice("distinguishing", "aaabc", "xyy", "xxx") == {"a": 1.0}


def test_a_class_without_an_output_is_like_no_other() -> None:
    probes = (PoolProbe(id="p", outputs={ClassId("b"): "x", ClassId("c"): "x"}),)
    draw = whole(task("adbc", "", probes=probes))
    assert METHODS["mbr-exec"](draw) == METHODS["consensus"](draw) == {"b": 0.5, "c": 0.5}
