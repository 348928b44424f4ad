"""Turns what an HTTP server or the network did into typed failures, and says which are worth another try."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping

import openai

from agent.errors import (
    ContextTooLong,
    ModelDenied,
    ModelError,
    ModelReplyInvalid,
    ModelTimeout,
    ModelUnavailable,
)

_TOO_LONG = re.compile(
    r"context.{0,12}(length|size|window)|exceed_context|maximum context|too many tokens|prompt is too long|"
    r"max_model_len|reduce the length",
    re.IGNORECASE,
)


class TryAgain(Exception):
    """No error yet: a failure that another attempt may undo. `limit`: attempts in all that it deserves."""

    def __init__(self, failure: ModelError, limit: int, wait: float | None = None, lost: bool = False) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.limit = limit
        self.wait = wait
        """Seconds that the server asked us to wait."""
        self.lost = lost
        """The connection itself failed: a server of our own may have died."""


class Refused(Exception):
    """A 400 or 422, perhaps about one parameter: the caller decides whether the request can be put differently."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


def classify(error: Exception, where: str, hide: str) -> Exception:
    """The failure that an exception of the SDK stands for: a ModelError, TryAgain or Refused.

    `where` names the server in messages; `hide` is a secret that a server may echo.
    """
    if isinstance(error, openai.APITimeoutError):
        return TryAgain(
            ModelTimeout(
                f"{where} did not answer in time; it may be overloaded: lower `parallel` or raise the deadline"
            ),
            limit=2,
        )
    if isinstance(error, openai.APIStatusError):
        return _status(error, where, hide)
    if isinstance(error, openai.APIConnectionError):
        cause = redact(str(error.__cause__ or error), hide) or type(error.__cause__ or error).__name__
        failure = ModelUnavailable(f"{where} cannot be reached ({cause}); check that it runs and the address is right")
        return TryAgain(failure, limit=5, lost=True)
    return ModelReplyInvalid(f"{where} sent something unreadable: {redact(str(error), hide)[:300]}")


def _status(error: openai.APIStatusError, where: str, hide: str) -> Exception:
    said = _said(error, hide)
    status = error.status_code
    if status in (401, 403):
        return ModelDenied(
            f"{where} does not accept the key ({status}: {said}); "
            "set BESTPATCH_API_KEY or OPENAI_API_KEY to a valid one"
        )
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(said)):
        failure = ContextTooLong(f"the prompt and the answer's room exceed the model's context ({said})")
        # A 500 of this kind: the cells that all requests share ran out, and others will give theirs back.
        return TryAgain(failure, limit=4) if status == 500 else failure
    if status == 404:
        return ModelUnavailable(f"{where} answers 404: {said}")
    if status in (408, 409, 425, 429) or status >= 500:
        failure = ModelUnavailable(f"{where} answers {status}: {said}; try again later, or lower `parallel`")
        return TryAgain(failure, limit=8 if status == 429 else 5, wait=retry_after(error.response.headers))
    if status in (400, 422):
        return Refused(said, error.param)
    return ModelUnavailable(f"{where} answers {status}: {said}")


def _said(error: openai.APIStatusError, hide: str) -> str:
    body = error.body
    text = error.message
    if isinstance(body, Mapping):
        inner: object = body.get("message") or body.get("detail") or body.get("error")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        text = str(inner) if inner else text  # pyright: ignore[reportUnknownArgumentType]
    return redact(" ".join(text.split()), hide)[:400]


def redact(text: str, secret: str) -> str:
    """The text without the secret, should a server have echoed it."""
    return text.replace(secret, "***") if len(secret) >= 4 else text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, given in seconds or as a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
