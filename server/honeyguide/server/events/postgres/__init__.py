"""Keeps events in PostgreSQL, where several servers share their users."""
