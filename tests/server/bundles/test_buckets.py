from pathlib import Path

import numpy as np
import pytest

from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.buckets import by_length
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([7], [([0], 7)]),
        ([200, 150, 101], [([0, 1, 2], 200)]),  # nobody is half as long
        ([5, 200, 100, 5], [([1], 200), ([2], 100), ([0, 3], 5)]),
        ([40, 1], [([0, 1], 40)]),  # 39 positions are not worth a run
        ([40, 1, 1], [([0], 40), ([1, 2], 1)]),
        ([3, 200, 4, 180, 90], [([1, 3], 200), ([4], 90), ([0, 2], 4)]),
    ],
)
def test_users_of_like_length_are_together(lengths: list[int], expected: list[tuple[list[int], int]]) -> None:
    assert [(users.tolist(), length) for users, length in by_length(np.array(lengths))] == expected


def test_everybody_is_in_one_bucket_that_is_long_enough() -> None:
    lengths = np.random.default_rng(0).geometric(0.02, 500)
    groups = by_length(lengths)
    assert len(groups) > 3
    assert np.array_equal(np.sort(np.concatenate([users for users, _ in groups])), np.arange(500))
    for users, length in groups:
        assert lengths[users].max() == length


def test_short_and_long_histories_of_one_batch_are_read_as_alone(shared_repository: Path, host: PluginHost) -> None:
    bundle = load_bundle(shared_repository / "tiny" / "1", host, Runtime(1, 1))
    assert isinstance(bundle, RetrievingBundle)
    longest = bundle.manifest.max_length
    lengths = [1, longest, 2] + [3] * (200 // longest) + [longest // 2, 1]
    histories = example_histories(bundle.manifest.data, lengths)
    arrays = bundle.encode(histories)
    assert len(by_length(np.array(lengths))) > 1
    vectors, states = bundle.read(arrays)
    assert states.shape[1] > 0
    for user in range(len(lengths)):
        alone = bundle.read(bundle.encode(histories.take(np.array([user]))))
        np.testing.assert_allclose(vectors[user], alone[0][0], atol=1e-5)
        np.testing.assert_allclose(states[user], alone[1][0], atol=1e-5)
