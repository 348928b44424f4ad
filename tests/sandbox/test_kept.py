"""Folders that are made once: whole or not at all, and by one alone."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox import kept as module
from sandbox.errors import EnvironmentUnavailable
from sandbox.kept import Kept, bytes_below


def test_it_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []
    kept = Kept(tmp_path / "images", threading.Event())
    for _ in range(2):
        folder = kept.once("a", lambda part: (made.append(part), (part / "file").write_text("x")))
        assert (folder / "file").read_text() == "x"
    assert len(made) == 1


def test_what_fails_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path, threading.Event())

    def fail(part: Path) -> None:
        (part / "half").mkdir(mode=0o500)
        raise EnvironmentUnavailable("no")

    with pytest.raises(EnvironmentUnavailable):
        kept.once("a", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]
    assert kept.once("a", lambda part: None).is_dir()


def test_what_a_dead_process_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "a.part").mkdir()
    (tmp_path / "a.part" / "half").write_text("")
    assert list(Kept(tmp_path, threading.Event()).once("a", lambda part: None).iterdir()) == []


def _make(folder: Path, barrier: object) -> None:
    def once(part: Path) -> None:
        with (folder / "made").open("a") as file:
            file.write(f"{os.getpid()}\n")
        (part / "file").write_text("x")

    barrier.wait()  # type: ignore[attr-defined]
    assert (Kept(folder, threading.Event()).once("a", once) / "file").read_text() == "x"


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_make, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len((tmp_path / "made").read_text().splitlines()) == 1


def test_waiting_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    cancelled, inside, done = threading.Event(), threading.Event(), threading.Event()

    def hold(part: Path) -> None:
        inside.set()
        done.wait(30)

    holder = threading.Thread(target=lambda: Kept(tmp_path, threading.Event()).once("a", hold))
    holder.start()
    inside.wait(30)
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(EnvironmentUnavailable, match="interrupted"):
        Kept(tmp_path, cancelled).once("a", lambda part: None)
    done.set()
    holder.join(30)


def made(folder: Path, name: str, used: float, size: int = 100_000) -> None:
    kept = Kept(folder, threading.Event())
    kept.once(name, lambda part: (part / "file").write_bytes(b"x" * size))
    kept.release()
    os.utime(folder / f"{name}.lock", (used, used))


def test_what_nobody_uses_can_go_and_what_is_used_stays(tmp_path: Path) -> None:
    for name, used in (("old", 1_000.0), ("older", 500.0), ("young", 5_000.0)):
        made(tmp_path, name, used)
    user, other = Kept(tmp_path, threading.Event()), Kept(tmp_path, threading.Event())
    assert [one.name for one in other.idle(2_000.0)] == ["older", "old"]
    assert other.idle(2_000.0)[0].bytes >= 100_000
    user.once("old", lambda part: None)
    assert [one.name for one in other.idle(float("inf"))] == ["older", "young"]
    assert not other.remove("old")
    assert other.remove("older")
    user.release()
    assert other.remove("old")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["young"]


def test_what_a_dead_process_left_half_made_can_go(tmp_path: Path) -> None:
    made(tmp_path, "a", 1_000.0)
    (tmp_path / "a").rename(tmp_path / "a.part")
    kept = Kept(tmp_path, threading.Event())
    assert [one.name for one in kept.idle(2_000.0)] == ["a"]
    assert kept.remove("a")
    assert not (tmp_path / "a.part").exists()


def test_the_least_recently_used_go_until_the_rest_fits(tmp_path: Path) -> None:
    for number in range(4):
        made(tmp_path, f"image-{number}", 1_000.0 + number)
    user = Kept(tmp_path, threading.Event())
    user.once("image-0", lambda part: None)
    kept = Kept(tmp_path, threading.Event())
    assert kept.trim(1_000_000) == []
    assert kept.trim(250_000) == ["image-1", "image-2"]
    assert kept.trim(0) == ["image-3"], "what is used stays, however little may be kept"
    assert (tmp_path / "image-0").is_dir()
    user.release()


def test_a_folder_that_is_made_while_another_removes_it_is_whole(tmp_path: Path) -> None:
    stop = threading.Event()

    def remove() -> None:
        remover = Kept(tmp_path, threading.Event())
        while not stop.is_set():
            remover.remove("a")

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for _ in range(30):
            kept = Kept(tmp_path, threading.Event())
            folder = kept.once("a", lambda part: (part / "file").write_text("x"))
            assert (folder / "file").read_text() == "x"
            kept.release()
    finally:
        stop.set()
        thread.join()


def test_what_a_folder_takes_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is made; a build does not wait until all folders are counted again."""
    kept = Kept(tmp_path, threading.Event())
    kept.once("a", lambda part: (part / "file").write_bytes(b"x" * 100_000))
    kept.release()
    monkeypatch.setattr("sandbox.kept.bytes_below", _counted_again)
    assert kept.trim(200_000) == []
    assert [one.bytes >= 100_000 for one in kept.idle(float("inf"))] == [True]
    assert kept.trim(50_000) == ["a"]


def _counted_again(folder: Path) -> None:
    pytest.fail(f"{folder} is counted again")


def test_names_share_what_their_file_takes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "a" / "file", tmp_path / "b" / "file")
    assert bytes_below(tmp_path / "a") == bytes_below(tmp_path) / 2


def test_two_who_both_saw_nothing_both_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maker uses the folder for as long as a run takes. Whoever was to make it too must not wait for that."""
    both = threading.Barrier(2)
    first = [both.wait, both.wait]
    take = module._take  # pyright: ignore[reportPrivateUsage]

    def taken(fd: int, how: int) -> bool:
        if how == fcntl.LOCK_EX and first:
            first.pop()(20)
        return take(fd, how)

    monkeypatch.setattr(module, "_take", taken)
    cancelled, got = threading.Event(), list[Path]()
    folders = [Kept(tmp_path, cancelled) for _ in range(2)]

    def ask(folder: Kept) -> None:
        with suppress(EnvironmentUnavailable):
            got.append(folder.once("a", lambda part: None))

    threads = [threading.Thread(target=ask, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    threads[0].join(20)
    threads[1].join(20)
    cancelled.set()  # for one who would wait for ever
    assert len(got) == 2
    for folder in folders:
        folder.release()
