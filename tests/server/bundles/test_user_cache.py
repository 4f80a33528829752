import numpy as np

from honeyguide.server.bundles.user_cache import ReadUser, VectorCache


def user(number: int) -> ReadUser:
    return ReadUser(b"", number, np.zeros(2, np.float32), np.zeros(0, np.float32))


def test_whoever_was_asked_for_longest_ago_makes_room() -> None:
    cache = VectorCache(2)
    cache.put("anna", user(1))
    cache.put("ben", user(2))
    assert cache.get(["anna", None, "nobody"])[1:] == [None, None]
    cache.put("cleo", user(3))
    assert [kept and kept.count for kept in cache.get(["anna", "ben", "cleo"])] == [1, None, 3]
    cache.forget("anna")
    cache.forget("nobody")
    assert (len(cache), cache.on) == (1, True)


def test_a_cache_of_nobody_keeps_nobody() -> None:
    cache = VectorCache(0)
    cache.put("anna", user(1))
    assert (cache.get(["anna"]), len(cache), cache.on) == ([None], 0, False)
