"""How browsers and plain HTTP clients call: the rpcs as JSON, Connect and gRPC-Web on a port of their own."""
