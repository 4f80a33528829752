"""The first signal stops gently, the second at once, with the code that shells expect."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from honeyguide.server.ops.signals import stop_on_signals
async def main():
    stop = asyncio.Event()
    stop_on_signals(stop, lambda: print("at once", flush=True))
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep(30)
asyncio.run(main())
"""


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_second_signal_ends_at_once(second: signal.Signals, code: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(second)
        assert process.wait(10) == code
        assert "at once\n" in process.stdout.read()
