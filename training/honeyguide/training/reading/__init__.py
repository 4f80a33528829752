"""From files of many kinds to tables: decoding, quotes, rows and lines, one table over several files."""
