"""Fixtures that all tests share."""

import inspect
from collections.abc import Generator

import pytest
from sniffio import current_async_library_cvar


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def outside_the_loop(request: pytest.FixtureRequest) -> Generator[None, None, None]:
    """A test that is no coroutine may start a loop of its own.

    While an asynchronous fixture of the session lives, anyio's plugin says that a loop is running, also where none is.
    """
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield
        return
    token = current_async_library_cvar.set(None)
    yield
    current_async_library_cvar.reset(token)
