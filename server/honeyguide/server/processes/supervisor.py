"""Starts the processes that serve on one port, passes on what one of them changes, and replaces one that ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from time import monotonic

import structlog

from honeyguide.sdk.errors import ConfigError, HoneyguideError, Unavailable
from honeyguide.server.bundles.cores import usable_cores
from honeyguide.server.ops.signals import stop_on_signals
from honeyguide.server.processes.line import Line, Message
from honeyguide.server.settings import Settings
from honeyguide.server.transport.ports import address_of, check_free, port_taken

__all__ = ["Supervisor", "supervise"]

_MEMBER = "honeyguide.server.processes.member"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a process that ended is replaced; twice as long each time it did not serve for as long."""
_KILL_SECONDS = 5.0
"""What a process gets beyond its time to drain before it is killed."""
_METRICS_SECONDS = 2.0
"""What a process gets to say its metrics; one that is busier than that is left out."""
_FOLLOW_SECONDS = 60.0
"""What a process gets to do what another did: a model takes seconds to load."""
_SLOWER = 4
"""Times as long as the other took, which it gets besides: texts of a thousand new items take minutes to read."""


class _Process:
    """One process, and the line to it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number, self.process = number, process
        self.line: Line
        self.ready = False


class Supervisor:
    """Processes of one server: ``async with Supervisor(settings) as supervisor`` starts them and stops them."""

    def __init__(self, settings: Settings) -> None:
        """Starts nothing yet."""
        self._settings = settings
        self._processes: dict[int, _Process] = {}
        self._lasting: dict[str, Message] = {}  # the newest change of each subject
        self._turn, self._turns = asyncio.Lock(), dict[int, bool]()
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._lines: list[str] = []
        self._log = structlog.get_logger("honeyguide.server.processes")
        self._reserved: socket.socket | None = None
        self.port = settings.port

    async def __aenter__(self) -> Supervisor:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pids(self) -> list[int]:
        """The processes that serve."""
        return [process.process.pid for process in self._processes.values() if process.ready]

    def summary(self) -> list[str]:
        """Says what is served and where, as the first of the processes says it."""
        return [*self._lines, f"{self._settings.processes} processes answer on this port, each as above"]

    async def metrics(self) -> dict[str, str]:
        """Returns the metrics of each process by its number, in Prometheus' text form."""
        asked = [(process.number, process.line) for process in self._processes.values() if process.ready]
        answers = await asyncio.gather(
            *(asyncio.wait_for(line.ask({"metrics": True}), _METRICS_SECONDS) for _, line in asked),
            return_exceptions=True,
        )
        return {
            str(number): answer["metrics"]
            for (number, _), answer in zip(asked, answers, strict=True)
            if not isinstance(answer, BaseException)
        }

    def kill(self) -> None:
        """Ends every process at once."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                process.process.kill()

    async def stop(self) -> None:
        """Lets every process finish what it has begun, and waits for it."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        for process in self._processes.values():
            process.line.close()  # which it takes for the order to stop
        within = self._settings.drain_seconds + _KILL_SECONDS
        await asyncio.gather(*(_end(process.process, within) for process in self._processes.values()))
        if self._reserved is not None:
            self._reserved.close()

    async def _start(self) -> None:
        self._reserved = _reserve(self._settings.host, self._settings.port)
        self.port = self._reserved.getsockname()[1]
        numbers = range(self._settings.processes)
        # All at once: they are loaded side by side. What keeps one from starting keeps every one.
        for outcome in await asyncio.gather(*map(self._launch, numbers), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        self._keepers = [asyncio.create_task(self._keep(number)) for number in numbers]

    async def _launch(self, number: int) -> None:
        """Starts one process; returns when it serves, raises `ConfigError` where it says why it does not."""
        ours, theirs = socket.socketpair()
        with ours, theirs:  # closed also where no process can be started
            process = _Process(
                number,
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", _MEMBER, str(theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # a Ctrl-C is the supervisor's: it lets them finish
                ),
            )
            fileno = ours.detach()

        async def answer(request: Message) -> Message:
            return await self._answer(process, request)

        process.line = await Line.open(fileno, answer)
        self._processes[number] = process
        try:
            await self._introduce(process)
        except BaseException:
            process.line.close()
            await _end(process.process, _KILL_SECONDS)
            raise

    async def _introduce(self, process: _Process) -> None:
        """Tells a process what it serves; before it listens it asks for what was changed meanwhile."""
        started = await process.line.ask({"number": process.number, "settings": self._own_settings()})
        if "refused" in started:
            raise ConfigError(started["refused"])
        self._lines = started["lines"]

    async def _let_join(self, process: _Process) -> None:
        """Brings a process up to date; from now on it is told of every change."""
        async with self._turn:
            try:
                for change in self._lasting.values():
                    await asyncio.wait_for(process.line.ask({"change": change}), _patience(change))
            except TimeoutError:
                process.process.kill()  # it hangs, and all others wait
                raise
            process.ready = True

    def _own_settings(self) -> Message:
        settings = self._settings
        share = max(1, (settings.threads or usable_cores()) // settings.processes)
        given = settings.model_dump(mode="json", exclude_unset=True)
        return given | {"port": self.port, "threads": share, "metrics_port": -1, "processes": settings.processes}

    async def _keep(self, number: int) -> None:
        """Replaces a process whenever it ends."""
        pause = _FIRST_PAUSE
        while True:
            since = monotonic()
            process = self._processes[number]
            code = await process.process.wait()
            process.ready = False
            process.line.close()
            self._give_turn_back(process)
            if monotonic() - since > pause:
                pause = _FIRST_PAUSE
            self._log.error(
                "a process ended; another takes its place", process=number, exit_code=code, in_seconds=pause
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                await self._launch(number)
            except (HoneyguideError, OSError) as error:  # OSError: no memory, or too many processes or files
                self._log.error("the process in its place does not start", process=number, problem=str(error))

    async def _answer(self, process: _Process, request: Message) -> Message:
        """Does what a process asks: gives or takes back the turn, lets it join, or passes on a change."""
        if "join" in request:
            await self._let_join(process)
            return {}
        if "turn" in request:
            if request["turn"]:
                await self._turn.acquire()
                if process.process.returncode is not None:  # it ended as it waited: nobody would give the turn back
                    self._turn.release()
                    return {}
                self._turns[process.number] = True
            else:
                self._give_turn_back(process)
            return {}
        change = request["change"]
        if subject := change.get("subject"):
            self._lasting[subject] = change
        others = [other for other in self._processes.values() if other is not process and other.ready]
        outcomes = await asyncio.gather(*(self._follow(other, change) for other in others), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return {}

    async def _follow(self, process: _Process, change: Message) -> None:
        """Makes a process do what another did; raises `Unavailable` where it cannot, and kills one that hangs."""
        try:
            await asyncio.wait_for(process.line.ask({"change": change}), _patience(change))
        except TimeoutError:
            self._log.error("a process hangs, and is killed", process=process.number)
            process.process.kill()  # the one in its place starts with the change
        except HoneyguideError as error:
            if process.ready and process.line.is_open:  # else it is gone, and another starts with the change
                self._log.error("a process cannot follow", process=process.number, problem=error.message)
                raise Unavailable(f"process {process.number} could not do the same: {error.message}") from error

    def _give_turn_back(self, process: _Process) -> None:
        if self._turns.pop(process.number, False):
            self._turn.release()


def _patience(change: Message) -> float:
    """Returns the seconds after which a process that has not followed hangs."""
    seconds: int = change.get("seconds", 0)
    return _FOLLOW_SECONDS + _SLOWER * seconds


def _reserve(host: str, port: int) -> socket.socket:
    """Takes the port for the processes to share; nobody listens on it yet. Raises `ConfigError`."""
    if host.startswith("unix:"):
        raise ConfigError("processes is above 1, which a Unix socket cannot be shared by; take a port, or processes 1")
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("processes is above 1, and this system lets no processes share a port; set processes to 1")
    check_free(host, port)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        reserved = socket.socket(family, kind, protocol)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise port_taken(host, port, error.strerror) from error
    return reserved


async def _end(process: asyncio.subprocess.Process, within: float) -> None:
    try:
        await asyncio.wait_for(process.wait(), within)
    except TimeoutError:
        process.kill()
        await process.wait()


async def supervise(settings: Settings, say: Callable[[str], None]) -> None:
    """Serves with several processes until SIGTERM or SIGINT; ``say`` is given each line of the summary."""
    stop, supervisor = asyncio.Event(), Supervisor(settings)
    stop_on_signals(stop, supervisor.kill)
    async with supervisor, contextlib.AsyncExitStack() as parts:
        lines = supervisor.summary()
        if settings.metrics_port >= 0:
            from honeyguide.server.processes.merged_metrics import MergedMetrics  # loads prometheus

            endpoint = MergedMetrics(supervisor).answer(settings.metrics_host, settings.metrics_port)
            parts.push_async_callback(asyncio.to_thread, endpoint.stop)
            lines.append(f"metrics of all on http://{address_of(settings.metrics_host, endpoint.port)}/metrics")
        for line in lines:
            say(line)
        await stop.wait()
        structlog.get_logger("honeyguide.server").info("stopping", drain_seconds=settings.drain_seconds)
