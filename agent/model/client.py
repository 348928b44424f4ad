"""The one client: chat completions of any OpenAI-compatible server, by the `openai` SDK."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import anyio
import httpx
import openai
import stamina

from agent.errors import ModelError, ModelReplyInvalid, ModelTimeout, ModelUnavailable
from agent.model.base import Completion, Profile, Request
from agent.model.failures import Refused, TryAgain, classify
from agent.model.reply import Reply, read_reply
from agent.model.slots import Slots
from agent.model.usage import Accounts, estimate_prompt
from agent.model.wire import Dialect


@dataclass(frozen=True)
class Patience:
    """How long to wait. The read deadline grows with the prompt and the answers; the rates are floors, not averages."""

    connect: float = 10.0
    least: float = 120.0
    prompt_rate: float = 50.0
    """Prompt tokens a second below which a server counts as hanging."""
    answer_rate: float = 2.0
    """Answer tokens a second of one sequence, likewise."""
    total: float | None = None
    """Seconds for all attempts together; by default two read deadlines and a minute of waiting between attempts."""
    first_wait: float = 0.5
    longest_wait: float = 20.0

    def read(self, prompt_tokens: int, max_tokens: int, n: int) -> float:
        """Seconds for one attempt. Sequences decode together, about eight as fast as one."""
        return self.least + prompt_tokens / self.prompt_rate + max_tokens * max(1.0, n / 8) / self.answer_rate

    def overall(self, read: float) -> float:
        return self.total if self.total is not None else 2 * read + 60.0


class OpenAIModel:
    """A model on an OpenAI-compatible server. Close it with `aclose`; `open_model` does.

    `revive` is called when the connection fails: for a server of our own it restarts the server, or raises
    ModelUnavailable when that is hopeless. `tries`: attempts at most, where another server can answer instead.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        profile: Profile,
        api_key: str | None = None,
        patience: Patience | None = None,
        local: bool = False,
        revive: Callable[[], Awaitable[None]] | None = None,
        tries: int | None = None,
    ) -> None:
        self._model = model
        self.profile = profile
        self._patience = patience or Patience()
        self._key = api_key or ""
        self._where = f"the model server at {without_login(base_url)}"
        self._dialect = Dialect()
        self._accounts = Accounts(self._count)
        self._slots = Slots(profile.parallel)
        self._revive = revive
        self._tries = tries
        self._tokenizes = True
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=self._key or "none",
            max_retries=0,  # stamina's part
            timeout=openai.Timeout(600.0, connect=self._patience.connect),
            # A server on this machine is never behind the proxy that the environment may name.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not local),
        )

    def __repr__(self) -> str:
        return f"<OpenAIModel {self._model} at {self._where}>"

    async def aclose(self) -> None:
        await self._client.close()

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        """`n` answers; see `agent.model.base.Model`. Answer `j` is drawn with seed + j, however they are asked for."""
        done: list[Completion] = []
        while len(done) < n:
            # A server has no more slots than the profile says, and llama.cpp refuses a larger n.
            want = min(n - len(done), self.profile.parallel)
            if self._dialect.single and want > 1:
                done += await self._one_by_one(request, len(done), n - len(done))
                break
            try:
                got = await self._ask(request, want, len(done))
            except Refused as refused:
                if want > 1:  # perhaps n itself is what it refuses
                    self._dialect.single = True
                    continue
                raise ModelUnavailable(f"{self._where} refuses the request: {refused.message}") from None
            done += got
            if len(got) < want:  # some servers ignore n
                self._dialect.single = True
        return tuple(done)

    async def _one_by_one(self, request: Request, first: int, count: int) -> list[Completion]:
        """Ask for each answer by itself: the first warms the server's prefix cache, the rest go together."""
        answers: dict[int, Completion] = {}

        async def one(offset: int) -> None:
            try:
                answers[offset] = (await self._ask(request, 1, offset))[0]
            except Refused as refused:
                raise ModelUnavailable(f"{self._where} refuses the request: {refused.message}") from None

        offsets = list(range(first, first + count))
        if first == 0:
            await one(offsets.pop(0))
        try:
            async with anyio.create_task_group() as group:
                for offset in offsets:
                    group.start_soon(one, offset)
        except BaseExceptionGroup as group:
            raise _first_model_error(group) from None
        return [answers[offset] for offset in sorted(answers)]

    async def _ask(self, request: Request, n: int, offset: int) -> tuple[Completion, ...]:
        prompt = estimate_prompt(request.messages, self.profile)
        read = self._patience.read(prompt, request.sampling.max_tokens, n)
        async with self._slots.held(min(n, self.profile.parallel), request.prefix):
            started = time.monotonic()
            reply = await self._persist(request, n, offset, read)
            seconds = time.monotonic() - started
            return await self._accounts.completions(reply, request, seconds, self.profile)

    async def _persist(self, request: Request, n: int, offset: int, read: float) -> Reply:
        """Attempts until one brings a reply, its kind of failure has had its chances, or the time is up."""
        last: list[TryAgain] = []
        total = self._patience.overall(read)
        until = time.monotonic() + total

        def worth(error: Exception) -> bool | float:
            if not isinstance(error, TryAgain) or len(last) >= min(error.limit, self._tries or error.limit):
                return False
            if error.wait is not None and time.monotonic() + error.wait >= until:
                return False
            return True if error.wait is None else error.wait

        try:
            with anyio.fail_after(total):
                async for attempt in stamina.retry_context(
                    on=worth,
                    attempts=None,
                    timeout=None,
                    wait_initial=self._patience.first_wait,
                    wait_max=self._patience.longest_wait,
                    wait_jitter=self._patience.first_wait,
                ):
                    with attempt:
                        try:
                            return await self._once(request, n, offset, read)
                        except TryAgain as again:
                            last.append(again)
                            if again.lost and self._revive is not None:
                                await self._revive()
                            raise
        except TryAgain as again:
            raise again.failure from None
        except TimeoutError as error:
            if isinstance(error, ModelError):
                raise
            raise (
                last[-1].failure
                if last
                else ModelTimeout(
                    f"{self._where} gave no answer within {total:.0f} s; it may be overloaded: lower `parallel`"
                )
            ) from None
        raise ModelReplyInvalid(f"{self._where} gave no reply")  # stamina always returns or raises

    async def _once(self, request: Request, n: int, offset: int, read: float) -> Reply:
        # A gateway that honours it answers a request that was sent before a crash once more, and charges it once.
        same = {"Idempotency-Key": f"{request.key}-{offset}-{n}"}
        while True:
            body = self._dialect.body(self._model, request, n, offset, self.profile.extra_body)
            try:
                # Not `chat.completions.create`: it checks each message against its types, which takes three times
                # the processor time of the whole call, in the thread that all trajectories share.
                response = await self._client.post(
                    "/chat/completions",
                    body=body,
                    cast_to=httpx.Response,
                    options={"headers": same, "timeout": openai.Timeout(read, connect=self._patience.connect)},
                )
                reply = read_reply(response.content)
            except ModelReplyInvalid as invalid:
                raise TryAgain(invalid, limit=2) from None
            except openai.OpenAIError as error:
                failure = classify(error, self._where, self._key)
                if isinstance(failure, Refused) and self._dialect.learn(failure, body):
                    continue
                if isinstance(error, openai.NotFoundError):
                    failure = await self._not_found(failure)
                raise failure from None
            return Reply(reply.choices[:n], reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens)

    async def _not_found(self, failure: Exception) -> ModelUnavailable:
        try:
            names = await self.listed()
        except ModelError:
            names = {}
        if self._model in names or not names:
            return ModelUnavailable(f"{failure}. Check that the base URL ends where /chat/completions is served")
        return ModelUnavailable(f"{self._where} has no model {self._model!r}; it has: {', '.join(sorted(names)[:20])}")

    async def check(self) -> None:
        """See `agent.model.base.ModelServer`."""
        await self.listed()

    async def listed(self) -> dict[str, dict[str, Any]]:
        """The models that the server lists, by name, with whatever it says of them ({} where it lists none).

        Raises ModelUnavailable, ModelTimeout or ModelDenied when the server cannot be asked.
        """
        try:
            page = await self._client.models.with_raw_response.list(
                timeout=openai.Timeout(30.0, connect=self._patience.connect)
            )
            data: Any = page.http_response.json()
            return {str(entry["id"]): dict(entry) for entry in data["data"]}
        except openai.OpenAIError as error:
            failure = classify(error, self._where, self._key)
            if isinstance(error, openai.NotFoundError | openai.BadRequestError):
                return {}
            raise (failure.failure if isinstance(failure, TryAgain) else failure) from None
        except (ValueError, KeyError, TypeError):
            return {}

    async def _count(self, text: str) -> int | None:
        """Tokens of a text by the server's `/tokenize` (llama.cpp's and vLLM's), None where there is none."""
        if not self._tokenizes:
            return None
        ask: dict[str, object] = {"content": text, "prompt": text, "model": self._model, "add_special_tokens": False}
        try:
            with anyio.fail_after(30):
                data: Any = (
                    await self._client.post(f"{self._root}/tokenize", body=ask, cast_to=openai.BaseModel)
                ).to_dict()
                return int(data["count"]) if "count" in data else len(data["tokens"])
        except (openai.OpenAIError, TimeoutError, ValueError, KeyError, TypeError, AttributeError):
            self._tokenizes = False
            return None


def _first_model_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that a task group wrapped; the group itself when it holds anything else."""
    models, others = group.split(ModelError)
    while isinstance(models, BaseExceptionGroup):
        models = models.exceptions[0]
    return group if others is not None or models is None else models


def without_login(url: str) -> str:
    """The address without a user name and password, for messages."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
