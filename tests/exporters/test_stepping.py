"""Recurrences with a known closed form, sound and broken; most graphs here are plain numpy, so that nothing waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from bundles import evaluation_set, make_bundle
from torch import nn

from honeyguide.exporters.forward import open_session
from honeyguide.exporters.stepping import prove_steps
from honeyguide.sdk import DataSpec, HistoryBatch, Model, TensorSpec
from honeyguide.sdk.errors import ExportError, PluginError
from honeyguide.sdk.manifest import read_manifest
from honeyguide.sdk.model import last_event

pytestmark = pytest.mark.slow(12)

Fold = Callable[[np.ndarray], np.ndarray]


class Timed(Model):
    """Encodes tokens and, for each request, its moment."""

    name = "timed"

    @dataclass(frozen=True)
    class Config:
        max_length: int = 20

    def inputs(self):
        return (*super().inputs(), TensorSpec("now", "int64", ("batch",)))

    def encode(self, batch):
        now = np.zeros(len(batch), np.int64) if batch.request_times_ms is None else batch.request_times_ms
        return {"tokens": batch.tokens(self.max_length), "now": now}

    def network(self):
        raise NotImplementedError


MODEL = Timed(Timed.Config(), DataSpec(items=60, repeats=False, has_time=True))


def histories() -> HistoryBatch:
    whole = evaluation_set(60).histories
    return replace(whole, request_times_ms=np.arange(len(whole)) + 5)


def decayed(tokens: np.ndarray) -> np.ndarray:
    """Sums tokens, each event before the newest counting for half as much."""
    return (tokens * 0.5 ** np.arange(tokens.shape[1])[::-1]).sum(1, keepdims=True).astype(np.float32)


def graphs(state: Callable[[dict], np.ndarray], step: Callable[[np.ndarray, dict], np.ndarray]):
    """Makes a user graph and a step graph; the vector is twice the state."""

    def user(inputs):
        return {"user_vector": 2 * state(inputs), "state": state(inputs)}

    def one_more(inputs):
        assert inputs["tokens"].shape == (len(inputs["state"]), 1)
        after = step(inputs["state"], inputs)
        return {"next_state": after, "user_vector": 2 * after}

    return user, one_more


def test_a_sound_recurrence_passes_to_the_last_digit():
    user, step = graphs(lambda x: decayed(x["tokens"]), lambda s, x: 0.5 * s + x["tokens"].astype(np.float32))
    proof = prove_steps(MODEL, user, step, histories())
    assert set(proof) == {"step/state/max_abs_difference", "step/user_vector/max_abs_difference"}
    assert max(proof.values()) < 1e-4


def test_every_length_and_batch_goes_through_the_steps():
    shapes = []

    def spy(inputs):
        shapes.append(inputs["tokens"].shape)
        return decayed(inputs["tokens"])

    user, step = graphs(spy, lambda s, x: 0.5 * s + x["tokens"].astype(np.float32))
    prove_steps(MODEL, user, step, histories())
    assert {(batch, length) for length in (2, 3, 20) for batch in (1, 2, 17)} <= set(shapes)
    assert max(batch for batch, _ in shapes) == (histories().lengths > 1).sum()


@pytest.mark.parametrize(
    ("state", "step", "message"),
    [
        (
            lambda x: decayed(x["tokens"]),
            lambda s, x: s + x["tokens"].astype(np.float32),  # forgets to decay
            r"stepping is not re-encoding .*batch 1 × length 2: user_vector differs by .*more than the events so far",
        ),
        (
            lambda x: decayed(x["tokens"] + 1),  # PAD counts as well
            lambda s, x: 0.5 * s + x["tokens"].astype(np.float32) + 1,
            r"batch 2 × length 20: user_vector differs by .*likely cause: padding changes the state",
        ),
        (
            lambda x: decayed(x["tokens"]) + x["now"][:, None].astype(np.float32),
            lambda s, x: 0.5 * s + x["tokens"].astype(np.float32),
            r"batch 1 × length 2: .*the moment of the request",
        ),
        (
            lambda x: decayed(x["tokens"]),
            lambda s, x: 0.5 * s + x["tokens"].astype(np.float32) * (1 + 3e-6),
            None,  # rounding of float32 is allowed
        ),
        (
            lambda x: decayed(x["tokens"]) / 1e3,
            lambda s, x: 0.5 * s + x["tokens"].astype(np.float32) / 1e3 * (1 + 5e-3),
            r"differs by 0\.000\d+; .*likely cause: float32 rounding that grows",
        ),
        (
            lambda x: decayed(x["tokens"]),
            lambda s, x: np.full_like(s, np.nan),
            r"user_vector differs by nan",
        ),
    ],
)
def test_stepping_must_equal_re_encoding(state, step, message):
    if message is None:
        prove_steps(MODEL, *graphs(state, step), histories())
        return
    with pytest.raises(ExportError, match=message):
        prove_steps(MODEL, *graphs(state, step), histories())


class Sums(nn.Module):
    """Adds up item vectors; its state is its vector."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(items + 1, 8, padding_idx=0)

    def user(self, batch):
        return self.vector(self.state(batch))

    def state(self, batch):
        return self.embedding(batch["tokens"]).sum(1)

    def step(self, state, batch):
        return state + self.embedding(batch["tokens"][:, 0])

    def vector(self, state):
        return state

    def items(self):
        return self.embedding.weight[1:]


class Twice(Sums):
    def step(self, state, batch):
        return super().step(super().step(state, batch), batch)


class OtherUser(Sums):
    def user(self, batch):
        return 2 * super().user(batch)


class Half(nn.Module):
    """Has a state and a vector, and no step."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(items + 1, 8, padding_idx=0)

    state = vector = user = Sums.state
    items = Sums.items


class ThreeAtOnce(Sums):
    def step(self, state, batch):
        return super().step(state.reshape(3, -1), batch)


def model_of(network_class: type[nn.Module]) -> type[Model]:
    class Plain(Model):
        name = "plain"

        @dataclass(frozen=True)
        class Config:
            max_length: int = 20

        def network(self):
            return network_class(self.data.items)

    return Plain


def test_a_state_that_is_the_vector_is_exported(tmp_path: Path):
    make_bundle(tmp_path, model=model_of(Sums))
    folder = tmp_path / "tiny" / "1"
    assert read_manifest(folder).steps
    user, step = open_session(folder / "user.onnx"), open_session(folder / "step.onnx")
    whole = user({"tokens": np.array([[3, 4], [5, 6]])})
    assert set(whole) == {"user_vector", "state"}
    model = model_of(Sums)(None, DataSpec(items=60, repeats=False))
    model.config = Timed.Config()
    event = last_event(model, HistoryBatch.from_lists([[2, 3], [4, 5]]))
    stepped = step({"state": user({"tokens": np.array([[3], [5]])})["state"], **event})
    assert np.allclose(stepped["next_state"], whole["state"], atol=1e-6)
    assert np.allclose(stepped["user_vector"], whole["user_vector"], atol=1e-6)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Twice, r"stepping is not re-encoding .*batch 1 × length 2: user_vector differs by"),
        (OtherUser, r"the exported user_vector is not the network's .*user\(batch\) is not vector\(state\(batch\)\)"),
        (Half, r"the network has state and vector and lacks step; a network that steps has state, step, vector"),
        (ThreeAtOnce, r"step.onnx.*batch"),
    ],
)
def test_a_network_that_steps_wrongly_leaves_no_bundle(network, message, tmp_path: Path):
    with pytest.raises((ExportError, PluginError), match=message):
        make_bundle(tmp_path, model=model_of(network))
    assert not list(tmp_path.glob("tiny/[0-9]*"))


def test_a_network_without_these_methods_is_exported_without_steps(tmp_path: Path):
    class Plain(nn.Module):
        def __init__(self, items):
            super().__init__()
            self.embedding = nn.Embedding(items + 1, 8, padding_idx=0)

        user, items = Sums.state, Sums.items

    manifest = make_bundle(tmp_path, model=model_of(Plain))
    assert (manifest.steps, manifest.explains) == (False, False)
    assert set(manifest.files) == {"index.faiss", "item_vectors.npy", "items.parquet", "user.onnx"}
