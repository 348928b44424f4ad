"""Opens what all tasks of a batch share: one model server and one sandbox backend, each behind its gate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from agent.model.base import ModelServer
from agent.model.meter import Meter
from agent.model.open import open_model
from harness.config import Settings, backend_settings, serving_of
from harness.gate import Gate, GatedBackend, GatedModel
from harness.prices import profile_changes
from sandbox.base import Backend
from sandbox.errors import SandboxError


@dataclass(frozen=True)
class Shared:
    """How it is opened, and who is told what becomes of it."""

    settings: Settings
    log_dir: Path
    patience: float
    """Seconds for which what is away is waited for."""
    say: Callable[[str], None]
    give_up: Callable[[Exception], None]
    metered: Callable[[Meter], None]

    @asynccontextmanager
    async def opened(
        self, model: ModelServer | None, backend: Backend | None
    ) -> AsyncGenerator[tuple[GatedModel, GatedBackend]]:
        """For the block; what was given stays open. Raises ModelError, EngineUnavailable."""
        async with AsyncExitStack() as stack:
            if backend is None:
                backend = await to_thread.run_sync(self._backend)
                stack.push_async_callback(_closed, backend)
            if model is None:
                model = await stack.enter_async_context(
                    open_model(
                        self.settings.model,
                        cache=self.settings.paths.cache,
                        log_dir=self.log_dir,
                        say=lambda text: self.say(f"model: {text}"),
                        overrides=profile_changes(self.settings),
                        serving=serving_of(self.settings),
                        metered=self.metered,
                    )
                )
            gated = GatedModel(model, self._gate("the model", model.check))
            sandboxes = self._gate("the sandboxes", backend.check)
            yield gated, GatedBackend(backend, sandboxes, self.settings.sandbox.parallel)

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
