"""Scores a file of users, or all of a server, into a file of recommendations; goes on after a kill where it stopped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from honeyguide.answers import BatchAnswer, History, ModelVersion, UserRow
from honeyguide.client.errors import (
    CancelledError,
    InputError,
    InternalError,
    ModelChangedError,
    OverCapacityError,
    ResumeError,
    UnavailableError,
)
from honeyguide.client.retry import RetryPolicy
from honeyguide.client.score_files import Journal, Parts, write_users
from honeyguide.client.sync import Client
from honeyguide.client.user_files import UserFile

__all__ = ["ScoreOptions", "Scored", "score"]

MAX_BATCH_USERS = 256
MAX_BATCH_ITEMS = 20_000
"""Users × k that one message of the stream may ask for."""
MAX_BATCH_BYTES = 2_000_000
"""Bytes of history in one message, well below the 8 MiB that a server takes."""
PART_ITEMS = 20_000
"""Items in one part file: enough to make writing cheap, few enough to lose seconds, not minutes, to a kill."""


@dataclass(frozen=True)
class ScoreOptions:
    """What to ask for and how."""

    k: int = 10
    """Items for each user, 1–1,000."""
    pipeline: str = ""
    """"": the server's default."""
    drop_seen: bool | None = None
    """Whether items of the history may not be answered; None: the pipeline's setting."""
    batch_size: int | None = None
    """Users in one message, 1–256, times k at most 20,000; None: as many as that allows."""
    window: int = 4
    """Messages under way at once, 1 or more."""
    reconnects: int = 10
    """How often in a row to connect again after the server went away; about half a minute in all."""
    batch_timeout: float = 60.0
    """Seconds to wait for the answer to one message."""

    @property
    def users_per_batch(self) -> int:
        """Users in one message."""
        if not 1 <= self.k <= 1000:
            raise InputError(f"k is {self.k}; allowed: 1–1000", field="k")
        most = min(MAX_BATCH_USERS, MAX_BATCH_ITEMS // self.k)
        if self.batch_size is not None and not 1 <= self.batch_size <= most:
            raise InputError(
                f"batch_size is {self.batch_size}; allowed with k = {self.k}: 1–{most}", field="batch_size"
            )
        return self.batch_size or most

    @property
    def part_rows(self) -> int:
        """Users in one part file: whole messages, so that a resumed run cuts its messages where the first one did."""
        return max(PART_ITEMS // self.k // self.users_per_batch, 1) * self.users_per_batch


@dataclass(frozen=True)
class Scored:
    """What became of the users."""

    users: int
    failed: int
    degraded: int
    """Users that were answered without a part of the pipeline, such as its ranker."""
    resumed_at: int
    """Rows that an earlier run had finished."""
    models: tuple[ModelVersion, ...]
    """The bundles that answered."""
    failed_rows: Path | None
    """The file of failed rows with reasons; None when none failed."""
    failures: Mapping[str, int]
    """How many failed by reason and field, such as "INVALID_FIELD (user_id)"."""


def score(
    client: Client,
    users: Path | None,
    output: Path,
    options: ScoreOptions,
    *,
    force: bool = False,
    restart: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Scored:
    """Scores every user of a file, reading, asking and writing at the same time in bounded memory.

    Args:
        client: Talks to the server.
        users: Parquet, CSV or JSON lines, as `user_files` says; None: all users of whom the server has events.
        output: Becomes Parquet with columns row (of the input, from 0), user_id (where the input has one), item_ids,
            scores, sources, in the input's order; JSON lines of the same where its name ends in .jsonl; CSV with a line
            for each item where it ends in .csv.
        options: What to ask for.
        force: Whether an existing output is replaced.
        restart: Whether an unfinished run towards this output is discarded instead of resumed.
        progress: Called with the rows done and the rows in all.

    Raises:
        InputError: the input cannot be read, or the output exists.
        ResumeError: an unfinished run has another input or other options.
        ModelChangedError: the server has other model versions than those that answered so far.
    """
    source = UserFile(users) if users else None
    batch_size, part_rows = options.users_per_batch, options.part_rows
    if users and output.exists() and output.samefile(users):
        raise InputError(f"{output} is the input", remedy="give the output another name")
    if output.exists() and not force:
        raise InputError(f"{output} is there already", remedy="give another name, or --force to replace it")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output.absolute().parent}: no such folder", remedy="make it first")
    if restart:
        Parts.discard(output)
    if source is None:  # who they are is written down once: a resumed run scores the same
        source = UserFile(Parts.users_of(output) or write_users(output, client.users()))
    journal = _journal(source, output, options)
    parts = Parts(output, journal, part_rows=part_rows, has_ids=source.has_ids)
    done = journal.next_row
    progress(done, source.rows)
    try:
        batches = _batches(source.users(done), batch_size, part_rows)
        with closing(_answers(client, batches, options, parts)) as answers:
            for batch, answer in answers:
                parts.pin(answer.models)
                parts.add(batch, answer.rows)
                done += len(batch)
                progress(done, source.rows)
    except ModelChangedError as error:
        began = ", ".join(map(str, parts.journal.models))
        raise ModelChangedError(
            f"{output} was begun with {began}, and one output never mixes versions: {error.message}",
            remedy="load that version again (`honeyguide models load`), or begin anew with --restart",
        ) from error
    failed_rows = parts.publish()
    end = parts.journal
    return Scored(source.rows, end.failed, end.degraded, journal.next_row, end.models, failed_rows, dict(end.failures))


def _journal(source: UserFile, output: Path, options: ScoreOptions) -> Journal:
    """Gives the journal of the unfinished run, or a new one.

    Raises:
        ResumeError: the unfinished run has another input or other options.
    """
    asked = {
        "k": options.k,
        "pipeline": options.pipeline,
        "drop_seen": options.drop_seen,
        "batch_size": options.users_per_batch,
    }
    fingerprint, journal = source.fingerprint(), Parts.unfinished(output)
    if journal is None:
        return Journal(input=fingerprint, options=asked, request_time_ms=time.time_ns() // 1_000_000)
    changes = [f"{name} was {journal.options.get(name)!r}, is {asked[name]!r}" for name in asked]
    changes = [change for name, change in zip(asked, changes, strict=True) if journal.options.get(name) != asked[name]]
    if journal.input != fingerprint:
        changes.insert(0, f"{source.path} has changed")
    if changes:
        raise ResumeError(
            f"an unfinished run towards {output} stopped at row {journal.next_row:,}, but {'; '.join(changes)}",
            remedy="give the same input and options to go on, or --restart to begin anew",
        )
    return journal


def _batches(users: Iterator[UserRow], batch_size: int, part_rows: int) -> Iterator[list[UserRow]]:
    """Cuts users into messages by number and bytes; never across parts, so that every run cuts alike."""
    batch: list[UserRow] = []
    size = 0
    for row, user in enumerate(users):
        weight = _bytes(user)
        if batch and (len(batch) == batch_size or size + weight > MAX_BATCH_BYTES or row % part_rows == 0):
            yield batch
            batch, size = [], 0
        batch.append(user)
        size += weight
    if batch:
        yield batch


def _bytes(user: UserRow) -> int:
    """Bounds the bytes of a user's history on the wire: the ids, and at most 12 bytes an event for lengths and time."""
    assert isinstance(user.history, History | None)
    ids = user.history.item_ids if user.history else ()
    return len("".join(ids).encode()) + 12 * len(ids)


def _answers(
    client: Client, batches: Iterator[list[UserRow]], options: ScoreOptions, parts: Parts
) -> Generator[tuple[list[UserRow], BatchAnswer], None, None]:
    """Streams the batches and yields each with its answer; connects again when the server goes away for a while."""
    policy = RetryPolicy(attempts=options.reconnects, initial_delay=0.2)
    waiting: deque[list[UserRow]] = deque()  # sent, not answered: at most the window
    failures, answered = 0, False

    def outgoing() -> Iterator[list[UserRow]]:
        yield from tuple(waiting)
        for batch in batches:
            waiting.append(batch)
            yield batch

    while True:
        try:
            for answer in client.recommend_stream(
                outgoing(),
                k=options.k,
                pipeline=options.pipeline,
                drop_seen=options.drop_seen,
                request_time_ms=parts.journal.request_time_ms,
                required_models=parts.journal.models,
                window=options.window,
                timeout=options.batch_timeout,
            ):
                failures, answered = 0, True
                if answer.error is not None:
                    problem = f"batch {answer.sequence} failed: {answer.error.message}"
                    raise InternalError(problem, reason=answer.error.reason)
                yield waiting.popleft(), answer
        except (CancelledError, OverCapacityError, UnavailableError) as error:
            failures += 1
            # A server that never answered is more likely absent than away: say so soon.
            patience = options.reconnects if answered else min(options.reconnects, 2)
            if failures > patience:
                raise
            time.sleep(policy.wait(failures, error.retry_after))
        else:
            return
