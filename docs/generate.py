"""Makes the pages that come from code and results: ``python docs/generate.py [OUT]``; ``OUT`` is docs/ by default."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from honeyguide.sdk import errors
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
        "`INVALID_FIELD` also carries a `google.rpc.BadRequest`, `OVER_CAPACITY` a `google.rpc.RetryInfo`.\n\n"
        + table(("reason", "gRPC code", "meaning"), sorted(set(rows)))
    )


def quality() -> str:
    """Shows the quality results."""
    result = json.loads((RESULTS / "quality-ml-1m.json").read_text())
    rows = [
        (
            r["model"],
            r["stage"],
            r["path"],
            r["seed"],
            f"{r['hr10']:.4f}",
            f"{r['ndcg10']:.4f}",
            f"{r['train_seconds']:.0f}",
            f"{r['users']:,}",
            f"{r['items']:,}",
        )
        for r in result["rows"]
    ]
    columns = ("model", "stage", "path", "seed", "HR@10", "NDCG@10", "train s", "users", "items")
    return (
        "# Quality on MovieLens-1M\n\n"
        + NOTE
        + f"Written by `{result['command']}` on {result['date']}, {result['machine']}.\n\n"
        + "Leave-one-out: the last item is the test target, the second-last the validation target, everything is\n"
        "fitted on events up to the third-last; full ranking, the whole history masked, no timestamps. `served`\n"
        "rows went through gRPC, ONNX and FAISS with inline histories, `torch` rows through the trained network.\n"
        "The standard error of HR@10 at .32 with 6,040 users is .006.\n\n" + table(columns, rows)
    )


PAGES = {"settings.md": settings, "errors.md": error_page, "quality.md": quality}


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, page in PAGES.items():
        (out / name).write_text(page(), "utf-8")
