"""The journal's tables, made and changed by named migrations."""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "0001 outcomes",
        """
        CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE completions (
            key TEXT NOT NULL, number INTEGER NOT NULL, stage TEXT NOT NULL, trajectory TEXT NOT NULL,
            turn INTEGER NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL,
            money REAL NOT NULL, calls INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, number));
        CREATE TABLE executions (
            key TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL,
            seconds REAL NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, number));
        CREATE TABLE turns (
            stage TEXT NOT NULL, trajectory TEXT NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL,
            at REAL NOT NULL, PRIMARY KEY (stage, trajectory, number));
        CREATE TABLE notes (kind TEXT NOT NULL, detail TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (kind, detail));
        """,
    ),
    ("0002 chances of answers", "ALTER TABLE completions ADD COLUMN chances TEXT;"),
)
"""Name -> SQL. A migration that was released is never changed; a new one is added below it."""


def migrate(db: sqlite3.Connection) -> None:
    """Bring a journal up to date. Raises sqlite3.DatabaseError where a later bestpatch has written it."""
    db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
    done = {str(row[0]) for row in db.execute("SELECT name FROM migrations")}
    unknown = sorted(done - {name for name, _ in MIGRATIONS})
    if unknown:
        raise sqlite3.DatabaseError(f"was written by a later bestpatch (migration {unknown[-1]}); update bestpatch")
    for name, sql in MIGRATIONS:
        if name not in done:
            # One transaction for a migration and its name: a kill leaves both or neither.
            db.executescript(f"BEGIN; {sql} INSERT INTO migrations VALUES ('{name}'); COMMIT;")  # noqa: S608 - our own names
