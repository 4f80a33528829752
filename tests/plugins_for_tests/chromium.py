"""Opens pages in a headless Chromium, over the pipe of its DevTools protocol, messages of JSON that end with NUL."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["Chromium", "find_chromium"]

_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root on a machine of their own, and open their own pages alone
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
    "--window-size=720,560",
)


def find_chromium() -> str | None:
    """Returns the program; None: it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """Browser with one page."""

    def __init__(self, program: str, folder: Path) -> None:
        """Starts it; ``folder``: of its profile."""
        read_theirs, self._out = os.pipe()
        self._in, write_theirs = os.pipe()
        redirected = f'exec "$@" 3<&{read_theirs} 4>&{write_theirs}'
        command = ["bash", "-c", redirected, "bash", program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=[read_theirs, write_theirs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(read_theirs)
        os.close(write_theirs)
        self._numbers, self._received = itertools.count(1), b""
        self.problems: list[str] = []
        """What the page's console complained of."""
        self._session = ""
        page = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Opens a page; returns when it is loaded."""
        self.ask("Page.navigate", url=url)
        self.run("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def run(self, script: str) -> Any:
        """Returns what a script comes to, awaited."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Returns when a condition holds, at most some seconds later; raises where it does not."""
        script = f"""new Promise((done, fail) => {{
            const end = Date.now() + 10000;
            const late = () => fail(new Error("late"));
            const look = () => ({condition}) ? done() : Date.now() > end ? late() : setTimeout(look, 20);
            look();
        }})"""
        self.run(script)

    def picture(self) -> bytes:
        """Returns the page as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def ask(self, method: str, **parameters: Any) -> Any:
        """Sends one command and returns its result; raises `RuntimeError`."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(json.dumps(answer["params"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            if not (part := os.read(self._in, 1 << 16)):
                raise RuntimeError("Chromium has ended")
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends it."""
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
