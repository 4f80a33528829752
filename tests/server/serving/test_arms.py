"""Users are split in proportion to the shares, stay where they are, and move no more than a change makes them."""

from __future__ import annotations

from collections import Counter

import pytest

from honeyguide.server.serving.arms import Arms, Shares

USERS = [f"user-{n}" for n in range(20_000)]


def drawn(shares: dict[str, float], pipeline: str = "home") -> list[str]:
    arms = Arms(pipeline, Shares(shares))
    return [arms.draw(user) for user in USERS]


def test_each_arm_gets_its_share() -> None:
    counts = Counter(drawn({"next": 10.0, "night": 0.5}))
    assert counts["home"] / len(USERS) == pytest.approx(0.895, abs=0.01)
    assert counts["next"] / len(USERS) == pytest.approx(0.1, abs=0.01)
    assert counts["night"] / len(USERS) == pytest.approx(0.005, abs=0.002)


def test_the_draw_is_the_same_on_every_server_forever() -> None:
    assert Counter(drawn({"next": 10.0}))["next"] == 1949  # another hash would move users


def test_a_change_moves_hardly_more_users_than_it_must() -> None:
    before, after = drawn({"next": 10.0, "night": 5.0}), drawn({"next": 20.0, "night": 5.0})
    moves = Counter((a, b) for a, b in zip(before, after, strict=True) if a != b)
    assert all(left == "home" or came == "next" for left, came in moves)
    assert 0.09 < moves.total() / len(USERS) < 0.12
    back = zip(drawn({"next": 20.0}), drawn({"next": 10.0}), strict=True)
    assert {(a, b) for a, b in back if a != b} == {("next", "home")}


def test_pipelines_are_drawn_for_apart() -> None:
    together = sum(a == b == "next" for a, b in zip(drawn({"next": 50.0}), drawn({"next": 50.0}, "cart"), strict=True))
    assert together / len(USERS) == pytest.approx(0.25, abs=0.02)


def test_all_users_or_none_may_go_to_an_arm() -> None:
    assert set(drawn({"next": 100.0})) == {"next"}
    assert Arms("home", Shares({"next": 100.0})).splits
    assert set(drawn({})) == {"home"}
    assert not Arms("home", Shares(shadows=("next",))).splits


def test_propensities_are_the_shares() -> None:
    arms = Arms("home", Shares({"next": 10.0, "night": 15.0}))
    assert [arms.propensity(arm) for arm in ("home", "next", "night", "other")] == [0.75, 0.1, 0.15, 0.0]
