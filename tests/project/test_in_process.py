"""Runs the code blocks of the page about answers without a server, as a reader would, over small bundles."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bundles import TINY_PLUGINS

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "in-process.md").read_text(), re.DOTALL)


def test_every_block_of_the_page_runs(shared_repository, tmp_path):
    shutil.copytree(shared_repository, tmp_path / "models")
    info = tmp_path / "tiny-1.dist-info"  # as pip would install the plugin of these bundles
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    points = "\n".join(f"{point.name} = {point.value}" for point in TINY_PLUGINS)
    (info / "entry_points.txt").write_text(f"[{TINY_PLUGINS[0].group}]\n{points}\n")
    folders = [str(tmp_path), str(ROOT / "tests" / "plugins_for_tests")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    assert len(BLOCKS) == 4
    done = subprocess.run(  # one after another, as in a notebook
        [sys.executable, "-W", "error", "-c", "\n".join(BLOCKS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
