"""Errors of the sandbox package.

SandboxError
├── EngineUnavailable(ConnectionError)      no container engine answers; the command line says how to get one
├── EnvironmentUnavailable(RuntimeError)    an image cannot be pulled or built; the task fails, others go on
├── SandboxLost(ConnectionError)            the engine or container vanished in mid-use; worth a retry
├── SandboxTimeout(TimeoutError)            the engine itself did not answer in time; worth a retry
├── DiskFull(OSError)                       less free disk than the floor; nothing was written
├── PatchRejected(ValueError)               a patch that must not or does not apply; the candidate is dropped
│   └── PatchTooLarge                       more bytes or files than any fix has
└── WorkspaceError(OSError)                 a file operation inside a workspace failed (no such file, ...)

What the executed code does (crash, time out, eat its memory) is an `Execution`, never an exception.
"""


class SandboxError(Exception):
    """Root of everything this package raises on purpose."""


class EngineUnavailable(SandboxError, ConnectionError):
    """No container engine answers. Handled by the command line: exit code 4 and how to get one."""


class EnvironmentUnavailable(SandboxError, RuntimeError):
    """The environment's image cannot be pulled or built. `log` is the tail of the build's output."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class SandboxLost(SandboxError, ConnectionError):
    """The engine or the container vanished during an operation. The caller may try again."""


class SandboxTimeout(SandboxError, TimeoutError):
    """The engine did not answer within its own deadline. The caller may try again."""


class DiskFull(SandboxError, OSError):
    """Free disk is below the floor, so nothing was started."""


class PatchRejected(SandboxError, ValueError):
    """The patch touches what it must not, is too large, or does not apply to the clean tree."""


class PatchTooLarge(PatchRejected):
    """The patch, or a file of it, has more bytes, or the patch more files, than are taken."""


class WorkspaceError(SandboxError, OSError):
    """A file operation inside a workspace failed."""
