import pytest

from honeyguide.sdk.scrub import without_paths


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("/srv/models/tiny/2 is broken", "<path> is broken"),
        ("cannot read '/home/anna b/events.db': denied", "cannot read '<path>': denied"),
        (r"C:\data\shop\items.parquet: no such file", "<path>: no such file"),
        ("tiny/2: file user.onnx was changed", "tiny/2: file user.onnx was changed"),
        ("3/4 of a batch, and/or none", "3/4 of a batch, and/or none"),
    ],
)
def test_absolute_paths_leave_and_all_else_stays(message: str, expected: str) -> None:
    assert without_paths(message) == expected
