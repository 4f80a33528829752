"""What takes long is done where it holds up nobody who answers."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref

import pytest

from honeyguide.server.bundles.background import in_background, retire


class Bundle:
    """Something that can be referred to weakly."""


def priority() -> tuple[int, int]:
    """Returns number and niceness of the thread that asks."""
    number = threading.get_native_id()
    return number, os.getpriority(os.PRIO_PROCESS, number)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_only_the_thread_that_works_makes_way() -> None:
    own = priority()
    working, ordinary = in_background(priority), in_background(priority, quiet=False)
    assert working[0] != own[0]
    assert working[1] > own[1] == ordinary[1]
    assert priority() == own


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0)


def test_what_is_retired_is_freed_when_nobody_uses_it_and_not_by_who_used_it_last() -> None:
    bundle = Bundle()
    freed_by: list[str] = []
    weakref.finalize(bundle, lambda: freed_by.append(threading.current_thread().name))
    retire(bundle)
    time.sleep(0.1)
    assert not freed_by  # a batch computes with it
    del bundle
    until = time.monotonic() + 5
    while not freed_by and time.monotonic() < until:
        time.sleep(0.01)
    assert freed_by == ["honeyguide-retire"]
