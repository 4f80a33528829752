"""Nothing is written down of calls unless a file is named; see `records.py`."""

from honeyguide.server.settings.records import RecordSettings


def test_no_file_is_written_by_default() -> None:
    assert RecordSettings() == RecordSettings(audit_log=None, log_key=None)
