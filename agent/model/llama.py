"""The `embedded` engine: llama.cpp's server, built for this very processor and kept in the cache.

The source is the one that the `llama-cpp-python` source distribution carries, pinned by hash. A build is named by
the recipe's digest and the processor's flags, so that a cache on a shared disk serves unlike machines. Every build is
proved by one token before it is used: GCC 12 miscompiles AMX tile loads (llama.cpp issue 20824), which the forced
header below mends; should a build die nevertheless, it is made again without AMX.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread
import httpx

from agent.errors import ModelUnavailable
from agent.model.command import CommandFailed, pip_command, run_command
from agent.model.files import discard, locked, make_folder, need_disk
from agent.model.process import Launch, Say, served
from sandbox.base import digest_of
from sandbox.scratch import scratch_folder

SDIST = "llama-cpp-python==0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_SOURCE = "llama_cpp_python-0.3.36"

# Build tools where only a compiler is there; hashes of the manylinux wheels for x86_64 and aarch64.
_TOOLS = """\
cmake==4.1.2 --hash=sha256:7587a2b2ce48df1fd68a68657b6c5a711b467c346812e46dfb9cd996cd6e2352 \
--hash=sha256:b608042882f79ad2b92ce44bc1f1266882b7784f8feab313ae0b6c735379bd4c
ninja==1.13.0 --hash=sha256:fb46acf6b93b8dd0322adc3a4945452a4e774b75b91293bafcc7b7f8e6517dfa \
--hash=sha256:3d00c692fb717fd511abeb44b8c5d00340c36938c12d6538ba989fe764e79630
"""

_AMX_HEADER = """\
#pragma once
/* GCC 12 drops the stores to a tile configuration that only ldtilecfg reads; the "m" operand keeps them. */
#if defined(__cplusplus) && defined(__AMX_TILE__)
#include <immintrin.h>
static inline void bestpatch_load_tiles(const void *config) {
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const char (*)[64])config) : "memory");
}
#define _tile_loadconfig(config) bestpatch_load_tiles(config)
#endif
"""
_NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
_OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    *(
        f"-DLLAMA_{part}=OFF"
        for part in ("BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_APP", "BUILD_UI", "USE_PREBUILT_UI", "OPENSSL")
    ),
]

# One prompt, many trajectories: `n` answers share their prompt's cells, but a slot that answered as one of the n
# forgets the prompt afterwards, so that of eight trajectories that go on from it at once seven compute it anew (2.3k
# tokens: about 25 s of two cores each for the 1.5B). Let them keep it: idle slots are cleared when room is needed.
_PATCHED = "tools/server/server-context.cpp"
_FORGETS = """\
            if (task->is_child()) {
                prompt_clear();
            }
"""
_RECIPE = digest_of(SDIST_SHA256, _AMX_HEADER, _NO_AMX, *_OPTIONS, _PATCHED, _FORGETS)

SLOTS = 16
"""Sequences at once: 82 tokens a second in all for the 1.5B on two cores, against 52 with eight (one has 14)."""

ENV = {
    # Spinning OpenMP threads starve each other on shared cores: 3.7 tokens a second instead of 9.9 (0.5B, measured).
    "OMP_WAIT_POLICY": "passive",
}


def processor() -> str:
    """What the compiler's -march=native sees: the architecture and the processor's flags."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = platform.processor()
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", info, re.MULTILINE)
    return f"{platform.machine()} {' '.join(sorted((flags[1] if flags else info).split()))}"


def build_folder(cache: Path, amx: bool = True) -> Path:
    """Where the build for this processor lies in the cache."""
    return cache / "llama" / f"{_RECIPE[:12]}-{digest_of(processor())[:12]}{'' if amx else '-no-amx'}"


def find_engine(cache: Path) -> Path | None:
    """The proved llama-server for this processor, if one was built."""
    for amx in (True, False):
        folder = build_folder(cache, amx)
        if (folder / "proved").exists():
            return folder / "llama-server"
    return None


def compiler() -> str | None:
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


async def build_engine(cache: Path, weights: Path, say: Say) -> Path:
    """Build llama-server, prove it with one token, and return its path; at once when it is there already.

    About ten minutes of processor time, once. Raises ModelUnavailable when there is no compiler or the build fails.
    """
    if engine := find_engine(cache):
        return engine
    if compiler() is None:
        raise ModelUnavailable("building llama-server needs a C++ compiler: install g++ (apt-get install g++)")
    async with locked(cache / "llama" / "build.lock", say):
        if engine := find_engine(cache):
            return engine
        failure = ModelUnavailable("")
        for amx in (True, False):
            folder = build_folder(cache, amx)
            if not (folder / "llama-server").exists():
                await _build(cache, folder, amx, say)
            try:
                await prove(folder / "llama-server", weights, folder)
            except ModelUnavailable as error:
                failure = error
                discard(folder / "llama-server")
                say("the build does not answer" + ("; building without AMX" if amx else ""))
                continue
            (folder / "proved").touch()
            return folder / "llama-server"
        raise failure


async def _build(cache: Path, folder: Path, amx: bool, say: Say) -> None:
    need_disk(make_folder(folder), 1 << 30, "building llama-server")
    log = folder / "build.log"
    say(f"building the model server for this processor, once, about five minutes (log: {log})")
    with scratch_folder(cache / "llama") as work:
        await _source(work, log)
        cmake, env = await _cmake(cache, log)
        (work / "amx.h").write_text(_AMX_HEADER)
        flags = f"-include {work / 'amx.h'}" + ("" if amx else f" {_NO_AMX}")
        generator = ["-G", "Ninja"] if shutil.which("ninja", path=env.get("PATH")) else []
        source = work / _SOURCE / "vendor" / "llama.cpp"
        keep_prompts(source / _PATCHED)
        configure = [
            cmake,
            "-S",
            str(source),
            "-B",
            str(work / "out"),
            *generator,
            *_OPTIONS,
            f"-DCMAKE_CXX_FLAGS={flags}",
        ]
        if not amx:
            configure.append(f"-DCMAKE_C_FLAGS={_NO_AMX}")
        shown = 0

        def progress(line: str) -> None:  # ninja: "[12/345] ...", make: "[ 12%] ..."
            nonlocal shown
            if found := re.match(r"\[\s*(\d+)(?:/(\d+)\]|%\])", line):
                percent = int(found[1]) * 100 // int(found[2] or 100)
                if percent // 10 > shown:
                    shown = percent // 10
                    say(f"building the model server: {shown * 10} %")

        jobs = str(max(1, _cores()))
        try:
            await run_command(configure, log=log, env=env)
            await run_command(
                [cmake, "--build", str(work / "out"), "-j", jobs, "--target", "llama-server"],
                log=log,
                env=env,
                line=progress,
            )
        except CommandFailed as error:
            raise ModelUnavailable(f"llama-server does not build here: {error}") from None
        (work / "out" / "bin" / "llama-server").replace(folder / "llama-server")


def keep_prompts(file: Path) -> None:
    """Take the forgetting out of the server's source. Raises ModelUnavailable when it is not where it was."""
    text = file.read_text("utf-8")
    if text.count(_FORGETS) != 1:
        raise ModelUnavailable(f"the source of llama-server is not the expected one: {file.name}")
    file.write_text(text.replace(_FORGETS, ""), "utf-8")


async def _source(work: Path, log: Path) -> None:
    requirements = work / "sdist.txt"
    requirements.write_text(f"{SDIST} --hash=sha256:{SDIST_SHA256}\n")
    pip = await pip_command(log)
    options = ["download", "--no-deps", "--no-binary", "llama-cpp-python", "--require-hashes", "-d", str(work)]
    try:
        await run_command([*pip, *options, "-r", str(requirements)], log=log)
    except CommandFailed as error:
        raise ModelUnavailable(f"the source of llama-server cannot be fetched; check the network. {error}") from None

    def unpack() -> None:
        with tarfile.open(work / f"{_SOURCE}.tar.gz") as archive:
            archive.extractall(work, filter="data")

    await anyio.to_thread.run_sync(unpack, abandon_on_cancel=True)


async def _cmake(cache: Path, log: Path) -> tuple[str, Mapping[str, str]]:
    """cmake and the environment to run it in: the system's, or one from its wheel, in the cache."""
    if found := shutil.which("cmake"):
        return found, dict(os.environ)
    tools = cache / "llama" / "tools"
    if not (tools / "bin" / "cmake").exists():
        requirements = tools.with_suffix(".txt")
        requirements.write_text(_TOOLS)
        options = ["install", "--require-hashes", "--no-deps", "--only-binary=:all:", "--target", str(tools)]
        try:
            await run_command([*await pip_command(log), *options, "-r", str(requirements)], log=log)
        except CommandFailed as error:
            raise ModelUnavailable(f"no cmake: install it (apt-get install cmake). {error}") from None
    paths = {"PATH": f"{tools / 'bin'}:{os.environ.get('PATH', '')}", "PYTHONPATH": str(tools)}
    return str(tools / "bin" / "cmake"), {**os.environ, **paths}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launch_llama(engine: Path, weights: Path, key: str, *, slots: int = SLOTS, cells: int | None = None) -> Launch:
    """llama-server for one long shared prompt and many samples, on the loopback, with a key of its own.

    Idle slots keep their prompts: by default each new request clears all of them, and of eight trajectories that go
    on at once from one shared prompt, seven compute it anew.
    One pool of cells for all slots lets `n` answers share their prompt's; flash attention costs decode speed on CPUs
    (eight streams after 8k tokens: measured 73 tokens a second without, 25 with it, 0.5B).
    """
    size = cells or pool_cells()

    def argv(port: int) -> list[str]:
        serve = [str(engine), "-m", str(weights), "--host", "127.0.0.1", "--port", str(port), "-t", str(_cores())]
        pool = ["-c", str(size), "--parallel", str(slots), "--kv-unified", "-b", "2048", "-ub", "512", "-fa", "off"]
        return [*serve, *pool, "--no-cache-idle-slots", "--no-webui", "--jinja"]

    return Launch("llama-server", argv, env={**ENV, "LLAMA_API_KEY": key}, start_seconds=180.0)


def pool_cells() -> int:
    """Tokens that all slots hold together, by free memory: 28 KiB each for the 1.5B, after 2.3 GB for the weights."""
    try:
        available = int(re.findall(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())[0]) * 1024
    except (OSError, IndexError):
        available = 8 << 30
    return max(16_384, min(98_304, (available // 2 - (2_300 << 20)) // (28 << 10) // 1024 * 1024))


async def prove(engine: Path, weights: Path, log_dir: Path) -> None:
    """One token from a fresh build. Raises ModelUnavailable when it cannot."""
    key = secrets.token_hex(16)
    async with served(launch_llama(engine, weights, key, slots=1, cells=1024), log_dir, lambda _: None) as server:
        ask = {"messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 2}
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=120.0) as client:
                response = await client.post(
                    f"{server.address}/v1/chat/completions", json=ask, headers={"Authorization": f"Bearer {key}"}
                )
                response.raise_for_status()
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"a fresh llama-server does not answer: {error!r}") from None
