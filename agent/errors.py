"""Errors of the agent package.

AgentError
└── ModelError
    ├── ModelSpecError(ValueError)          a model spec that cannot be read; the command line: exit code 2
    ├── ModelUnavailable(ConnectionError)   the server refuses, vanished, or cannot start; exit code 4
    ├── ModelTimeout(TimeoutError)          no answer within the deadline, retries spent
    ├── ModelDenied(PermissionError)        401 or 403: stop at once, do not retry
    ├── ContextTooLong(ValueError)          the prompt does not fit; the trajectory ends with what it has
    ├── BudgetSpent(RuntimeError)           no further call is allowed; the trajectory ends with what it has
    └── ModelReplyInvalid(ValueError)       the server answered with something that is no completion

What the model writes is never an exception: bad output is a value that is shown back to it.
"""


class AgentError(Exception):
    """Root of everything this package raises on purpose."""


class ModelError(AgentError):
    """Root of what can go wrong between us and a model server."""


class ModelSpecError(ModelError, ValueError):
    """The model spec is not of the form that the message gives."""


class ModelUnavailable(ModelError, ConnectionError):
    """The server cannot be reached or started. The message says what was tried and what to do."""


class ModelTimeout(ModelError, TimeoutError):
    """No answer within the deadline, after retries."""


class ModelDenied(ModelError, PermissionError):
    """The server does not accept the key. Retrying cannot help."""


class ContextTooLong(ModelError, ValueError):
    """The prompt and the answer's room exceed the model's context."""


class BudgetSpent(ModelError, RuntimeError):
    """The run's budget, or its user, allows no further call. Every later call ends so too."""


class ModelReplyInvalid(ModelError, ValueError):
    """The server's reply is no chat completion."""
