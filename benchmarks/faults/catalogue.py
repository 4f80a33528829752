"""Lists every fault that is tried, in the order of the table."""

from __future__ import annotations

from faults import credentials, disk, fuzz, gone_callers, kills, odd_bundles, soak, stops, swaps
from faults.registry import Fault

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    Fault(
        "kills under events",
        "SIGKILL of the server while four callers record, 25 times on each transport",
        "no acknowledged event lost, none twice",
        kills.kills_under_events,
        briefly=("native", "grpcio"),
    ),
    Fault(
        "kill of one process",
        "`processes = 2`: one of them killed under load, 10 times",
        "calls of the killed process alone fail, with UNAVAILABLE; another takes its place; no acknowledged event lost",
        kills.kill_one_process,
        transports=("native",),
    ),
    Fault(
        "swaps under load",
        "versions 1 and 2 of a model and of a joint one loaded in turn while four callers ask, 50 times a transport",
        "no failed call; every answer is one version's, whole; memory flat",
        swaps.swaps_under_load,
    ),
    Fault(
        "fuzz",
        "100,000 messages to every rpc, the same to both transports: a third valid, a third odd, a third bytes",
        "each ends with the code that the protos promise, on both transports alike; none with INTERNAL or UNKNOWN",
        fuzz.fuzz,
        transports=("both",),
        briefly=("both",),
    ),
    Fault(
        "odd bundles",
        "bundles corrupt, cut short, half copied, foreign, linked, of fifos: loaded while another version serves, and "
        "lying there at a start",
        "each is refused by name or listed with its reason; all others answer as before",
        odd_bundles.odd_bundles,
        transports=("native",),
    ),
    Fault(
        "overwritten bundle",
        "noise written over every file of the bundle that serves, then the whole repository deleted",
        "no answer changes; the next load is refused by name; the list still answers",
        odd_bundles.overwritten_bundle,
        transports=("native",),
    ),
    Fault(
        "disk full",
        "no file of the running server may grow any more, then it may again",
        "events refused with UNAVAILABLE, recommendations answered, health and a metric say so; well again within 5 s; "
        "no acknowledged event lost",
        disk.disk_full,
        briefly=("grpcio",),
    ),
    Fault(
        "store read-only",
        "a start over a file of events that may not be written, or not be read",
        "the start ends with a line that names the file",
        disk.read_only,
        transports=("native",),
    ),
    Fault(
        "store locked",
        "another process holds the file while the server serves, for 3 s of its start, and for good",
        "recommendations are answered; the start waits; one that ends blames no damage; no acknowledged event lost",
        disk.locked,
        transports=("native",),
    ),
    Fault(
        "store removed or replaced",
        "the file moved away under the server, then another put in its place, and it put back",
        "events refused with UNAVAILABLE, recommendations answered, health and a metric say so; well again within 5 s; "
        "no acknowledged event lost",
        disk.file_gone,
    ),
    Fault(
        "pages zeroed",
        "40 pages of events zeroed under the server, then every fourth user and as many new ones asked for",
        "no failed call, no stranger degraded, of users at most three times the share of pages lost; health and a "
        "metric say so",
        disk.pages_zeroed,
    ),
    Fault(
        "clock moved",
        "the server's clock set back and ahead by days while events without a time come in",
        "the newest event stays the newest, and counts in the next answer",
        disk.clock_moved,
        transports=("native",),
    ),
    Fault(
        "stopped at the start",
        "SIGTERM and SIGINT at 12 moments of the first 2.4 s",
        "the process ends within 10 s, without a traceback",
        stops.stopped_at_the_start,
        transports=("native",),
    ),
    Fault(
        "stopped idle and under load",
        "SIGTERM and SIGINT, idle and with six callers",
        "exit code 0 within 5 s; calls answered or UNAVAILABLE (on grpcio up to 1 % CANCELLED, by gRPC itself); no "
        "acknowledged event lost",
        stops.stopped_under_load,
        briefly=("native", "grpcio"),
    ),
    Fault(
        "stopped while stopping",
        "a signal while a stream is open, a new call, and a second signal",
        "the first waits for the stream, the new call gets UNAVAILABLE, the second ends it",
        stops.stopped_while_stopping,
    ),
    Fault(
        "deadlines and cancellations",
        "calls, events and streams given up from at once to 30 ms, beside one caller who waits",
        "they end with DEADLINE_EXCEEDED or CANCELLED, the others' answers are right, the queue is empty",
        gone_callers.deadlines_and_cancellations,
    ),
    Fault(
        "killed callers",
        "processes with 200 calls and four streams under way killed, four at a time, beside one caller who stays",
        "the one who stays is answered; queue empty, memory and descriptors flat",
        gone_callers.killed_callers,
        briefly=("grpcio",),
    ),
    Fault(
        "credentials",
        "every rpc with no credential, with wrong and expired ones, and with one of each role; the file of tokens "
        "broken, and a caller taken out of it",
        "UNAUTHENTICATED or PERMISSION_DENIED with its reason, and nobody else kept out; no token in the log",
        credentials.credentials,
        briefly=("native", "grpcio"),
    ),
    Fault(
        "soak",
        "all kinds of calls to a server of each transport for 10 minutes, with swaps and deletions",
        "no failed call; memory and descriptors of the last third as of the one before",
        soak.soak,
        transports=("both",),
        briefly=("both",),
    ),
)
