"""Opens what all tasks of a batch share: one model server and one sandbox backend, each behind its gate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from agent.model.base import ModelServer
from agent.model.meter import Meter
from agent.model.open import open_model
from agent.model.served import Served, connected
from harness.config import Settings, backend_settings, serving_of
from harness.gate import Gate, GatedBackend, GatedModel
from harness.prices import profile_changes
from sandbox.base import Backend
from sandbox.errors import SandboxError

Around = Callable[[ModelServer], ModelServer]
"""Makes a model that stands around another one."""


@dataclass(frozen=True)
class Shared:
    """How it is opened, and who is told what becomes of it."""

    settings: Settings
    log_dir: Path
    patience: float
    """Seconds for which what is away is waited for."""
    say: Callable[[str], None]
    give_up: Callable[[Exception], None]
    metered: Callable[[Meter], None] | None = None
    around: Around | None = None
    """Makes the model that is asked from the one that was opened."""

    @asynccontextmanager
    async def opened(
        self, model: ModelServer | Served | None, backend: Backend | None
    ) -> AsyncGenerator[tuple[ModelServer, Backend, Served | None]]:
        """Model and backend for the block; what was given stays open. The third is how other processes can ask the same
        servers, None where they cannot. Raises ModelError, EngineUnavailable.
        """
        async with AsyncExitStack() as stack:
            if backend is None:
                backend = await to_thread.run_sync(self._backend)
                stack.push_async_callback(_closed, backend)
            served: list[Served] = []
            if isinstance(model, Served):
                model = await stack.enter_async_context(connected(model, self._say_of_model))
            elif model is None:
                model = await stack.enter_async_context(self._model(served.append))
            yield self.around(model) if self.around else model, backend, served[0] if served else None

    def gated(self, model: ModelServer, backend: Backend) -> tuple[GatedModel, GatedBackend]:
        sandboxes = self._gate("the sandboxes", backend.check)
        gated = GatedModel(model, self._gate("the model", model.check))
        return gated, GatedBackend(backend, sandboxes, self.settings.sandbox.parallel)

    def _model(self, served: Callable[[Served], None]) -> AbstractAsyncContextManager[ModelServer]:
        return open_model(
            self.settings.model,
            cache=self.settings.paths.cache,
            log_dir=self.log_dir,
            say=self._say_of_model,
            overrides=profile_changes(self.settings),
            serving=serving_of(self.settings),
            metered=self.metered,
            served=served,
        )

    def _say_of_model(self, text: str) -> None:
        self.say(f"model: {text}")

    def _gate(self, name: str, check: Callable[[], Awaitable[None]]) -> Gate:
        return Gate(name, check, patience=self.patience, say=self.say, give_up=self.give_up)

    def _backend(self) -> Backend:
        from sandbox.backends import choose_backend  # not needed where a backend is given

        docker, bubblewrap = backend_settings(self.settings)
        chosen = self.settings.sandbox.backend
        return choose_backend(chosen, docker, bubblewrap, say=lambda text: self.say(f"environment: {text}"))


async def _closed(backend: Backend) -> None:
    with suppress(SandboxError):  # the next run removes what is left
        await backend.close()
