"""A circuit opens after failures in a row within a window, lets one probe pass after a rest, and closes by itself."""

from __future__ import annotations

from honeyguide.server.serving.circuit import Circuit, CircuitOptions

OPTIONS = CircuitOptions(failures=3, window_seconds=10.0, rest_seconds=5.0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_alone() -> None:
    circuit = Circuit(OPTIONS, Clock())
    assert [circuit.failed(), circuit.failed()] == [False, False]
    circuit.succeeded()
    assert [circuit.failed(), circuit.failed(), circuit.failed()] == [False, False, True]
    assert circuit.open
    assert not circuit.allows()
    assert not circuit.failed()  # one that was under way


def test_failures_that_lie_far_apart_do_not_open_it() -> None:
    clock = Clock()
    circuit = Circuit(OPTIONS, clock)
    for _ in range(20):
        assert not circuit.failed()
        clock.now += 6
    assert circuit.allows()


def test_one_probe_passes_after_the_rest_and_decides() -> None:
    clock = Clock()
    circuit = Circuit(OPTIONS, clock)
    for _ in range(3):
        circuit.failed()
    clock.now += 4.9
    assert not circuit.allows()
    clock.now += 0.2
    assert [circuit.allows(), circuit.allows()] == [True, False]
    circuit.failed()
    clock.now += 4.9
    assert not circuit.allows()  # it rests anew
    clock.now += 0.2
    assert circuit.allows()
    assert circuit.succeeded()
    assert not circuit.open
    assert [circuit.allows(), circuit.allows()] == [True, True]
    assert [circuit.failed(), circuit.failed(), circuit.failed()] == [False, False, True]


def test_a_probe_that_never_comes_back_makes_way_for_another() -> None:
    clock = Clock()
    circuit = Circuit(OPTIONS, clock)
    for _ in range(3):
        circuit.failed()
    clock.now += 5
    assert circuit.allows()
    clock.now += 5
    assert circuit.allows()


def test_with_0_failures_it_never_opens() -> None:
    circuit = Circuit(CircuitOptions(failures=0), Clock())
    assert not any(circuit.failed() for _ in range(100))
    assert circuit.allows()
