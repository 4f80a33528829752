"""The least that grpc.aio costs: a method that answers with nothing.

python aio.py PORT
"""

import asyncio
import sys

import grpc


async def nothing(request, context):
    return b""


async def main():
    server = grpc.aio.server()
    handlers = {"Nothing": grpc.unary_unary_rpc_method_handler(nothing)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Bench", handlers)])
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
