import numpy as np
import pytest
from rankings import ranking

from honeyguide.rules.seen import Seen
from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import PluginHost


def apply(histories, rows, **options) -> list[list[int]]:
    scores = np.where(np.asarray(rows) >= 0, -np.arange(np.shape(rows)[1]), -np.inf)
    return Seen(Seen.Config(**options)).apply(ranking(scores, np.eye(6), rows, histories=histories), 2).tolist()


def test_items_of_the_history_are_dropped_and_the_others_keep_their_order():
    assert apply([[2, 5, 2]], [[5, 1, 2, 0]]) == [[-1, 1, -1, 3]]


def test_each_user_has_a_history_of_their_own():
    assert apply([[0], [], [1, 0]], [[0, 1], [0, 1], [0, 1]]) == [[-1, 1], [0, 1], [-1, -1]]


def test_only_the_newest_events_count_where_asked():
    # Oldest first: 4 was bought long ago, and 1 again just now.
    assert apply([[1, 4, 3, 1]], [[1, 3, 4]], newest=2) == [[-1, -1, 2]]
    assert apply([[1, 4, 3, 1]], [[1, 3, 4]], newest=99) == [[-1, -1, -1]]


def test_places_without_an_item_are_dropped_whoever_stands_before():
    # Row -1 of user 1 must not read as the last item of user 0.
    assert apply([[5], [0]], [[5, 1], [1, -1]]) == [[-1, 1], [0, -1]]


def test_more_than_k_are_left_for_the_rules_behind():
    assert apply([[]], [[0, 1, 2, 3]]) == [[0, 1, 2, 3]]


def test_a_negative_count_is_refused():
    with pytest.raises(ConfigError, match="newest is -1; it must be 0"):
        config_from(Seen.Config, {"newest": -1})


def test_the_rule_is_found_by_its_name(host: PluginHost):
    assert host.rule("seen") is Seen
