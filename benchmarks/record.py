"""Records what a benchmark measured and on what: nothing that names the machine, all that explains the figures."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["machine", "over_runs", "write"]

_CPUINFO = Path("/proc/cpuinfo")


def machine(**versions: str) -> dict[str, Any]:
    """Describes processor, cores, Python and the load before the run, and the versions that matter."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        **versions,
    }


def over_runs(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Returns a row for each thing that was measured: the median, least and most of each figure over the runs."""
    return [
        {"what": what}
        | {
            figure: {
                "median": round(statistics.median(values), 3),
                "least": round(min(values), 3),
                "most": round(max(values), 3),
            }
            for figure in runs[0][what]
            for values in [[run[what][figure] for run in runs]]
        }
        for what in runs[0]
    ]


def write(out: Path, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON and shows the medians of its rows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for row in result["rows"]:
        shown = (f"{figure} {values['median']:,}" for figure, values in row.items() if figure != "what")
        print(f"{row['what']:<75} {'  '.join(shown)}")
