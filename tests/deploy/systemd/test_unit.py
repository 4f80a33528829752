"""The systemd unit is sound, and shuts the server in."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "honeyguide.service"


def test_the_unit_is_sound_and_shut_in(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    program, unit = tmp_path / "honeyguide", tmp_path / UNIT.name
    shutil.copy("/bin/true", program)
    unit.write_text(UNIT.read_text().replace("/opt/honeyguide/bin/honeyguide", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
    exposure = subprocess.run(command, check=False, capture_output=True, text=True)
    assert exposure.returncode == 0, exposure.stdout
