from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.reading import decoding
from honeyguide.training.reading.decoding import decoded_blocks


def decoded(folder: Path, data: bytes, encoding: str = "utf-8") -> bytes:
    path = folder / "log.csv"
    path.write_bytes(data)
    return b"".join(decoded_blocks(path, encoding, "", lambda _: None))


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 19])
def test_lines_end_in_lf_whatever_they_ended_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(decoding, "BLOCK", size)
    for end in (b"\n", b"\r\n", b"\r"):
        assert decoded(tmp_path, end.join([b"a", b"", b"b", b""])) == b"a\n\nb\n"
    assert decoded(tmp_path, b"a\nb\rc\n") == b"a\nb\rc\n"  # one CR among LF is a character
    assert decoded(tmp_path, "é\r\nü".encode("utf-16"), "utf-16") == "é\nü".encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"a\nb\xe9", "row 2: byte 0xe9 is not utf-8"), (b"a\nb\0", "row 2: .* NUL"), (b"a\n\0\xe9", "row 2: .* NUL")],
)
def test_what_is_no_text_is_named_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, said: str
) -> None:
    for size in (1, 1 << 19):
        monkeypatch.setattr(decoding, "BLOCK", size)
        with pytest.raises(DataError, match=said):
            decoded(tmp_path, data)


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="klingon"):
        decoded(tmp_path, b"u", "klingon")
