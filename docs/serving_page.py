"""Tells what `make bench-serving` and `make bench-overload` measured: the bars, every server in a row, and plots."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plots import dots, lines

__all__ = ["plots", "sections"]

Table = Callable[[Sequence[str], Sequence[Sequence[object]]], str]
_CALLERS = ("1 caller", "16 callers", "64 callers")
_COLUMNS = tuple((job, callers) for job in ("R", "K") for callers in _CALLERS)


def sections(results: Path, table: Table) -> list[str]:
    """Returns the sections for which there are results."""
    parts, pictures = [], plots(results)
    if (file := results / "serving.json").exists():
        shown = "".join(f"![{name[6:-4]}]({name})\n\n" for name in pictures if name != "speed-overload.svg")
        parts.append(_serving(json.loads(file.read_text("utf-8")), table, shown))
    if (file := results / "overload.json").exists():
        parts.append(_overload(json.loads(file.read_text("utf-8")), table))
    if (file := results / "profile.json").exists():
        parts.append(_profile(results, json.loads(file.read_text("utf-8")), table))
    return parts


def plots(results: Path) -> dict[str, str]:
    """Returns the pictures for which there are results, by file name."""
    pictures: dict[str, str] = {}
    if (file := results / "serving.json").exists():
        rows = _by_subject(json.loads(file.read_text("utf-8")))
        at_64 = [
            (subject, {job: spread for job in ("R", "K") if (spread := _spread(own.get(f"{job}, inline, 64 callers")))})
            for subject, own in rows.items()
        ]
        pictures["speed-throughput.svg"] = dots(
            "Requests a second, 64 callers; the line is least to most", "requests a second", [r for r in at_64 if r[1]]
        )
        for job in ("R", "K"):
            names = [f"{job}, inline, {callers}" for callers in _CALLERS]
            series = {
                subject: [(own[name]["requests_per_s"]["median"], own[name]["p50_ms"]["median"]) for name in names]
                for subject, own in rows.items()
                if "old graphs" not in subject and all(name in own for name in names)
            }
            if series:
                title = f"Job {job}: 1, 16 and 64 callers"
                pictures[f"speed-latency-{job.lower()}.svg"] = lines(title, ("requests a second", "median, ms"), series)
    if (file := results / "overload.json").exists():
        result = json.loads(file.read_text("utf-8"))
        series = {
            f"{row['transport']}, {row['what']}": [
                (second + 1.0, entry["ok"] / row["peak_per_s"])
                for second, entry in enumerate(row["per_second"])
                if entry["ok"]
            ]
            for row in result["overloads"]
        }
        title = f"Goodput over peak while {result['times']} times the peak is offered"
        pictures["speed-overload.svg"] = lines(title, ("second", "goodput / peak"), series, height=240, even=True)
    return pictures


def _serving(result: Mapping[str, Any], table: Table, pictures: str) -> str:
    rows = _by_subject(result)
    throughput = [
        (subject, *(_cell(own.get(f"{job}, inline, {callers}")) for job, callers in _COLUMNS))
        for subject, own in rows.items()
        if any(", inline, " in measure for measure in own)
    ]
    cpu = [
        (subject, *(_median(own.get(f"{job}, inline, 64 callers"), "cpu_ms") for job in ("R", "K")))
        for subject, own in rows.items()
        if "R, inline, 64 callers" in own or "K, inline, 64 callers" in own
    ]
    others = [
        (subject, measure, _figures(row))
        for subject, own in rows.items()
        for measure, row in own.items()
        if ", inline, " not in measure and not measure.startswith("traffic")
    ]
    lifelike = [
        (subject, measure.removeprefix("traffic like life, "), *(_median(row, name) for name in _LIFE))
        for subject, own in rows.items()
        for measure, row in own.items()
        if measure.startswith("traffic")
    ]
    machine, missed = result["machine"], sum(not bar["met"] for bar in result["bars"])
    text = (
        "## Serving beside its ceilings and its peers\n\n"
        f"Written by `make bench-serving` (`{result['command']}`, {result['seconds'] / 60:.0f} minutes) at commit\n"
        f"`{result['commit']}` on {result['date'][:10]}; {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}, load {machine['load_before']} before.\n\n"
        "The bundle is the demo's transformer. A history of 50 items comes with the request. **R**: user graph, the\n"
        "exact best 100 of 2,527 items, the first ten. **K**: the same with 200, and the rank graph. Ceilings and\n"
        "peers do it on the bundle's own graphs; *old graphs* are those of the older commit. Server and h2load share\n"
        "the cores; every server starts anew in every round, and its answers are compared with the job in process.\n"
        "[How each is set up](../benchmarks/serving/README.md).\n\n"
    )
    bars = [(bar["what"], _value(bar), _bound(bar), _verdict(bar)) for bar in result["bars"]]
    text += f"{len(bars) - missed} of {len(bars)} bars are met:\n\n"
    text += table(("ratio of medians", "value", "bound", "verdict"), bars)
    text += "\nRequests a second (median, ms):\n\n"
    text += table(("", *(f"{job}, {callers}" for job, callers in _COLUMNS)), throughput)
    text += f"\n{pictures}"
    text += "CPU milliseconds of the server for each request, 64 callers:\n\n" + table(("", "R", "K"), cpu)
    text += "\nCeilings, stored users, streams and events:\n\n" + table(("", "what", "median"), others)
    if lifelike:
        text += (
            "\nTraffic like life: users by Zipf's law, three in ten calls bring their real history along, short or\n"
            "long, the others ask for a stored user; half are ranked, and one in twenty records an event:\n\n"
        )
        text += table(("", "callers", *(name.replace("_", " ") for name in _LIFE)), lifelike)
    return text


_LIFE = ("requests_per_s", "p50_ms", "p99_ms", "write_p50_ms", "write_p99_ms")


def _overload(result: Mapping[str, Any], table: Table) -> str:
    machine = result["machine"]
    loads = [
        (
            row["transport"],
            row["what"],
            f"{row['peak_per_s']:,.0f}",
            f"{row['offered_per_s']:,.0f} ({row['offered_over_peak']:.1f} ×)",
            *map(_bar, row["bars"]),
        )
        for row in result["overloads"]
    ]
    abuses = [(row["transport"], row["what"], *map(_bar, row["bars"])) for row in result["abuses"]]
    named = [bar["what"] for row in result["overloads"][:1] for bar in row["bars"]]
    others = [bar["what"] for row in result["abuses"][:1] for bar in row["bars"]]
    return (
        "## Under overload and abuse\n\n"
        f"Written by `make bench-overload` (`{result['command']}`) at commit `{result['commit']}`\n"
        f"on {result['date'][:10]}; {machine['cpu']}, Python {machine['python']}.\n\nThe server has one core, the "
        f"generator another, from which it can offer\n{result['generator']['calls_per_s']:,.0f} calls a second. "
        "The peak is that of 64 callers;\n"
        f"{result['times']} times as much, or four fifths of what the generator can, is offered in an open\n"
        "loop, each call with a deadline of two seconds.\n"
        "In brackets the bound; in bold what is beyond it.\n\n"
        + table(("transport", "job", "peak/s", "offered/s", *named), loads)
        + "\n![Goodput while five times the peak is offered](speed-overload.svg)\n\n"
        "What hostile and broken clients do, beside 100 calls a second of others:\n\n"
        + table(("transport", "abuse", *others), abuses)
    )


def _profile(results: Path, result: Mapping[str, Any], table: Table) -> str:
    machine, profiles = result["machine"], result["profiles"]
    named = list(dict.fromkeys(part for row in profiles for part in row["us"]))
    columns = [
        f"{row['transport']}, {row['job']}, {row['callers']} caller{'s' * (row['callers'] > 1)}" for row in profiles
    ]
    parts = [(part, *(_short(row["us"].get(part, 0.0)) for row in profiles)) for part in named]
    parts.append(("all", *(_short(row["cpu_us"]) for row in profiles)))
    text = (
        "## What stands in the way\n\n"
        f"Written by `make bench-profile` (`{result['command']}`) at commit `{result['commit']}` on "
        f"{result['date'][:10]};\n{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}.\n\n"
        "Microseconds of the server's CPU for each request, by the library that they are spent in:\n\n"
        + table(("", *columns), parts)
    )
    if limits := _limits(results, result["least_us"]):
        text += (
            "\nOne of a crowd of calls that are answered with nothing costs the server's core "
            f"{result['least_us']['native']:.0f} µs on the native\nfront and {result['least_us']['aio']:.0f} µs on "
            "grpc.aio. Whoever serves or refuses a call pays that, which leaves what follows,\nhad the server no "
            "other cost. At the ceiling: what the job takes of two cores, over that and an empty call of\nthe native "
            "front with its client. Under overload: with a peak of p calls a second, c seconds for\none that is "
            "refused and n times the peak offered, (1 − n·p·c) / (1 − p·c); what clients hold back, as\n"
            "`max_concurrent_streams` has them do, never comes and costs nothing.\n\n"
            + table(("", "leaves", "reached", "bar"), limits)
        )
    return text


def _limits(results: Path, least_us: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """Returns how near to its ceiling each figure can come at best, how near it is, and the bar."""
    rows: list[tuple[str, str, str, str]] = []
    if (file := results / "serving.json").exists():
        serving = json.loads(file.read_text("utf-8"))
        own = _by_subject(serving)
        empty = 1 / own["empty handler, native"]["nothing, 64 callers"]["requests_per_s"]["median"]
        for bar in serving["bars"]:
            job = bar["what"][0]
            if bar["what"].endswith("64 callers, over the ceiling in process"):
                alone = 1 / own["in process"][f"{job}, 2 threads, batches of 32"]["requests_per_s"]["median"]
                rows.append((bar["what"], _short(alone / (alone + empty)), _value(bar), _bound(bar)))
    if (file := results / "overload.json").exists():
        overload = json.loads(file.read_text("utf-8"))
        for row in overload["overloads"]:
            cost = least_us["native" if row["transport"] == "native" else "aio"] * 1e-6 * row["peak_per_s"]
            most = max(0.0, (1 - row["offered_over_peak"] * cost) / (1 - cost))
            (bar,) = (bar for bar in row["bars"] if bar["what"] == "goodput over peak")
            name = f"{row['transport']}, {row['what']}, {row['offered_over_peak']:.0f} × the peak: goodput over peak"
            rows.append((name, _short(most), _value(bar), _bound(bar)))
    return rows


def _by_subject(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for row in result["rows"]:
        rows.setdefault(row["subject"], {})[row["measure"]] = row
    return rows


def _spread(row: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    if row is None:
        return None
    rate = row["requests_per_s"]
    return rate["median"], rate["least"], rate["most"]


def _cell(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"{row['requests_per_s']['median']:,.0f} ({_short(row['p50_ms']['median'])})"


def _median(row: Mapping[str, Any] | None, figure: str) -> str:
    return "" if row is None else _short(row[figure]["median"])


def _figures(row: Mapping[str, Any]) -> str:
    names = [name for name in ("requests_per_s", "users_per_s", "p50_ms", "p99_ms") if name in row]
    return ", ".join(f"{_short(row[name]['median'])} {name.replace('_', ' ')}" for name in names)


def _bar(bar: Mapping[str, Any]) -> str:
    return f"{_value(bar) if bar['met'] else f'**{_value(bar)}**'} ({_bound(bar)})"


def _verdict(bar: Mapping[str, Any]) -> str:
    if bar["value"] is None:
        return "**not measured**"
    return "met" if bar["met"] else "**missed**"


def _value(bar: Mapping[str, Any]) -> str:
    return "–" if bar["value"] is None else _short(bar["value"])


def _bound(bar: Mapping[str, Any]) -> str:
    return f"{'≥' if bar['least'] else '≤'} {_short(bar['bound'])}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
