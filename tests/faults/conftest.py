"""The conformance suite's repository and sandbox serve the faults too."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Trial, docker_trial, repository, sandbox

__all__ = ["repository", "sandbox", "trial"]


@pytest.fixture(scope="session", params=[pytest.param("docker", marks=pytest.mark.docker)])
def trial() -> Trial:
    """Docker alone: what is tested here is its own."""
    return docker_trial()
