"""The least that the native front costs: two threads that answer all waiting calls with nothing.

python native.py PORT
"""

import signal
import sys
import threading

from pygrpc_native import EVENT_CALL, NativeGrpcFront

front = NativeGrpcFront(f"127.0.0.1:{sys.argv[1]}", [("/bench.Bench/Nothing", False)], io_threads=1)
front.start()


def answer():
    while (events := front.recv_batch(64)) is not None:
        for event in events:
            if event[0] == EVENT_CALL:
                front.respond(event[1], b"")


for _ in range(2):
    threading.Thread(target=answer, daemon=True).start()
signal.sigwait({signal.SIGTERM, signal.SIGINT})
