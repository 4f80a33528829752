"""Quality of recommendations on public data: every row trained, exported and asked over gRPC."""
