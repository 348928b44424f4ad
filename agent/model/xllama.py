"""The `embedded` engine without a compiler: llama.cpp from the `xllamacpp` wheel, as a child that serves the same HTTP.

The wheel knows AVX2 only and is four to six times slower than a build for the processor.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.errors import ModelUnavailable
from agent.model.command import CommandFailed, pip_command, run_command
from agent.model.files import locked
from agent.model.llama import ENV, SLOTS, pool_cells
from agent.model.process import Launch, Say

WHEEL = "xllamacpp==2026.10.11549"
WHEEL_SHA256 = "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261"  # cp310+, manylinux2014, x86_64
_SERVE = Path(__file__).with_name("xllama_serve.py")


def find_wheel(cache: Path) -> Path | None:
    """The folder that the wheel was installed into, if it was."""
    folder = cache / "llama" / WHEEL.replace("==", "-")
    return folder if (folder / "xllamacpp" / "__init__.py").exists() else None


async def install_wheel(cache: Path, say: Say) -> Path:
    """Install the wheel into the cache, checked by its hash. Raises ModelUnavailable where it does not fit."""
    if found := find_wheel(cache):
        return found
    folder = cache / "llama" / WHEEL.replace("==", "-")
    async with locked(folder.with_name(folder.name + ".lock"), say):
        if found := find_wheel(cache):
            return found
        say(
            "no C++ compiler: taking a ready-made model server, four to six times slower (install g++ for the fast one)"
        )
        requirements = folder.with_name(folder.name + ".txt")
        requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
        log = folder.with_name(folder.name + ".log")
        options = ["install", "--no-deps", "--require-hashes", "--only-binary=:all:", "--target", str(folder)]
        try:
            await run_command([*await pip_command(log), *options, "-r", str(requirements)], log=log)
        except CommandFailed as error:
            raise ModelUnavailable(
                "there is no C++ compiler, and the ready-made model server cannot be installed here; "
                f"install g++ and cmake (apt-get install g++ cmake), or name another model. {error}"
            ) from None
    return folder


def launch_xllama(folder: Path, weights: Path, key: str) -> Launch:
    """The wheel's server on the loopback with the settings of the native one, under a key of its own."""

    def argv(port: int) -> list[str]:
        return [sys.executable, "-I", str(_SERVE), str(folder), str(weights), str(port), str(SLOTS), str(pool_cells())]

    return Launch("xllamacpp", argv, env={**ENV, "LLAMA_API_KEY": key}, start_seconds=300.0)
