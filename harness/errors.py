"""Errors of the harness package.

HarnessError
├── UsageError(ValueError)                  the caller asked for something that cannot be; exit code 2
│   ├── SettingsError                       a setting that is unknown, malformed, or not allowed where it stands
│   ├── RepositoryError                     no such path, no repository, no commit, no such base, a branch that exists
│   ├── IssueError                          an empty issue, one that is too large, or none at the address
│   ├── JobsError                           a jobs file that cannot be read
│   ├── DatasetError                        a file of instances, predictions or candidates that cannot be read
│   ├── InstanceError                       one instance that no task can be made of; the others can be used
│   ├── SwebenchMissing                     the package swebench is needed and not there
│   └── RunConflict                         the run directory belongs to other settings, or to a live process
├── WorkerLost(ChildProcessError)           a process of a batch has died; its tasks are tried again the next time
├── RemoteError(OSError)                    a server of issues and pull requests refuses or does not answer; exit code 4
└── JournalError(OSError)                   the run directory's journal cannot be read or written; exit code 4
    └── DirectoryFull                       there is no room left to write: a batch stops, what is there is kept

Errors of the sandbox and agent packages pass through `harness.solve` into a `Result` with status `failed`;
`agent.errors.BudgetSpent` is raised here (`harness.budget`) and ends trajectories with what they have.
"""

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the operating system calls a disk, a quota or a file that has no room left."""


class HarnessError(Exception):
    """Root of everything this package raises on purpose."""


class UsageError(HarnessError, ValueError):
    """The request itself is wrong. Handled by the command line: the message, exit code 2."""


class SettingsError(UsageError):
    """A setting is unknown, malformed, or may not stand where it was found."""


class RepositoryError(UsageError):
    """The repository cannot be used as asked. The message says what to do."""


class IssueError(UsageError):
    """The issue is empty or too large, or there is none at the address."""


class JobsError(UsageError):
    """A jobs file cannot be read. The message names the job and the key."""


class DatasetError(UsageError):
    """A file of instances, predictions or candidates, or a hub's data set, cannot be read; says where."""


class InstanceError(UsageError):
    """One instance is wrong: its row, its repository, its environment. Handled where instances are gone through: the
    others go on."""

    def __init__(self, instance_id: str, message: str) -> None:
        super().__init__(message)
        self.instance_id = instance_id
        """"" where the row has no id."""


class SwebenchMissing(UsageError):
    """The extra with the package swebench is not installed. The message says how to get it."""


class RunConflict(UsageError):
    """The run directory was made with other settings, or another process works in it now."""


class WorkerLost(HarnessError, ChildProcessError):
    """A worker process of a batch has died, of too little memory most likely. Handled by the batch: the tasks that it
    had fail, the others go on."""


class RemoteError(HarnessError, OSError):
    """A server of issues and pull requests refuses, or does not answer."""


class JournalError(HarnessError, OSError):
    """The journal cannot be read or written."""


class DirectoryFull(JournalError):
    """The disk, or a quota, has no room for the run's directory. Nothing half-written is left."""
