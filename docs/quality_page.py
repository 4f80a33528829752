"""Tells how good the models are: the bars set beforehand, then each data set with every row and how it was made."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill
from typing import Any

__all__ = ["page"]

Table = Callable[[Sequence[str], Sequence[Sequence[object]]], str]
Row = Mapping[str, Any]
COUNTED = ("popularity", "transitions")
FAMILIES = ("item_knn", "user_knn", "content", "text", "mlp")

STAGES = {
    ("cf", "retrieve"): ((".227", ".126"), None),
    ("cf", "rank"): ((".264", ".154"), (".270", ".157")),
    ("gru", "retrieve"): ((".281", ".165"), (".296", ".169")),
    ("gru", "rank"): ((".290", ".172"), (".310", ".180")),
    ("attention_lstm", "retrieve"): ((".281", ".163"), (".290", ".168")),
    ("attention_lstm", "rank"): ((".290", ".172"), (".310", ".180")),
    ("transformer", "retrieve"): ((".310", ".182"), (".318", ".190")),
    ("transformer", "rank"): ((".320", ".190"), (".330", ".196")),
    ("joint", "rank"): ((".330", ".196"), (".340", ".205")),
}
"""HR@10 and NDCG@10 that each served stage had to reach, and those it aimed at; set before anything was measured."""

BARS = (
    ("ml-1m", "all", "MovieLens-1M, leave-one-out, no times", (".357", ".215"), (".370", ".222")),
    ("ml-1m-time", "all", "MovieLens-1M, leave-one-out, time of the request known", (".366", ".219"), (".380", ".230")),
    ("ml-1m-global", "last", "MovieLens-1M, split by time, last targets", (".160", ".095"), (".170", ".100")),
    ("beauty", "all", "Beauty, leave-one-out, no times", (".0974", ".0588"), (".106", ".063")),
)
"""Suite, targets, words, and the HR@10 and NDCG@10 that the best pipeline had to reach, and those it aimed at."""

SECTIONS = {
    "ml-1m": (
        "MovieLens-1M, leave-one-out, no times",
        (
            "The file of the sequential recommendation papers: 6,040 users, 3,416 items, 999,611 events in order. The "
            "last item is the test target, the second-last the validation target. Published on the same data and "
            "split, all with full-softmax cross-entropy (Yue et al., *Linear Recurrent Units for Sequential "
            "Recommendation*, WSDM 2024); only the newest 200 events are masked there. These are single models, to be "
            "compared with such. `joint` ranks what `attention_lstm`, `transformer` and `cf` find, `joint-wide` these "
            "and `gru`, `joint-ensemble` three trainings of `attention_lstm` and `cf`, `joint-ensemble-6` six "
            "trainings of `attention_lstm`."
        ),
        (
            ("FPMC", ".2303", ".1203"),
            ("NARM", ".2864", ".1665"),
            ("GRU4Rec", ".2962", ".1693"),
            ("SASRec", ".3181", ".1902"),
            ("LRURec", ".3264", ".1930"),
        ),
    ),
    "ml-1m-time": (
        "MovieLens-1M, leave-one-out, time of the request known",
        (
            "The same events with their times; the model knows when the answer is asked for. A class of its own: "
            "whether the next rating comes two seconds later, from the same page, or a year later says a lot "
            "(`gap_to_now`). A time that is not known exactly lies between its neighbours', or repeats the last one "
            "known, so the users whose last event has an exact time stand beside. Published on other data (all "
            "3,706 items, RecTools' HSTU tutorial), so not comparable."
        ),
        (
            ("HSTU", ".3227", ".1879"),
            ("HSTU-large", ".3642", ".2164"),
        ),
    ),
    "ml-1m-global": (
        "MovieLens-1M, split by time",
        (
            "Test is what came after nine tenths of the times, validation what came after nine tenths of the rest: the "
            "protocol of Gusak et al., *Time to Split* (RecSys 2025), with its 1,209 test users; nothing leaks from "
            "the future. `last` asks for each user's last event, `successive` for each in turn (99,932 requests, means "
            "over users of their means), which the network answers without a server. Theirs, chosen by validation, of "
            "108 grid points a model:"
        ),
        (
            ("SASRec+, last", ".1596", ".0948"),
            ("BERT4Rec, last", ".1580", ".0867"),
            ("GRU4Rec, last", ".1505", ".0830"),
            ("SASRec+, successive", ".2014", ".1108"),
        ),
    ),
    "beauty": (
        "Amazon Beauty, leave-one-out, no times",
        (
            "S3Rec's 5-core file: 22,363 users, 12,101 items, 198,502 events; ids and attributes alone. `-content` "
            "rows begin with vectors of the attributes. Published on the same:"
        ),
        (
            ("GRU4Rec, cross-entropy", ".0692", ".0392"),
            ("SASRec, cross-entropy", ".0923", ".0568"),
            ("SASRec+", ".0974", ".0588"),
            ("S3Rec, cross-entropy", ".1058", ".0629"),
        ),
    ),
    "retail": (
        "Online Retail, split by time",
        (
            "All purchases of a shop in a year (CC BY 4.0: Daqing Chen, UCI), 5-core, split as above; a target is the "
            "user's last invoice, of about twenty items. People buy again, so nothing is masked. `-text` rows begin "
            "with vectors of the descriptions; `joint-counting` ranks what `cf`, `item_knn` and `ease` find. The bars: "
            "text over ids alone, and joint over `cf`, both beyond chance."
        ),
        (),
    ),
}
"""By suite: title, what it is, and what others published."""


def page(results: Path, note: str, table: Table) -> str:
    """Returns the page of the results there are."""
    files = [json.loads(file.read_text("utf-8")) for file in sorted(results.glob("quality-*.json"))]
    rows, runs, differences = (
        [{"suite": "ml-1m", "targets": "all", **one} for file in files for one in file.get(kind, [])]
        for kind in ("rows", "runs", "differences")
    )
    errors = [max(row[f"{figure}_standard_error"] for row in rows) for figure in ("hr10", "ndcg10")]
    intro = (
        "Each model is trained on training events and chosen on validation users; test is read once for each row and "
        "seed. The whole catalogue is ranked, ties share the mean of their ranks, and what a user has seen is left out "
        "unless people come back to things. `served` rows went through gRPC, ONNX and the index with inline "
        "histories, `torch` rows through the trained network; `popularity` and `transitions` (what followed what) "
        "only count. Means over seeds have their standard deviation; the standard error over users is at most "
        f"{errors[0]:.3f} for HR@10 and {errors[1]:.3f} for NDCG@10, less for differences between the same users."
    )
    bars = "Set before anything was measured. The best pipeline is the one that validation users liked best."
    parts = [
        f"# Quality\n\n{note}{fill(intro, 120)}\n\n## Bars\n\n{bars}\n\n"
        + table(
            ("data, protocol", "best pipeline", "seeds", "HR@10", "NDCG@10", "minimum", "aim", "verdict"),
            [_bar(rows, runs, *bar) for bar in BARS],
        )
        + "\n"
        + _families(rows, differences, table)
        + _shop(differences, table)
        + _cold_items(results / "cold-items.json", table)
    ]
    for suite, (title, words, published) in SECTIONS.items():
        own = [[one for one in all_of if one["suite"] == suite] for all_of in (rows, runs, differences)]
        parts.append(f"## {title}\n\n{fill(words, 120)}\n\n")
        if published:
            parts[-1] += table(("model", "HR@10", "NDCG@10"), published) + "\n"
        parts[-1] += _section(suite, *own, table) if own[0] else "Not measured yet.\n"
    return "\n".join(parts)


def _bar(
    rows: Sequence[Row], runs: Sequence[Row], suite: str, targets: str, words: str, *bars: tuple[str, str]
) -> tuple[object, ...]:
    """Returns a line of the bars: what the pipeline that validation chose reached."""
    shown = [" / ".join(bar) for bar in bars]
    liked: dict[str, list[float]] = {}
    for run in (run for run in runs if run["suite"] == suite):
        stage = "rank" if "rank/ndcg@10" in run["validation"] else "retrieve"
        liked.setdefault(run["model"], []).append(run["validation"][f"{stage}/ndcg@10"])
    if not liked:
        return (words, "–", "–", "–", "–", *shown, "not measured yet")
    best = max(liked, key=lambda name: fmean(liked[name]))
    own = [r for r in rows if (r["suite"], r["targets"], r["model"], r["path"]) == (suite, targets, best, "served")]
    own = [r for r in own if r["stage"] == own[-1]["stage"]]
    return (words, f"{best}, {own[0]['stage']}", len(own), *_means(own), *shown, _verdict(own, *bars))


def _verdict(own: Sequence[Row], floor: tuple[str, str], aim: tuple[str, str] | None) -> str:
    means = [fmean(float(r[figure]) for r in own) for figure in ("hr10", "ndcg10")]
    met = [bar is not None and all(m >= float(b) for m, b in zip(means, bar, strict=True)) for bar in (floor, aim)]
    verdict = "aim met" if met[1] else "minimum met" + ", aim missed" * (aim is not None) if met[0] else "missed"
    return verdict + ("" if len(own) >= 3 else f"; {len(own)} of 3 seeds")


def _means(own: Sequence[Row], end: str = "") -> list[str]:
    """Returns HR@10 and NDCG@10 over seeds, with their spread."""
    words = []
    for figure in ("hr10", "ndcg10"):
        values = [float(r[figure + end]) for r in own]
        words.append(f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else ""))
    return words


def _families(rows: Sequence[Row], differences: Sequence[Row], table: Table) -> str:
    """Says of each family on MovieLens-1M whether it reaches one and a half times popularity; mlp also transitions."""
    own = [r for r in rows if r["suite"] == "ml-1m"]
    popular = [r for r in own if r["model"] == "popularity"]
    lines: list[Sequence[object]] = []
    for name in FAMILIES:
        served = [r for r in own if (r["model"], r["path"]) == (name, "served")]
        if not served or not popular:
            lines.append((name, "–", "–", "–", "not measured yet"))
            continue
        for stage in dict.fromkeys(r["stage"] for r in served):
            staged = [r for r in served if r["stage"] == stage]
            times = fmean(r["hr10"] for r in staged) / popular[0]["hr10"]
            verdict = "met" if times >= 1.5 else "missed"
            wanted = ("ml-1m", "mlp", "transitions", f"{stage}/served")
            for d in differences:
                if name == "mlp" and (d["suite"], d["model"], d["over"], d["stages"][0]) == wanted:
                    verdict += f"; NDCG@10 over transitions {_interval(d['ndcg10'])}"
            lines.append((name, stage, _means(staged)[0], f"{times:.1f}", verdict))
    return (
        "Families on MovieLens-1M without times: each at least 1.5 × popularity by HR@10, `mlp` no worse than "
        "`transitions`.\n\n" + table(("model", "stage", "HR@10", "× popularity", "verdict"), lines)
    )


def _shop(differences: Sequence[Row], table: Table) -> str:
    """Says whether text and joint gain on Online Retail."""
    own = [d for d in differences if d["suite"] == "retail" and d["over"] != "transitions"]
    lines = [
        (
            f"{d['model']} over {d['over']}",
            d["stages"][0].partition("/")[0],
            _interval(d["ndcg10"]),
            "met" if d["ndcg10"][1] > 0 else "missed: worse" if d["ndcg10"][2] < 0 else "not shown",
        )
        for d in own
    ]
    for what in ("text over ids alone", "joint over cf"):
        mark = "-text" if what.startswith("text") else "joint"
        if not any(mark in d["model"] for d in own):
            lines.append((what, "–", "–", "not measured yet"))
    return "\nOnline Retail: gains beyond chance.\n\n" + table(("difference", "stage", "NDCG@10", "verdict"), lines)


def _interval(ends: Sequence[float]) -> str:
    gain, low, high = ends
    return f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]"


def _section(suite: str, rows: Sequence[Row], runs: Sequence[Row], differences: Sequence[Row], table: Table) -> str:
    """Shows one data set: means over seeds, differences, every row, and how each was made."""
    lines: list[Sequence[object]] = []
    exact = any("hr10_exact" in r for r in rows)
    several = len({r["targets"] for r in rows}) > 1
    for targets, model, stage in dict.fromkeys((r["targets"], r["model"], r["stage"]) for r in rows):
        own = [r for r in rows if (r["targets"], r["model"], r["stage"]) == (targets, model, stage)]
        path = "served" if any(r["path"] == "served" for r in own) else own[0]["path"]
        own = [r for r in own if r["path"] == path]
        cells: list[object] = [model, stage, path, len(own), *_means(own)]
        cells += [targets] * several + (_means(own, "_exact") if exact and all("hr10_exact" in r for r in own) else [])
        if suite == "ml-1m":
            floor, aim = STAGES.get((model, stage), (None, None))
            cells += [" / ".join(bar) if bar else "–" for bar in (floor, aim)]
            cells.append(_verdict(own, floor, aim).partition(";")[0].replace("minimum", "floor") if floor else "")
        lines.append(cells)
    columns = ["model", "stage", "path", "seeds", "HR@10", "NDCG@10", *["targets"] * several]
    columns += ["HR@10, exact times", "NDCG@10, exact times"] * exact + ["floor", "aim", "verdict"] * (suite == "ml-1m")
    text = table(columns, lines)
    if differences:
        compared = [
            (
                d["model"],
                d["over"],
                " against ".join(dict.fromkeys(stage.partition("/")[0] for stage in d["stages"])),
                *[d["targets"]] * several,
                len(d["seeds"]),
                _interval(d["hr10"]),
                _interval(d["ndcg10"]),
            )
            for d in differences
        ]
        words = (
            "Differences, with 95 % intervals of a paired bootstrap over users. Where an interval "
            "holds 0, nothing is shown; where it lies below, the model is worse than its base. A seed with which "
            "validation left the ranker out does not count; below it is told."
        )
        text += f"\n{fill(words, 120)}\n\n"
        text += table(("model", "over", "stage", *["targets"] * several, "seeds", "HR@10", "NDCG@10"), compared)
    if suite == "ml-1m":
        words = (
            "The joint pipeline ranks the union of what its retrievers find, 100 items each, by all their scores. A "
            "ranker cannot place an item that is not among its candidates: the share of targets that are (of the best "
            "200, or of the union) is its ceiling."
        )
        text += f"\n{fill(words, 120)}\n"
    return text + _details(rows, runs, table, several=several)


def _details(rows: Sequence[Row], runs: Sequence[Row], table: Table, *, several: bool) -> str:
    each = [
        (
            r["model"],
            r["stage"],
            r["path"],
            r["seed"],
            *[r["targets"]] * several,
            f"{r['hr10']:.4f}",
            f"{r['ndcg10']:.4f}",
            f"{recall:.3f}" if (recall := r.get("recall200") or r.get("candidate_recall")) else "",
            f"{r['train_seconds']:.0f}",
        )
        for r in rows
    ]
    how = [
        (
            f"{r['model']}, seed {r['seed']}",
            ", ".join(f"{name} {value}" for name, value in r.get("options", {}).items()),
            f"`{r['command']}`",
            r["date"][:10],
            f"{r['machine']['cpu']}, {r['machine']['cores']} cores",
            "yes" if r["resumed"] else "",
            "; ".join(filter(None, (r["ranker"], r.get("transitions", "")))),
        )
        for r in runs
    ]
    head = ("model", "stage", "path", "seed", *["targets"] * several)
    text = "\n### Every row\n\n" + table((*head, "HR@10", "NDCG@10", "targets among the candidates", "train s"), each)
    if how:
        words = (
            "The words of the `Makefile` (`make bench-quality` and so on) say how long they take, and go on where they "
            "were stopped; where a training was resumed, its seconds count from there. Other work shared the cores. "
            "The ranker's verdict is the validation users'."
        )
        text += f"\n### How each was made\n\n{fill(words, 120)}\n\n"
        text += table(("run", "options", "command", "date", "machine", "resumed", "validation said"), how)
    return text


def _cold_items(file: Path, table: Table) -> str:
    """Tells how items are found that no model met; nothing where it was not measured."""
    words = (
        "A tenth of the items is held out of training with all of their events, and each user's last basket. Then they "
        "are added to a server with `UpsertItems`, which is asked for users whose last basket holds some of them: how "
        "many of these are among the 50 that it ranks first of the held-out items alone. To be reached: three times "
        "chance, and more than ranking by the categories that a user met most (of Online Retail, by the last word of "
        "a description). By `make bench-cold-items`, one seed."
    )
    if not file.exists():
        return ""
    rows = [
        (
            row["data"],
            row["model"],
            f"{row['users']:,} / {row['held_out_items']:,}",
            f"{row['recall']:.3f}",
            f"{row['over_chance']:.2f} ×",
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(row["over_category"], *row["interval"]) if "interval" in row else "",
            ("reached" if row["met"] else "**missed**") if "interval" in row else "",
        )
        for row in json.loads(file.read_text("utf-8"))["rows"]
    ]
    columns = ("data", "ranked by", "users / items", "recall@50", "of chance", "over categories", "verdict")
    return f"\n## Items that nobody has met\n\n{fill(words, 120, break_on_hyphens=False)}\n\n" + table(columns, rows)
