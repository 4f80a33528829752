"""Runs the kit on models that are wrong on purpose: the check that should catches them, and none before it does.

The checks are those of `encoding.py`, `capabilities.py`, `network.py`, `observing.py`, `learning.py`, `exporting.py`
and `serving.py`; on models that are right, ../test_builtin_models.py runs them.
"""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from honeyguide.conformance.kit import Check, checks
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.errors import ConformanceError, PluginError
from honeyguide.sdk.host import PluginHost

pytestmark = pytest.mark.slow(12)

CHECKS = {check.name: check for check in checks()}


@pytest.fixture(scope="module")
def wrong_host() -> Iterator[PluginHost]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "wrong")
        modules = ("wrong_models", "torch_at_import")
        yield PluginHost.load([EntryPoint(name, name, "honeyguide.plugins") for name in modules], strict=True)


def before(name: str) -> list[Check]:
    return checks()[: list(CHECKS).index(name)]


@pytest.mark.parametrize(
    ("model", "caught_by", "message"),
    [
        ("torch_at_import", "serving_loads_no_heavy_library", r"importing torch_at_import loads torch.*inside network"),
        ("changes_its_input", "encoding_changes_no_input", r"encode changes items .*work on a copy"),
        ("keeps_a_buffer", "eight_threads_equal_one", r"keep nothing between calls"),
        (
            "nan_for_short",
            "scores_are_finite",
            r"not finite for a history of one event .*division by the length less one",
        ),
        ("batch_mates", "batch_equals_singles", r"depends on a user's batch-mates .*nothing over the batch axis"),
        ("padding_counts", "padding_changes_nothing", r"when padding is added on its left .*mask what belongs"),
        ("returns_padding", "padding_is_never_returned", r"\(25, 16\) for a catalogue of 24 items.*leave out row 0"),
        ("scores_padding", "padding_is_never_returned", r"\(2, 25\) for 2 users .*leave out column 0, which is PAD"),
        ("neighbour_of_itself", "neighbours_are_others", r"returned an item among its own neighbours"),
        ("sees_the_future", "no_position_sees_the_future", r"in training it sees its own target; mask attention"),
        ("gets_past_its_mask", "what_is_masked_stays_masked", r"below the best score of its row by a fixed amount"),
        ("places_by_the_others", "items_are_placed", r"place gives an item another vector where it stands alone"),
        ("adds_up", "observing_starts_anew", r"called with other data in between .*`self\.counts\.zero_\(\)`"),
        ("keeps_outside_of_buffers", "observing_starts_anew", r"loaded into a new network .*keep .* in buffers"),
        (
            "grows_a_buffer",
            "observing_starts_anew",
            r"'added' .* \(24, 1\) in a new network and \(24, 16\) in one",
        ),
        ("changes_its_items", "observing_starts_anew", r"observe changes number of what it is shown .*work on a copy"),
        (
            "divides_by_the_known",
            "observing_starts_anew",
            r"finite after observing items of which nothing is known",
        ),
        ("learns_nothing", "the_checkerboard_is_learnt", r"NDCG@10 is 0\.\d\d .*parameters that get no gradient"),
        ("frozen_length", "axes_are_free", r"fixes axis 'length' of 'tokens' to 5; .*a Python loop over it"),
    ],
)
def test_a_wrong_model_is_caught_by_its_check(wrong_host: PluginHost, model: str, caught_by: str, message: str) -> None:
    with Subject(model, wrong_host) as subject:
        for check in before(caught_by):
            assert isinstance(check(subject), str)
        with pytest.raises(ConformanceError, match=message):
            CHECKS[caught_by](subject)


@pytest.mark.parametrize("model", ["sound", "observing", "scoring"])
def test_what_the_wrong_models_share_is_right(wrong_host: PluginHost, model: str) -> None:
    with Subject(model, wrong_host) as subject:
        for check in checks()[:-1]:  # the last one only serves what the one before exported
            assert isinstance(check(subject), str)


def test_an_error_of_the_model_itself_is_told_as_such(wrong_host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_host.model("sound"), "encode", lambda self, batch: 1 / 0)
    with Subject("sound", wrong_host) as subject, pytest.raises(ConformanceError) as caught:
        CHECKS["scores_are_finite"](subject)
    assert "model 'sound' raised ZeroDivisionError: division by zero" in caught.value.message
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_plugin_that_did_not_load_is_named_with_the_reason() -> None:
    host = PluginHost.load([EntryPoint("lost", "no_such_module", "honeyguide.plugins")])
    with pytest.raises(PluginError, match="'lost' did not load: ModuleNotFoundError"):
        Subject("lost", host)
    with pytest.raises(PluginError, match="no installed plugin offers model 'other'; there are: none"):
        Subject("other", host)


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_a_check_says_in_one_sentence_what_holds(check: Check) -> None:
    assert check.sentence.endswith(".")
    assert len(check.sentence) < 120
