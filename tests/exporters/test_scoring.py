"""A network that scores the whole catalogue is exported without vectors, up to a size (`bundle.py`)."""

from pathlib import Path

import pytest
from bundles import make_bundle
from tiny_scores import TinyScores, TinyStrangers

from honeyguide.sdk.errors import ExportError


def test_too_large_a_catalogue_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.exporters.bundle._MOST_SCORED", 50)
    with pytest.raises(ExportError, match=r"scores the whole catalogue .*60 items; allowed: at most 50; take a model"):
        make_bundle(tmp_path, model=TinyStrangers)
    assert not (tmp_path / "tiny").exists()


def test_scores_of_another_shape_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = TinyScores.network

    def narrow(self: TinyScores) -> object:
        made = network(self)
        scores = made.scores  # type: ignore[attr-defined]  # of the network's
        made.scores = lambda batch: scores(batch)[:, :-1]  # type: ignore[assignment]  # any callable
        return made

    monkeypatch.setattr(TinyScores, "network", narrow)
    with pytest.raises(ExportError, match=r"scores\(\) of model .tiny_scores. returned shape \(\d+, 59\)"):
        make_bundle(tmp_path, model=TinyScores)
