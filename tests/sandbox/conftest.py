"""The conformance suite's repository and sandbox serve this package's tests too."""

from __future__ import annotations

from tests.conformance.conftest import repository, sandbox, trial

__all__ = ["repository", "sandbox", "trial"]
