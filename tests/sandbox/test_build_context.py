"""Build contexts: what of a snapshot and of this machine goes into them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox.build_context import Context, context_of
from sandbox.errors import EnvironmentUnavailable


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def snapshot(path: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, 1 if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(member, key, value)
    return member


def test_a_snapshot_is_taken_over_without_owners_and_devices(tmp_path: Path) -> None:
    tar = snapshot(
        tmp_path / "s.tar",
        entry("./a b", mode=0o755, uid=7, uname="me"),
        entry("d", tarfile.DIRTYPE, mode=0o755),
        entry("d/link", tarfile.SYMTYPE, linkname="../a b"),
        entry("d/hard", tarfile.LNKTYPE, linkname="./a b"),
        entry("dev", tarfile.CHRTYPE),
        entry("\udcffodd"),
        entry("long/" * 60 + "\u00fc"),
    )
    paths: list[str] = []
    with context_of(lambda context: paths.extend(context.add_snapshot(tar, "repository"))) as file:
        found = members(file.read())
    assert paths == ["a b", "d/link", "d/hard", "\udcffodd", "long/" * 60 + "\u00fc"]
    assert set(found) == {"repository/d", *(f"repository/{path}" for path in paths)}
    assert (found["repository/a b"].mode & 0o111, found["repository/a b"].uid) == (0o111, 0)
    assert found["repository/d/link"].linkname == "../a b"
    assert (found["repository/d/hard"].isreg(), found["repository/d/hard"].size) == (True, 1)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", ".git/config", "a/.git/hooks/x"])
def test_a_snapshot_with_foreign_paths_is_refused(tmp_path: Path, name: str) -> None:
    tar = snapshot(tmp_path / "s.tar", entry(name))
    with (
        pytest.raises(EnvironmentUnavailable, match="does not belong"),
        context_of(lambda context: context.add_snapshot(tar, "repository") and None),
    ):
        pass


def test_files_of_this_machine_lose_their_owner(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "l").symlink_to("f")

    def fill(context: Context) -> None:
        context.add_file("f", tmp_path / "f")
        context.add_file("l", tmp_path / "l")

    with context_of(fill) as file:
        found = members(file.read())
    assert found["l"].linkname == "f"
    assert {(member.uid, member.uname) for member in found.values()} == {(0, "")}
