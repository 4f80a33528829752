"""Makes the pages that come from code and results: ``python docs/generate.py [OUT]``; ``OUT`` is docs/ by default."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import quality_page

import api_page
import openapi
import operations_page
import serving_page
from honeyguide.sdk import errors
from honeyguide.sdk.config import config_to
from honeyguide.sdk.host import PluginHost
from honeyguide.server.settings import describe_settings

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
NOTE = "<!-- Made by `make docs`; do not edit by hand. -->\n\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def settings() -> str:
    """Lists every setting of the server."""
    rows = [(f"`{r.name}`", f"`{r.variable}`", r.description, f"`{r.default}`") for r in describe_settings()]
    return (
        "# Settings of the server\n\n"
        + NOTE
        + "One TOML file (`honeyguide serve --config FILE`), below environment variables, below flags.\n\n"
        + table(("setting", "environment", "meaning", "default"), rows)
    )


def error_page() -> str:
    """Lists every error with its gRPC code and reason."""
    classes = [getattr(errors, name) for name in errors.__all__]
    rows = [(f"`{c.reason}`", f"`{c.code}`", (c.__doc__ or "").splitlines()[0]) for c in classes]
    return (
        "# Errors\n\n"
        + NOTE
        + "Each error is a `google.rpc.Status` with an `ErrorInfo`: domain `honeyguide` and one of these reasons.\n"
        "`INVALID_FIELD` also carries a `google.rpc.BadRequest` with every field at fault, `OVER_CAPACITY` and\n"
        "`RATE_EXCEEDED` a `google.rpc.RetryInfo`. The metadata of the `ErrorInfo` hold `request_id` and, where they\n"
        "apply, `field`, `value`, `allowed`, `existing`, `role` and `sequence`. Rows and batches of a stream carry\n"
        "the same words as the enum `ErrorReason`.\n\n"
        + table(("reason", "gRPC code", "meaning"), sorted(set(rows)))
        + "\n"
        + api_page.details(table)
    )


def quality() -> str:
    """Shows how good the models are, on each data set."""
    return quality_page.page(RESULTS, NOTE, table)


def speed() -> str:
    """Shows the speed results."""
    parts = serving_page.sections(RESULTS, table)
    for name, title in (("serve", "Serving, quickly"), ("events", "Events"), ("prepare", "Preparing data")):
        result = json.loads((RESULTS / f"{name}.json").read_text())
        machine = result["machine"]
        parts.append(
            f"## {title}\n\nWritten by `make bench` (`{result['command']}`) on {result['date'][:10]};\n"
            f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"load {machine['load_before']} before the run.\n\n"
            + (prepare_table if name == "prepare" else measured_table)(result["rows"])
        )
    parts.append(graphs())
    return (
        "# Speed\n\n"
        + NOTE
        + "Medians over runs; the spread is in `benchmarks/results`. Server and client share the cores. A row that\n"
        "begins with *ceiling* is what such a part can at best reach, measured in the same run. The network is\n"
        "`cf` where a row says nothing else: 3,416 items, 128 dimensions, 200 candidates to rank; 6,040 users with\n"
        "986,000 events.\n\n" + "\n".join(parts)
    )


def measured_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the medians of each row in words."""
    return table(
        ("what", "median"),
        [
            (r["what"], ", ".join(f"{number(v['median'])} {k.replace('_', ' ')}" for k, v in r.items() if k != "what"))
            for r in rows
        ],
    )


def graphs() -> str:
    """Shows what a user costs in each graph, before and after, and what lower precisions cost and gain."""
    result = json.loads((RESULTS / "graphs.json").read_text())
    machine, exports = result["machine"], result["exports"]
    cells: dict[str, dict[str, str]] = {}
    least: dict[tuple[str, str], float] = {}
    for row in result["rows"]:
        case, kind = row["what"].rsplit(", ", 1)
        least[case, kind] = row["us_per_user"]["least"]
        faster = f" ({least[case, 'before'] / least[case, kind]:.1f} ×)" if kind != "before" else ""
        cells.setdefault(case, {})[kind] = number(least[case, kind]) + faster
    proofs = []
    for kind, export in exports.items():
        size = sum(export["bytes"].values()) / 1e6
        ndcg = [export["proof"][f"{stage}/ndcg@10/served"] for stage in ("retrieve", "rank")]
        proofs.append((kind, f"{size:.1f} MB", *(f"{value:.4f}" for value in ndcg)))
    return (
        f"## Graphs\n\nWritten by `make bench-graphs` (`{result['command']}`) on {result['date'][:10]};\n"
        f"{machine['cpu']}, {machine['cores']} cores, one of them used, ONNX Runtime {machine['onnxruntime']}, "
        f"load {machine['load_before']} before the run.\n\n"
        f"Microseconds a user takes on one thread, `{result['model']}` over {result['items']:,} items; the least of "
        "rounds in which all took\nturns, since others used the machine, and in brackets how many times as fast as "
        "before. *Before* are the graphs that commit\n259a5d7 exports of the same weights.\n\n"
        + table(("what", *exports), [(case, *(row.get(kind, "") for kind in exports)) for case, row in cells.items()])
        + "\nWhat each precision costs, by the exports' proofs: NDCG@10 on validation users.\n\n"
        + table(("export", "both graphs", "NDCG@10, retrieved", "NDCG@10, ranked"), proofs)
    )


def number(value: float) -> str:
    """Returns three significant digits, and all digits before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def prepare_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns seconds and peak memory of each log."""
    columns = ("log", "what", "events", "file MB", "seconds", "peak MB", "growth / file")
    cells = [
        (
            r["log"],
            f"`{r['what']}`",
            f"{r['events']:,}",
            r["file_mb"],
            r["seconds"],
            f"{r['peak_mb']:.0f}",
            r.get("peak_growth_over_file", "–"),
        )
        for r in rows
    ]
    return table(columns, cells)


def rules() -> str:
    """Lists the built-in rules and shows the effect of each."""
    host = PluginHost.load()
    built_in = [name for plugin in host.plugins if plugin.distribution == "honeyguide" for name in plugin.rules]
    offered = [
        (
            f"`{name}`",
            (host.rules[name].__doc__ or "").splitlines()[0].replace("``", "`"),
            ", ".join(f"`{option} = {value}`" for option, value in config_to(host.rules[name].Config()).items()),
        )
        for name in sorted(built_in)
    ]
    result = json.loads((RESULTS / "rules.json").read_text())
    machine, data = result["machine"], result["data"]
    figures = [name for name in result["rows"][0] if name != "what"]
    measured = [(f"`{row['what']}`", *(f"{row[name]:.3f}" for name in figures)) for row in result["rows"]]
    columns = ("stage", *(name.replace("10", "@10") for name in figures))
    return (
        "# Rules\n\n"
        + NOTE
        + "What reorders or drops ranked items, used by name in a [pipeline](serve.md#rules); each is a plugin, and a\n"
        "[plugin of yours](write-a-model.md) may add others.\n\n"
        + table(("rule", "what it does", "options"), offered)
        + "\n## What they cost and what they bring\n\n"
        f"Written by `{result['command']} --out benchmarks/results/rules.json` on {result['date'][:10]};\n"
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}.\n\n"
        f"The model is `{result['model']['name']}` after {result['model']['epochs']} epochs on the embedded purchases "
        f"({data['users']:,} test users, {data['items']:,} items);\n"
        "each rule alone reorders the first 100 of what it retrieves. The data names no categories: the last word of\n"
        "a title stands for one. People buy again what they bought before, so `seen` costs most of the accuracy here.\n"
        f"The standard error of HR@10 is about {result['standard_error']['hr10']:.3f}; the rows are of the same users, "
        "which makes\ntheir differences more certain than that.\n\n"
        + table(columns, measured)
        + "\n`diversity` is 1 − the mean cosine of a list's item vectors, `categories` how many a list has, `novelty`\n"
        "the mean of −log2 of an item's share of the events, `coverage` the share of the catalogue in any list.\n"
        "The vectors are the measured model's, so `popularity`, too, has another `diversity` beside another model.\n"
        "`honeyguide evaluate RUN DATA --rule NAME:KEY=VALUE` shows the same for your own data.\n"
    )


def structure() -> str:
    """Shows how large the sources are, before the rooms were made and since."""
    result = json.loads((RESULTS / "structure.json").read_text())
    sizes = [
        (
            r["what"],
            f"`{r['revision']}`",
            f"{r['lines']:,}",
            r["files"],
            r["median"],
            r["longest"],
            f"`{r['longest_file']}`",
        )
        for r in result["rows"]
    ]
    before, after = (row["lines_by_part"] for row in result["rows"])
    parts = [(f"`{part}/`", f"{before[part]:,}", f"{after[part]:,}") for part in after]
    return (
        "# How it is built\n\n"
        + NOTE
        + "Python sources without generated stubs and tests, before the parts got their rooms and since. Written by\n"
        f"`{result['command']}` on {result['date'][:10]}; the rooms are in [CONTRIBUTING](../CONTRIBUTING.md).\n\n"
        + table(("", "revision", "lines", "files", "median file", "longest file", ""), sizes)
        + "\n"
        + table(("part", "lines before", "lines after"), parts)
    )


def live_feedback() -> str:
    """Shows what recorded events change."""
    result = json.loads((RESULTS / "live_feedback.json").read_text())
    genres = [name for name in result["rows"][0] if name != "what"]
    rows = [(row["what"], *(row[genre] for genre in genres)) for row in result["rows"]]
    options = "\n".join(f"{name} = {json.dumps(value)}" for name, value in result["pipeline"].items())
    return f"""# What events change

{NOTE}An event that was recorded counts in the very next answer: its item, its type, how long somebody stayed, how often
somebody clicked. What a model reads live are the numbers that it was trained on, normalised by the figures that its
bundle carries. `cf` reads items and their order alone, in training and live; `gru`, `attention_lstm` and `transformer`
read whatever else the data has.

Films of {len(genres)} genres have made-up visitors here: whoever stays with a film goes on in its genre, whoever leaves
it at once tries another. So many of each genre are among the first {result["k"]} for a new visitor, by a
`{result["model"]["name"]}` that was trained on their log:

{table(("recorded so far", *genres), rows)}
Written by `{result["command"]}` on {result["date"][:10]}.

## What somebody dislikes

Which event types say so is a setting of the pipeline; above it is

```toml
[pipelines.home]
{options}
```

- The last event of a user with an item decides. Where its type is negative the item is not shown, even where
  `drop_seen` is off, and no event with it counts for it: a purchase that was returned is no purchase. An item that is
  bought after all is liked again.
- What is like it falls: by Rocchio's formula (1971) the user's vector moves away from the mean of the disliked items'
  directions, `user - negative_weight * |user| * mean(item / |item|)`, before items are retrieved. The ranker sees the
  scores that come of it. `negative_weight` is 0.2 unless it is set, the share that textbooks give (.15 to .75: Manning,
  Raghavan & Schütze, Introduction to Information Retrieval, 2008, section 9.1.1); 0 only hides the items themselves.
- A user who likes nothing so far gets popular items, without the disliked ones.
- The newest 20,000 events of a user are looked at; what was disliked before these may be shown again where `drop_seen`
  is off.
"""


def operations() -> str:
    """Shows what goes wrong, what it looks like and what to do, with what came of it when it was tried."""
    return operations_page.page(RESULTS / "faults.json", NOTE, table)


def web() -> str:
    """Describes the web port in OpenAPI."""
    return json.dumps(openapi.document(), indent=1, ensure_ascii=False) + "\n"


def api() -> str:
    """Shows the API, from the comments of its protos."""
    return api_page.page(NOTE, table)


PAGES = {
    "api.md": api,
    "openapi.json": web,
    "settings.md": settings,
    "errors.md": error_page,
    "quality.md": quality,
    "speed.md": speed,
    "rules.md": rules,
    "structure.md": structure,
    "live-feedback.md": live_feedback,
    "operations.md": operations,
}


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, page in PAGES.items():
        (out / name).write_text(page(), "utf-8")
    for name, picture in serving_page.plots(RESULTS).items():
        (out / name).write_text(picture, "utf-8")
