"""The backends with real sandboxes, as parameters of fixtures."""

from __future__ import annotations

import pytest

from sandbox.base import Backend
from sandbox.walls import why_not


def docker() -> Backend:
    from sandbox.docker import DockerBackend

    return DockerBackend()


def bubblewrap() -> Backend:
    from sandbox.bubblewrap import BubblewrapBackend

    return BubblewrapBackend()


BACKENDS = [
    pytest.param(docker, marks=[pytest.mark.docker, pytest.mark.timeout(900)]),
    pytest.param(
        bubblewrap,
        marks=[
            pytest.mark.bubblewrap,
            pytest.mark.timeout(900),
            pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap"),
        ],
    ),
]
