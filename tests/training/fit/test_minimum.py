from pathlib import Path

import pytest

from honeyguide import training
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset import Dataset
from honeyguide.training.fit.batches import TrainingBatches
from honeyguide.training.fit.minimum import check_validated

DAY = 86_400


def prepared(folder: Path, events: int, *, time: bool = True, **options: str) -> Dataset:
    """Prepares nine users with as many events each, one a day; their days differ by hours."""
    log = folder / "log.csv"
    rows = [f"u{u},i{(u + e) % 5},{u * 9_000 + e * DAY}" for u in range(9) for e in range(events)]
    log.write_text("user_id,item_id,t\n" + "\n".join(rows) + "\n")
    times = {"time": "t"} if time else {}
    return training.prepare(log, out=folder / "data", force=True, trainable=False, **times, **options)


@pytest.mark.parametrize("time", [True, False])
def test_too_short_histories_are_told_with_a_split_that_leaves_them_something(tmp_path: Path, time: bool) -> None:
    with pytest.raises(DataError, match=r"two baskets of training events.*\n.*--split random") as raised:
        training.train("cf", prepared(tmp_path, 3, time=time), out=tmp_path / "run")
    assert ("--split global-time" in str(raised.value)) == time
    for split in ("global-time", "random") if time else ("random",):
        data = prepared(tmp_path, 3, time=time, split=split)
        check_validated(data)
        model = PluginHost.load().build("cf", {}, data.spec)
        assert TrainingBatches(model, data.training(), tokens=64, seed=0).positions


def test_two_events_a_user_leave_nobody_to_validate_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'data' has nobody to validate on.*\n.*--split global-time"):
        training.train("cf", prepared(tmp_path, 2), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
