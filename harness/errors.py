"""Errors of the harness package.

HarnessError
├── UsageError(ValueError)                  the caller asked for something that cannot be; exit code 2
│   ├── SettingsError                       a setting that is unknown, malformed, or not allowed where it stands
│   ├── RepositoryError                     no such path, no repository, no commit, no such base, a branch that exists
│   ├── IssueError                          an empty issue, or one that is too large
│   └── RunConflict                         the run directory belongs to other settings, or to a live process
└── JournalError(OSError)                   the run directory's journal cannot be read or written; exit code 4

Errors of the sandbox and agent packages pass through `harness.solve` into a `Result` with status `failed`;
`agent.errors.BudgetSpent` is raised here (`harness.budget`) and ends trajectories with what they have.
"""


class HarnessError(Exception):
    """Root of everything this package raises on purpose."""


class UsageError(HarnessError, ValueError):
    """The request itself is wrong. Handled by the command line: the message, exit code 2."""


class SettingsError(UsageError):
    """A setting is unknown, malformed, or may not stand where it was found."""


class RepositoryError(UsageError):
    """The repository cannot be used as asked. The message says what to do."""


class IssueError(UsageError):
    """The issue is empty or too large."""


class RunConflict(UsageError):
    """The run directory was made with other settings, or another process works in it now."""


class JournalError(HarnessError, OSError):
    """The journal cannot be read or written."""
