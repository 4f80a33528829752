"""How a batch of requests is answered: retrieve, rank, rules."""
