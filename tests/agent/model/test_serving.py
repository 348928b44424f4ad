"""How a model is laid out on a machine's GPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelUnavailable
from agent.model.facts import Facts
from agent.model.profile import profile_for
from agent.model.serving import SEQUENCES, Gpu, Serving, planned

H200 = Gpu(141 << 30, 140 << 30, (9, 0), "H200")
L4 = Gpu(22 << 30, 22 << 30, (8, 9), "L4")
A100 = Gpu(80 << 30, 79 << 30, (8, 0), "A100")
SMALL = Facts(weights=3_100_000_000, cell=28_672, heads=12, length=32_768)
LARGE = Facts(weights=65_500_000_000, cell=262_144, heads=40, length=32_768)
PROFILE = profile_for("Qwen2.5-Coder-32B-Instruct")
SMALL_PROFILE = profile_for("Qwen2.5-Coder-1.5B-Instruct")


def test_a_small_model_has_a_replica_on_each_gpu() -> None:
    plan = planned("m", SMALL, [H200] * 4, SMALL_PROFILE, Serving())
    assert plan.devices == ((0,), (1,), (2,), (3,))
    assert plan.context_tokens == 32_768
    assert plan.sequences == SEQUENCES
    assert plan.told() == "4 replicas on 1 GPU each, a context of 32,768 tokens, 256 sequences at once"


def test_a_large_model_takes_the_gpus_that_it_needs() -> None:
    assert planned("m", LARGE, [H200] * 2, PROFILE, Serving()).devices == ((0,), (1,))
    assert planned("m", LARGE, [A100] * 4, PROFILE, Serving()).devices == ((0, 1), (2, 3))
    assert planned("m", LARGE, [L4] * 8, PROFILE, Serving()).devices == ((0, 1, 2, 3, 4, 5, 6, 7),)


def test_heads_divide_by_the_width() -> None:
    twelve = replace(SMALL, weights=60_000_000_000)
    assert planned("m", twelve, [L4] * 8, SMALL_PROFILE, Serving()).devices == ((0, 1, 2, 3, 4, 5, 6, 7),)
    assert planned("m", twelve, [A100] * 3, SMALL_PROFILE, Serving()).devices == ((0, 1),)


def test_what_does_not_fit_is_said_with_what_to_do() -> None:
    with pytest.raises(ModelUnavailable, match=r'needs 66 GiB .* = "fp8"'):
        planned("big", LARGE, [L4], PROFILE, Serving())


def test_eight_bits_take_half() -> None:
    assert planned("m", LARGE, [A100], PROFILE, Serving(tensor_parallel=1)).sequences == 8
    on_ada = Gpu(80 << 30, 79 << 30, (8, 9))
    assert planned("m", LARGE, [on_ada], PROFILE, Serving(quantization="fp8")).context_tokens == 32_768
    with pytest.raises(ModelUnavailable, match="A100 does not compute in FP8"):
        planned("m", LARGE, [A100], PROFILE, Serving(quantization="fp8"))


def test_memory_that_others_use_is_not_ours() -> None:
    busy = replace(H200, free=70 << 30)
    assert planned("m", SMALL, [busy], SMALL_PROFILE, Serving()).memory_share == pytest.approx(
        70 / 141 - 0.02, abs=1e-3
    )


def test_what_the_user_names_is_taken() -> None:
    wanted = Serving(replicas=2, tensor_parallel=2, context_tokens=16_384, sequences=7, memory_share=0.5)
    plan = planned("m", SMALL, [H200] * 8, SMALL_PROFILE, wanted)
    assert plan.devices == ((0, 1), (2, 3))
    assert (plan.context_tokens, plan.sequences, plan.memory_share) == (16_384, 7, 0.5)


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="lower serve"):
        planned("m", SMALL, [H200] * 2, SMALL_PROFILE, Serving(replicas=3))
    with pytest.raises(ModelUnavailable, match="none is visible"):
        planned("m", SMALL, [], SMALL_PROFILE, Serving(replicas=2))


def test_on_a_cpu() -> None:
    plan = planned("m", SMALL, [], SMALL_PROFILE, Serving())
    assert plan.devices == ((),)
    assert plan.told() == "one server on the CPU, a context of 32,768 tokens, 16 sequences at once"


def test_of_an_unknown_model_one_server_takes_all() -> None:
    plan = planned("some/model", Facts(), [H200] * 3, PROFILE, Serving())
    assert plan.devices == ((0, 1),)
    assert plan.sequences == PROFILE.parallel


@given(
    st.integers(1, 8),
    st.integers(8, 200),
    st.floats(0.3, 1.0),
    st.integers(0, 200_000_000_000),
    st.integers(0, 400_000),
)
def test_a_plan_is_one_that_a_machine_can_hold(count: int, gib: int, free: float, weights: int, cell: int) -> None:
    gpus = [Gpu(gib << 30, int((gib << 30) * free))] * count
    try:
        plan = planned("m", Facts(weights, cell, 0, 32_768), gpus, PROFILE, Serving())
    except ModelUnavailable:
        return
    used = [number for devices in plan.devices for number in devices]
    assert len(set(used)) == len(used) <= count
    assert len({len(devices) for devices in plan.devices}) == 1
    assert plan.sequences >= 8
    if weights and cell:
        room = len(plan.devices[0]) * (gib << 30) * (plan.memory_share or 0)
        assert weights + plan.context_tokens * cell <= room + (1 << 30)
