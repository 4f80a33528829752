"""Does to real servers what goes wrong in the world, and says what became of it: see `__main__.py`."""
