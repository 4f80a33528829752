"""Says what a benchmark ran on: nothing that names the machine, all that explains its figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["machine"]

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
