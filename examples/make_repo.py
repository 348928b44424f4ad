"""Makes a git repository of the example: `python examples/make_repo.py DEST`.

`examples/studio` is a plain folder, because a repository within a repository could not be committed. The copy has
one commit with a fixed author and date, so that its commit id is the same on every machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent / "studio"

# git must behave the same whatever the user's own configuration says (hooks, signing, line endings, default branch).
GIT_ENV = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Studio",
    "GIT_AUTHOR_EMAIL": "studio@example.com",
    "GIT_AUTHOR_DATE": "2026-01-05T09:00:00+0000",
    "GIT_COMMITTER_NAME": "Studio",
    "GIT_COMMITTER_EMAIL": "studio@example.com",
    "GIT_COMMITTER_DATE": "2026-01-05T09:00:00+0000",
}


def make_repo(dest: Path, source: Path = EXAMPLE) -> Path:
    """Copy the folder `source` to `dest` and commit it there. Raises FileExistsError when `dest` is not empty."""
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise FileExistsError(f"{dest} exists and is not an empty folder; name another one")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", ".git")
    shutil.copytree(source, dest, ignore=ignored, dirs_exist_ok=True)
    _git(dest, "init", "-q", "-b", "main")
    _git(dest, "add", "-A", "--force")
    _git(dest, "commit", "-q", "-m", "The studio's bookings, prices and bills")
    return dest


def _git(folder: Path, *arguments: str) -> None:
    # Variables such as GIT_DIR, which a git hook sets, would send the commit to another repository.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, env={**inherited, **GIT_ENV})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dest", type=Path, help="a folder that does not exist yet, or is empty")
    try:
        print(make_repo(parser.parse_args().dest))
    except FileExistsError as problem:
        print(f"make_repo: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
