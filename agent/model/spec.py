"""Reads a model spec, the one line that says which model to use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.errors import ModelSpecError
from agent.model.weights import DEFAULT_SIZE, known_weights

FORMS = (
    "embedded (or embedded:0.5b), vllm:NAME_OR_PATH, openai:MODEL@BASE_URL such as "
    "openai:qwen3-coder@http://localhost:8000/v1 (several URLs with commas between), or scripted:FILE"
)


@dataclass(frozen=True)
class Embedded:
    """Small weights on this machine's CPU."""

    size: str = DEFAULT_SIZE


@dataclass(frozen=True)
class Vllm:
    """A vLLM server that we start."""

    model: str


@dataclass(frozen=True)
class OpenAI:
    """Any OpenAI-compatible servers, all of which hold the model."""

    model: str
    base_urls: tuple[str, ...]


def is_local(url: str) -> bool:
    """Whether the server is on this machine, where no proxy leads to."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Scripted:
    """Rules from a file, for tests."""

    file: Path


Spec = Embedded | Vllm | OpenAI | Scripted


def parse_spec(text: str) -> Spec:
    """The spec that a text writes. Raises ModelSpecError with what is wrong and the forms there are."""
    kind, colon, rest = text.strip().partition(":")
    rest = rest.strip()
    match kind:
        case "embedded":
            size = rest.lower() if colon else DEFAULT_SIZE
            if size not in known_weights():
                raise _wrong(text, f"there are embedded weights of {' and '.join(known_weights())}")
            return Embedded(size)
        case "vllm":
            if not rest:
                raise _wrong(text, "it names no model")
            if rest.startswith(("/", "./", "../", "~")):
                path = _path(text, rest)
                if not path.exists():
                    raise _wrong(text, f"there is no {path}")
                return Vllm(str(path.resolve()))
            return Vllm(rest)
        case "openai":
            return _openai(text, rest)
        case "scripted":
            if not rest:
                raise _wrong(text, "it names no file")
            return Scripted(_path(text, rest))
        case _:
            raise _wrong(text, f"{kind!r} is no kind of model")


def _path(text: str, rest: str) -> Path:
    try:
        return Path(rest).expanduser()
    except RuntimeError:  # ~name, and no such user
        raise _wrong(text, f"there is no user {rest.split('/')[0][1:]!r} here") from None


def _openai(text: str, rest: str) -> OpenAI:
    # From the right would split a user name in the address, from the left a model's name that holds an @.
    model, found, address = rest.partition("@http")
    urls = ("http" + address).split(",")
    if not found:
        raise _wrong(text, "after the model's name comes @ and a base URL that starts with http:// or https://")
    if not model:
        raise _wrong(text, "there is no model's name before the @")
    for url in urls:
        _check_url(text, url)
    if len(set(urls)) < len(urls):
        raise _wrong(text, "a base URL stands twice")
    return OpenAI(model, tuple(urls))


def _check_url(text: str, url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise _wrong(text, "after the model's name comes @ and a base URL that starts with http:// or https://")
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise _wrong(text, "the base URL has no host, or a port that is no number") from None
    if not valid:
        raise _wrong(text, "the base URL has no host")
    if parts.username or parts.password:
        raise _wrong(text, "the base URL holds a login; keys belong into BESTPATCH_API_KEY")


def _wrong(text: str, why: str) -> ModelSpecError:
    text = re.sub(r"//[^/\s]*@", "//***@", text)  # a login is never repeated
    shown = text if len(text) <= 200 else text[:200] + "..."
    return ModelSpecError(f"cannot read the model spec {shown!r}: {why}. A spec is {FORMS}")
