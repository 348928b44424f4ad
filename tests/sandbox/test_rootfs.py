"""Unpacking archives of strangers: layers come out as meant, and nothing lands outside."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import EnvironmentUnavailable
from sandbox.rootfs import Rootfs, content_digest, remove_tree
from sandbox.walls import user, why_not

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap"),
]

FOLDERS = ("usr/bin", "opt/big", "opt/ours", "etc")
Member = tuple[str, bytes | str | None, bytes, int]
"""Name, content or link's target or None for a folder, kind, mode."""


def file(name: str, data: bytes = b"x", mode: int = 0o644) -> Member:
    return name, data, tarfile.REGTYPE, mode


def archive(*members: Member, mode: str = "w") -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content, kind, bits in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, bits
            if isinstance(content, str):
                member.linkname = content
            elif content is not None:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    out.seek(0)
    return out


@pytest.fixture
def rootfs(tmp_path: Path) -> Rootfs:
    return Rootfs(tmp_path / "root", 100.0, lambda _: None, threading.Event())


def names(rootfs: Rootfs) -> list[str]:
    return sorted(str(path.relative_to(rootfs.folder)) for path in rootfs.folder.rglob("*"))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_files_come_out_as_they_are(rootfs: Rootfs, mode: str) -> None:
    folder = ("etc", None, tarfile.DIRTYPE, 0o755)
    link = ("bin", "usr/bin", tarfile.SYMTYPE, 0o777)
    hard = ("etc/b", "etc/a", tarfile.LNKTYPE, 0o644)
    tool = file("usr/bin/tool", b"#!", 0o755)
    rootfs.unpack(archive(folder, file("./etc/a", b"a\n"), hard, tool, link, mode=mode))
    assert names(rootfs) == ["bin", "etc", "etc/a", "etc/b", "usr", "usr/bin", "usr/bin/tool"]
    assert (rootfs.folder / "etc/b").samefile(rootfs.folder / "etc/a")
    assert os.readlink(rootfs.folder / "bin") == "usr/bin"
    assert {path.lstat().st_uid for path in rootfs.folder.rglob("*")} == {user()}


def test_a_layer_takes_away_what_it_says(rootfs: Rootfs) -> None:
    rootfs.unpack(archive(file("a/old"), file("a/kept"), file("b/old"), file("c/deep/old")))
    rootfs.unpack(
        archive(file("a/.wh.old"), file("b/new"), file("b/.wh..wh..opq"), file(".wh.c"), file("a/kept", b"y"))
    )
    assert names(rootfs) == ["a", "a/kept", "b", "b/new"]
    assert (rootfs.folder / "a/kept").read_bytes() == b"y"


def test_links_are_followed_inside_only(rootfs: Rootfs, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    links = [
        ("absolute", str(outside), tarfile.SYMTYPE, 0o777),
        ("relative", "../../outside", tarfile.SYMTYPE, 0o777),
    ]
    inside = (str(outside), None, tarfile.DIRTYPE, 0o755)  # where the absolute link leads to, in the image
    rootfs.unpack(archive(*links, inside, file("absolute/file")))
    assert list(outside.iterdir()) == []
    assert (rootfs.folder / str(outside).lstrip("/") / "file").read_bytes() == b"x"
    with pytest.raises(EnvironmentUnavailable):
        rootfs.unpack(archive(file("relative/file")))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "member",
    [
        file("../outside"),
        file("a/../../outside"),
        ("stolen", "/etc/passwd", tarfile.LNKTYPE, 0o644),
        ("stolen", "../../../../../../etc/passwd", tarfile.LNKTYPE, 0o644),
    ],
)
def test_what_leaves_the_archive_is_refused(rootfs: Rootfs, member: Member) -> None:
    with pytest.raises(EnvironmentUnavailable):
        rootfs.unpack(archive(member))
    assert names(rootfs) == []


def test_devices_and_privileges_are_left_out(rootfs: Rootfs) -> None:
    disk = ("dev/sda", None, tarfile.BLKTYPE, 0o666)
    rootfs.unpack(archive(disk, ("pipe", None, tarfile.FIFOTYPE, 0o666), file("su", b"", 0o6755)))
    assert names(rootfs) == ["su"]
    assert stat.S_IMODE((rootfs.folder / "su").stat().st_mode) == 0o755


def test_what_is_no_archive_is_said(rootfs: Rootfs) -> None:
    with pytest.raises(EnvironmentUnavailable) as raised:
        rootfs.unpack(io.BytesIO(b"no archive" * 100))
    assert "ReadError" in raised.value.log


def test_a_folder_is_taken_without_what_the_kernel_shows_in_it(rootfs: Rootfs, tmp_path: Path) -> None:
    for name in ("etc/a", "proc/cpuinfo", "dev/disk"):
        (tmp_path / "given" / name).parent.mkdir(parents=True)
        (tmp_path / "given" / name).write_text("x")
    rootfs.unpack_folder(tmp_path / "given")
    assert names(rootfs) == ["dev", "etc", "etc/a", "proc"]
    with pytest.raises(EnvironmentUnavailable, match="cannot be read"):
        rootfs.unpack_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("written", [False, True])
def test_a_folder_whose_files_change_while_it_is_read(tmp_path: Path, rootfs: Rootfs, written: bool) -> None:
    """Another image that shares a file links it: its times change and not what is in it. A written file is refused."""
    given, data = tmp_path / "given", os.urandom(1 << 25)
    given.mkdir()
    (given / "big").write_bytes(data)
    os.utime(given / "big", (1e9, 1e9))
    enough = threading.Event()

    def change() -> None:
        while not enough.is_set():
            if written:
                os.utime(given / "big")
            os.link(given / "big", tmp_path / "other")
            os.unlink(tmp_path / "other")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        if written:
            with pytest.raises(EnvironmentUnavailable, match="cannot be read"):
                rootfs.unpack_folder(given)
        else:
            rootfs.unpack_folder(given)
            assert (rootfs.folder / "big").read_bytes() == data
    finally:
        enough.set()
        changing.join()


def test_cancelling_ends_it(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    rootfs = Rootfs(tmp_path / "root", 100.0, lambda _: None, cancelled)
    with pytest.raises(EnvironmentUnavailable, match="interrupted"):
        rootfs.unpack(archive(file("a")))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a").write_text("other"),
        lambda root: (root / "a").chmod(0o755),
        lambda root: (root / "link").unlink(),
        lambda root: (root / "a").rename(root / "b"),
    ],
)
def test_the_digest_is_of_the_content(tmp_path: Path, change: Callable[[Path], object]) -> None:
    for name in ("one", "two"):
        root = tmp_path / name
        (root / "folder").mkdir(parents=True)
        (root / "a").write_text("x")
        (root / "link").symlink_to("/nowhere")
    assert content_digest(tmp_path / "one") == content_digest(tmp_path / "two")
    change(tmp_path / "two")
    assert content_digest(tmp_path / "one") != content_digest(tmp_path / "two")


def test_the_digest_beside_its_base_is_of_what_differs(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "folder").mkdir(parents=True)
    (base / "folder" / "a").write_text("x")
    (base / "b").write_text("y")
    known = (base, content_digest(base))
    digests: list[str] = []
    for number, change in enumerate(
        ("true", "echo z >c", "echo z >b", "rm b", "chmod 700 folder", "chmod 755 folder/a")
    ):
        copy = tmp_path / str(number)
        subprocess.run(["cp", "-a", base, copy], check=True)
        subprocess.run(["sh", "-c", change], cwd=copy, check=True)
        digests.append(content_digest(copy, known))
    assert len(set(digests)) == len(digests)
    subprocess.run(["cp", "-a", base, tmp_path / "again"], check=True)
    assert content_digest(tmp_path / "again", known) == digests[0]
    assert content_digest(tmp_path / "again", (base, "sha256:another")) != digests[0]


def test_folders_may_stay_one_with_the_bases(tmp_path: Path, rootfs: Rootfs) -> None:
    base = tmp_path / "base"
    for name in FOLDERS:
        (base / name).mkdir(parents=True)
        (base / name / "file").write_text("old")
    for path in (base, *base.rglob("*")):
        os.chown(path, user(), user() if os.geteuid() == 0 else -1)
    rootfs.copy(base, ["usr", "opt/big"])
    assert names(rootfs) == sorted(str(path.relative_to(base)) for path in base.rglob("*"))
    same = [name for name in FOLDERS if (base / name / "file").samefile(rootfs.folder / name / "file")]
    assert same == ["usr/bin", "opt/big"]
    remove_tree(rootfs.folder)
    assert (base / "usr/bin/file").read_text() == "old"
