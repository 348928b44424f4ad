"""How a command ends; apart from the rest so that `--help` loads nothing else."""

WRONG_USE = 2
NOT_AS_EXPECTED = 3
FAILED = 4
INTERRUPTED = 130


class Exit(Exception):
    """Ends a command with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
