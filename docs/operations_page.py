"""Writes docs/operations.md: the words are here, the figures come from what `make faults` saw."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Table = Callable[[Sequence[str], Iterable[Sequence[object]]], str]

HEAD = """Most of what follows was done to real servers by `make faults`, and must hold for each release; what came of
it is [at the end](#what-was-tried). Three places say that something is wrong:

- **Health**, `grpc.health.v1.Health`: of "" (nothing can be recommended, or the server stops), of
  `honeyguide.v1.EventService` (the store of events is ill; recommendations go on).
- **Metrics**: `honeyguide_errors_total` by method and reason, `honeyguide_degraded_total` by reason,
  `honeyguide_event_store_up`, `honeyguide_queue_rows`.
- **The log**: one line when something begins and one when it ends, never one for each call. A failed call's answer
  carries the `request_id` that its line has. Of several `processes` each writes its own lines: "model serves"
  comes once for each.

"""

FAULTS = (
    (
        "The process is killed",
        "calls fail with `UNAVAILABLE`",
        "the log ends without `stopping`",
        "start it again; nothing acknowledged is lost. Send events without an answer again, with their `event_id`",
    ),
    (
        "One of several `processes` is killed",
        "calls on its connections fail with `UNAVAILABLE`",
        "`a process ended; another takes its place`",
        "nothing; look for what killed it (memory?)",
    ),
    (
        "The disk of the events is full, or refuses writes",
        "`RecordEvents`: `UNAVAILABLE`; recommendations as ever",
        "`events not stored`; `honeyguide_event_store_up` 0; `EventService` NOT_SERVING",
        "make room; it is well within about a second, without a restart",
    ),
    (
        "The file of the events is removed or replaced",
        "`RecordEvents`: `UNAVAILABLE`",
        "as above; the line names the file",
        "put it back, or restart to begin with what lies there now",
    ),
    (
        "A part of the file is damaged",
        "those users' answers are `degraded`, `HISTORY_UNREADABLE`; their events `UNAVAILABLE`",
        "`events are damaged`, once; `honeyguide_event_store_up` 0",
        "restore the file from a backup, and restart; until then all others are served",
    ),
    (
        "The file may not be written, or is held by another process",
        "none: the start ends, after 5 s where it is held",
        "a line with the file, and with who holds it",
        "its owner and mode; or end the other process",
    ),
    (
        "The clock jumps",
        "none: a user's newest event stays the newest. Events dated more than a day ahead of the clock are rejected",
        "nothing",
        "set the clock",
    ),
    (
        "A bundle is corrupt, cut short, foreign, of links or half copied",
        "`LoadModel`: `FAILED_PRECONDITION` with the reason; other models and versions as ever",
        "`ListModels`: FAILED and why; `not served: …` at a start",
        "export it again, or copy it whole and rename it into place",
    ),
    (
        "The bundle that serves is overwritten, or the repository deleted",
        "none: it serves from memory",
        "the next load is refused by name",
        "put a sound copy there before the next restart",
    ),
    (
        "More calls than can be answered",
        "`RESOURCE_EXHAUSTED`, `OVER_CAPACITY`, with a delay",
        "`honeyguide_queue_rows` high; `honeyguide_errors_total` by `OVER_CAPACITY`",
        "clients wait as told; more cores or servers",
    ),
    (
        "Callers give up or are killed",
        "`DEADLINE_EXCEEDED`, `CANCELLED` for them alone",
        "`honeyguide_queue_rows` goes back to 0",
        "nothing",
    ),
    (
        "Bytes that are no message, fields out of range",
        "`INVALID_ARGUMENT`, `MALFORMED` or `INVALID_FIELD`",
        "`honeyguide_errors_total` by reason",
        "mend the client: trying again never helps",
    ),
    (
        "A credential is missing, wrong or expired; a role lacks",
        "`UNAUTHENTICATED`; `PERMISSION_DENIED`, `ROLE_REQUIRED`",
        "`honeyguide_errors_total` by reason",
        "[who may call](access.md)",
    ),
    (
        "The file of tokens is broken",
        "none: the callers of before stay",
        'the log says so; `honeyguide_reloads_total{outcome="failed"}`',
        "mend the file; it is read again within a second or two",
    ),
    (
        "The TLS files are no pair, or cannot be read",
        "none: what was read before goes on",
        '`TLS files not reloaded; …`; `honeyguide_reloads_total{what="tls",outcome="failed"}`. A start ends',
        "put certificate and key of one pair there, without a password; they are read again at the next connection",
    ),
    (
        "The audit log cannot be written",
        "`UNAVAILABLE` for what changes what is served, and for `DeleteUser`; recommendations and events as ever",
        "`audit log not written; …`, and in the end `audit log written again`. A start ends, with the file",
        "make room, or mend its folder's mode; no restart is needed",
    ),
    (
        "The exposure log loses rows: its disk is full, or its queue",
        "none",
        '`honeyguide_exposures_total{outcome="lost"}`; where a file failed, `exposures not written`',
        "make room; what was lost stays lost",
    ),
    (
        "The traffic file (`traffic.json`) is broken",
        "none: the start ends. Where it cannot be written, `SetTraffic`: `FAILED_PRECONDITION`, and nothing changes",
        "`the traffic file … cannot be read`; `traffic left out`: it names a pipeline that is gone",
        "put it right, or remove it: then the settings' [arms](traffic.md) hold",
    ),
)

SECTIONS = """## Stopping

SIGTERM or SIGINT: health says NOT_SERVING, new calls get `UNAVAILABLE`, calls under way have `drain_seconds`, and the
exit code is 0. An open stream holds the stop up that long; a second signal ends it at once. Nothing acknowledged is
lost by any of it, nor by SIGKILL. While a server starts, a signal ends it at once. On grpcio, gRPC itself
cancels what arrives at the very instant that its server closes: such calls get `CANCELLED`; send them again elsewhere.

## After a crash

1. Start the server on the same file. SQLite's log is read back as the file opens; there is nothing to repair by hand.
2. Send again whatever was not acknowledged. With an `event_id` what had arrived all the same counts as `duplicates`.
3. A start that ends with `damaged` or names a page is a file that the disk changed: restore it from a backup.

## A backup of the events

While the server runs: `sqlite3 events.db ".backup copy.db"`, or `honeyguide events export` to a log that `prepare`
reads. Copying the file alone misses what is still in `events.db-wal`.

## A new version goes wrong

`honeyguide models load NAME --version OLD` swaps back without a failed call; every answer is one version's, whole. With
[arms](traffic.md) a version gets a share of the users first; `honeyguide models traffic NAME --previous` takes it back.
"""


def page(results: Path, note: str, table: Table) -> str:
    """Returns the page; without results, without the last table."""
    columns = ("what happens", "what callers see", "what operators see", "what to do")
    tried = _tried(json.loads(results.read_text("utf-8")), table) if results.exists() else "Not measured yet.\n"
    return (
        "# When something goes wrong\n\n"
        + note
        + HEAD
        + table(columns, FAULTS)
        + f"\n{SECTIONS}\n## What was tried\n\n{tried}"
    )


def _tried(result: dict[str, Any], table: Table) -> str:
    machine = result["machine"]
    lines = [
        (
            row["fault"] + (f", {row['transport']}" if row["transport"] != "both" else ""),
            row["tried"],
            row["bound"],
            row["happened"],
            row["verdict"],
        )
        for row in result["rows"]
    ]
    return (
        f"Written by `{result['command']}` on {result['date'][:10]}; {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}.\n\n" + table(("fault", "tried", "must hold", "what happened", "verdict"), lines)
    )
