"""`prepare` and `train` agree on what can be trained: `splits.check_trainable` and the training batches."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide import training
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset import Dataset
from honeyguide.training.fit.batches import TrainingBatches


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=25),
    st.sampled_from(["leave-one-out", "global-time", "random"]),
    st.booleans(),
)
def test_what_is_accepted_can_be_trained_and_what_is_refused_cannot(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]], split: str, timed: bool
) -> None:
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.csv").write_text("user_id,item_id,t\n" + "".join(f"{u},{i},{1e9 + t:.0f}\n" for u, i, t in rows))
    options = {"split": split, "repeats": "yes"} | ({"time": "t"} if timed or split == "global-time" else {})
    refused = ""
    try:
        training.prepare(folder / "log.csv", out=folder / "data", **options)  # type: ignore[arg-type]
    except DataError as error:
        refused = str(error)
    if refused:
        if "--no-trainable" not in refused:
            return  # the cuts of a global-time split leave a part empty
        training.prepare(folder / "log.csv", out=folder / "data", trainable=False, **options)  # type: ignore[arg-type]
    data = Dataset.open(folder / "data")
    cls = PluginHost.load().model("cf")
    failed = ""
    try:
        data.evaluation("validation")
        data.evaluation("test")
        TrainingBatches(cls(cls.Config(), data.spec), data.training(), tokens=64, seed=0)
    except DataError as error:
        failed = str(error)
    assert bool(refused) == bool(failed), f"{refused} | {failed}"
