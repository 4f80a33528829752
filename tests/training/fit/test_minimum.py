from pathlib import Path

import pytest

from honeyguide import training
from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset import Dataset
from honeyguide.training.fit.minimum import check_minimum, check_validated

DAY = 86_400


def prepared(folder: Path, events: int, *, time: bool = True, days: int = 1, **options: str) -> Dataset:
    """Prepares nine users with as many events each, one a day; their days differ by hours."""
    log = folder / "log.csv"
    rows = [f"u{u},i{(u + e) % 5},{u * 9_000 + e * days * DAY}" for u in range(9) for e in range(events)]
    log.write_text("user_id,item_id,t\n" + "\n".join(rows) + "\n")
    times = {"time": "t"} if time else {}
    return training.prepare(log, out=folder / "data", force=True, **times, **options)


def test_four_events_a_user_are_enough_to_leave_one_out(tmp_path: Path) -> None:
    check_minimum(prepared(tmp_path, 4))


@pytest.mark.parametrize("time", [True, False])
def test_three_events_a_user_need_another_split(tmp_path: Path, time: bool) -> None:
    with pytest.raises(DataError, match=r"two baskets of training events.*\n.*--split random") as raised:
        check_minimum(prepared(tmp_path, 3, time=time))
    assert ("--split global-time" in str(raised.value)) == time
    if time:
        check_minimum(prepared(tmp_path, 3, split="global-time"))


def test_events_at_one_time_are_one_basket(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two baskets"):
        check_minimum(prepared(tmp_path, 9, days=0))


def test_two_events_a_user_leave_nobody_to_validate_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'data' has nobody to validate on.*\n.*--split global-time"):
        check_validated(prepared(tmp_path, 2))
    with pytest.raises(DataError, match="nobody to validate on"):
        training.train("cf", tmp_path / "data", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
