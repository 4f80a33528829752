"""Measures serving beside its ceilings and its peers, in one run and in turn."""
