"""Fixtures that all tests share."""

import inspect
from collections.abc import Generator

import pytest
from hypothesis import settings
from sniffio import current_async_library_cvar

# No test judges by a time, and Hypothesis' own would: a busy machine is no defect.
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")


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
