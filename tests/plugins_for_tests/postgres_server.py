"""Starts a PostgreSQL of its own for tests, in a folder, on a Unix socket and on no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

__all__ = ["PostgresServer", "find_programs"]


def find_programs() -> Path | None:
    """Returns the folder of PostgreSQL's programs, Debian's or that of the path; None: there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if folders:
        return folders[-1]
    found = shutil.which("pg_ctl")
    return Path(found).resolve().parent if found else None


class PostgresServer:
    """Cluster of one test run; it does not run as root, which PostgreSQL refuses."""

    def __init__(self, programs: Path) -> None:
        """Makes the cluster, and starts nothing yet."""
        self._programs = programs
        # The path of a Unix socket has at most 107 bytes: a test's own folder is too deep.
        self.folder = Path(tempfile.mkdtemp(prefix="hg-pg-"))
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "-D", self._data, "-U", "honeyguide", "--auth=trust", "--no-sync", "-E", "UTF8")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str) -> str:
        """Returns what a client connects to."""
        return f"postgresql://honeyguide@/{database}?host={self.folder}"

    def make(self, database: str) -> str:
        """Makes an empty database, in the place of one of that name; returns its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            db.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def start(self) -> None:
        """Starts it; returns when it takes connections."""
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off -c max_connections=50"
        )
        self._run("pg_ctl", "-D", self._data, "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stops it at once, as a crash would: connections are cut."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Stops it where it runs, and removes all its files."""
        subprocess.run(
            [self._programs / "pg_ctl", "-D", self._data, "-m", "immediate", "stop"],
            user=self._user,
            check=False,
            capture_output=True,
            cwd="/",
        )
        shutil.rmtree(self.folder)

    def _run(self, program: str, *words: str) -> None:
        # pg_ctl's server keeps the output open: a pipe would never end.
        with (self.folder.parent / f"{self.folder.name}.out").open("w+") as output:
            done = subprocess.run(
                [self._programs / program, *words], user=self._user, check=False, stdout=output, stderr=output, cwd="/"
            )
            output.seek(0)
            said = output.read()
        Path(output.name).unlink()
        if done.returncode:
            raise RuntimeError(f"{program} failed: {said}")
