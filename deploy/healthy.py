"""Asks the server of this container whether it answers; the exit code is 0 where it does.

The address is HONEYGUIDE_HEALTH_TARGET, by default the port of HONEYGUIDE_PORT on loopback. With TLS, name the file of
authorities in HONEYGUIDE_HEALTH_CA.
"""

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 2.0


def main() -> int:
    """Returns the exit code."""
    target = os.environ.get("HONEYGUIDE_HEALTH_TARGET", f"127.0.0.1:{os.environ.get('HONEYGUIDE_PORT', '50051')}")
    if authorities := os.environ.get("HONEYGUIDE_HEALTH_CA"):
        credentials = grpc.ssl_channel_credentials(Path(authorities).read_bytes())
        channel = grpc.secure_channel(target, credentials, (("grpc.ssl_target_name_override", "localhost"),))
    else:
        channel = grpc.insecure_channel(target)
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            print(f"{target}: {error.code().name}", file=sys.stderr)
            return 1
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        print(f"{target}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
