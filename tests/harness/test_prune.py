"""`bestpatch prune`: what it shows, asks and removes; and what it never touches."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from sandbox import profile, scratch
from sandbox.client import Client
from sandbox.kept import Kept
from tests.sandbox.images import Family, client, container_of, family

__all__ = ["client", "family"]
LONG_AGO = 1_000_000.0


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


class Terminal(io.StringIO):
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def prune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in this process, with a cache and a place for temporary files of its own."""
    monkeypatch.setenv("BESTPATCH_CACHE", str(tmp_path))
    # Root's lie elsewhere, where other users can get, whatever the cache is.
    monkeypatch.setattr("harness.commands.prune.images_folder", lambda cache: cache / "images")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    # Other runs on this machine would be quicker to remove what died here.
    monkeypatch.setattr(socket, "gethostname", lambda: "machine-of-the-test")

    def run(*args: str, answer: str | None = None) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bestpatch", "prune", *args])
        monkeypatch.setattr(sys, "stdin", io.StringIO() if answer is None else Terminal(answer))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def orphan(prune: Run, client: Client, family: Family) -> Generator[str]:
    """A container of a run that died, made of an image that was not used for long."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    image = family.image("env:of-the-dead", used=LONG_AGO)
    labels = {**profile.labels("pruning", "x"), profile.OWNER: str(dead.pid)}
    name = f"bestpatch-test-{uuid.uuid4().hex[:8]}"
    yield client.create(image, name, host={}, command=["/none"], labels=labels)
    client.remove(name)


@pytest.fixture
def leftover(prune: Run, tmp_path: Path) -> Path:
    """A temporary folder of a process that is no more."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    folder = tmp_path / "tmp" / scratch.prefix().replace(f".{os.getpid()}.", f".{dead.pid}.")
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"x" * 50_000)
    return folder


@pytest.mark.docker
def test_what_was_not_used_lately_goes_and_nothing_else(
    prune: Run, family: Family, client: Client, orphan: str, leftover: Path
) -> None:
    family.image("env:young")
    family.image("env:old", used=LONG_AGO)
    client.api.tag(family.image("env:theirs", used=LONG_AGO), f"other-{family.name}", "1")
    live = family.image("env:live", used=LONG_AGO)
    container = container_of(client, live)
    shown = prune("--dry-run")
    assert shown.code == 0
    # Any other run that starts on this machine removes the orphan as well.
    assert orphan[:12] in shown.out or orphan not in {str(each["Id"]) for each in client.containers()}
    for there in (f"{family.name}/env:old", f"{family.name}/env:of-the-dead", str(leftover)):
        assert there in shown.out
    for not_there in ("env:young", "env:theirs", "env:live", container[:12]):
        assert not_there not in shown.out
    assert family.there() == {"env:young", "env:old", "env:theirs", "env:live", "env:of-the-dead"}
    assert leftover.exists()
    done = prune("--yes", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["removed"] == told["found"]
    mine = [item for item in told["removed"] if family.name in item["name"] or item["name"] == str(leftover)]
    assert {item["what"] for item in mine} == {"image", "files"}
    assert sum(item["bytes"] for item in mine) >= 2_050_000
    assert family.there() == {"env:young", "env:theirs", "env:live"}
    assert not leftover.exists()
    assert orphan not in {str(each["Id"]) for each in client.containers()}
    assert container in {str(each["Id"]) for each in client.containers()}
    client.remove(container)
    client.api.remove_image(f"other-{family.name}:1")


def test_unpacked_images_go_where_there_is_no_engine(
    prune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert prune("--dry-run").code == 4, "neither an engine nor unpacked images"
    kept = Kept(tmp_path / "images", threading.Event())
    for name in ("env-old", "env-used", "env-young"):
        kept.once(name, lambda part: (part / "file").write_bytes(b"x" * 50_000))
    kept.release()
    for name in ("env-old", "env-used"):
        os.utime(tmp_path / "images" / f"{name}.lock", (LONG_AGO, LONG_AGO))
    kept.once("env-used", lambda part: None)
    os.utime(tmp_path / "images" / "env-used.lock", (LONG_AGO, LONG_AGO))
    shown = prune("--dry-run")
    assert "unpacked env-old" in shown.out
    assert "env-used" not in shown.out
    assert "env-young" not in shown.out
    assert "note: " in shown.err
    assert prune("--yes").code == 0
    assert {path.name for path in (tmp_path / "images").iterdir() if path.is_dir()} == {"env-used", "env-young"}
    kept.release()


@pytest.mark.docker
def test_all_and_older_than(prune: Run, family: Family) -> None:
    family.image("env:old", used=LONG_AGO)
    family.image("env:young")
    assert "env:old" not in prune("--dry-run", "--older-than", "200000d").out
    assert "env:old" in prune("--dry-run", "--older-than", "1h30m").out
    hold = family.store().ensure(family.image("env:held"), lambda: None)
    both = prune("--dry-run", "--all").out
    assert "env:old" in both
    assert "env:young" in both
    assert "env:held" not in both, "a run uses it"
    hold.release()


@pytest.mark.docker
def test_it_asks(prune: Run, family: Family) -> None:
    family.image("env:old", used=LONG_AGO)
    declined = prune(answer="\n")
    assert declined.code == 0
    assert "remove these?" in declined.err
    assert "nothing was removed" in declined.err
    assert family.there() == {"env:old"}
    agreed = prune(answer="y\n")
    assert agreed.code == 0
    assert "freed" in agreed.out
    assert family.there() == set()


@pytest.mark.docker
def test_without_a_terminal_it_must_be_told(prune: Run, family: Family) -> None:
    family.image("env:old", used=LONG_AGO)
    refused = prune()
    assert refused.code == 2
    assert "--yes" in refused.err
    assert family.there() == {"env:old"}


@pytest.mark.docker
def test_nothing_to_remove(prune: Run, family: Family) -> None:
    ended = prune("--older-than", "200000d")
    assert ended.code == 0
    assert ended.out == "nothing to remove\n"
    assert json.loads(prune("--json", "--dry-run", "--older-than", "200000d").out) == {"found": [], "removed": []}


@pytest.mark.docker
def test_what_cannot_be_removed_does_not_keep_the_rest(
    prune: Run, family: Family, leftover: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family.image("env:old", used=LONG_AGO)
    real = scratch.remove

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    other = leftover.with_name(leftover.name + "second")
    other.mkdir()
    monkeypatch.setattr(scratch, "remove", lambda path: refuse(path) if path == leftover else real(path))
    ended = prune("--yes")
    assert ended.code == 4
    assert "cannot be removed" in ended.err
    assert leftover.exists()
    assert not other.exists()
    assert family.there() == set()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--json",), "--dry-run"),
        (("--all", "--older-than", "1d"), "exclude each other"),
        (("--older-than", "soon"), "90s"),
    ],
)
def test_wrong_use(prune: Run, args: tuple[str, ...], words: str) -> None:
    refused = prune(*args)
    assert refused.code == 2
    assert words in refused.err
    assert refused.out == ""


def test_no_engine(prune: Run, monkeypatch: pytest.MonkeyPatch, free_port: Any) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port}")
    ended = prune("--dry-run")
    assert ended.code == 4
    assert "no Docker engine answers" in ended.err
