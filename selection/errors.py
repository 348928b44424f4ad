"""Errors of the selection package.

SelectionError
└── VotesIncomplete(LookupError)    a script or class without its cell: the caller mixed values of two matrices

Nothing else is raised here on purpose. A lost sandbox becomes a broken cell, a patch that does not apply a veto, a
model that fails or writes nonsense an undecided comparison, no candidates a selection without a winner. What ends a
whole run passes through untouched: `sandbox.errors.DiskFull` and `EngineUnavailable`; the command line handles them.
"""


class SelectionError(Exception):
    """Root of everything this package raises on purpose."""


class VotesIncomplete(SelectionError, LookupError):
    """A vote was asked for that the matrix does not hold. Handled by nobody: a mistake in the calling code."""
