"""What an operator sees: logs, metrics and the lines at the start."""
