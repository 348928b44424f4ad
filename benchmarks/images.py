"""How long environments' images take to make beside a base that is there: many tasks of one image, one after the other.

    python benchmarks/images.py IMAGE.tar --count 30

The archive holds a root file system with git, patch and python3, or is what `docker save` wrote. Each task has another
tree of one file, so each needs an image of its own, as in a batch of small tasks. The bubblewrap backend makes them in
a folder of their own, which is removed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tarfile
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path

from figures import table

from sandbox.base import ImageName, Snapshot, digest_of
from sandbox.kept import bytes_below
from sandbox.settings import BubblewrapSettings
from sandbox.unpacked import Unpacker


def snapshot_of(folder: Path, number: int) -> Snapshot:
    path, data = folder / f"{number}.tar", f"x = {number}\n".encode()
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("a.py")
        member.size = len(data)
        tar.addfile(member, BytesIO(data))
    return Snapshot(path, digest_of(str(number)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bestpatch-images-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # images belong to nobody, who has to get there
        saved, images = folder / "saved", folder / "images"
        saved.mkdir()
        shutil.copy(options.archive, saved / "given.tar")
        settings = BubblewrapSettings(cache=folder)
        seconds: list[float] = []
        for number in range(options.count + 1):
            snapshot = snapshot_of(folder, number)
            began = time.monotonic()
            unpacker = Unpacker(images, saved, settings, lambda _: None, threading.Event())
            image = unpacker.prepare(ImageName("given"), snapshot)
            seconds.append(time.monotonic() - began)
        taken = sum(bytes_below(path) for path in images.iterdir() if path.is_dir())
        files = sum(len(names) for _, _, names in os.walk(image.root))
        rows = [
            ["the first, with the base unpacked", f"{seconds[0]:.2f}"],
            ["median of the first ten after it", f"{statistics.median(seconds[1:11]):.2f}"],
            ["median of the last ten", f"{statistics.median(seconds[-10:]):.2f}"],
        ]
        print(table([f"images of {files:,} files", "s"], rows))
        print(f"{taken / (options.count + 2) / 1e6:.0f} MB of disk an image, with the base's part")


if __name__ == "__main__":
    main()
