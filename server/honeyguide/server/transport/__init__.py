"""How calls arrive: each transport binds a port, carries the services, and stops without a failed call."""
