from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset import Dataset
from honeyguide.training.preparation.assembly import make_dataset
from honeyguide.training.preparation.options import PrepareOptions

OPTIONS = PrepareOptions(trainable=False)


def test_every_event_is_read_and_kept_or_dropped_with_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id\nu,a\nu,b\nu,\nv,a\nu,c\n")
    words: list[str] = []
    data = make_dataset([str(log)], OPTIONS, tmp_path / "data", force=False, progress=words.append)
    report = data.report
    assert report["read"] == report["kept"] + sum(dropped["events"] for dropped in report["dropped"]) == 5
    assert data.events["split"].to_list() == [0, 1, 2, 0]
    assert words[-4:] == ["sorting", "filtering", "splitting", "writing"]
    assert data.folder == tmp_path / "data"
    assert Dataset.open(tmp_path / "data").spec == data.spec


def test_most_rows_lost_are_warned_of_but_not_those_that_were_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,kind\nu,a,x\n,b,x\n,c,x\nu,d,y\nu,e,y\nu,f,y\n")

    def warned(**options: object) -> list[str]:
        chosen = PrepareOptions(trainable=False, **options)  # type: ignore[arg-type]
        data = make_dataset([str(log)], chosen, tmp_path / "data", force=True, progress=lambda _: None)
        return [text for text in data.report["warnings"] if "more than half" in text]

    assert warned() == warned(where=("kind = y",)) == []
    log.write_text(log.read_text() + ",g,x\n,h,x\n,i,x\n")
    assert warned() == ["5 of 9 rows could not be used, more than half: see the reasons"]


def test_where_nobody_is_left_it_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id\nu,\nu,\n")
    with pytest.raises(DataError, match="no user is left: of 2 rows were dropped 2 × missing item"):
        make_dataset([str(log)], OPTIONS, tmp_path / "data", force=False, progress=lambda _: None)
    assert not (tmp_path / "data").exists()
