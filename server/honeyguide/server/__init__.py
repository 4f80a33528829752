"""Serves bundles: histories in, ranked items out, over gRPC or in this process, and never torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honeyguide.sdk.host import PluginHost
    from honeyguide.server.local.recommender import LocalRecommender

__all__ = ["open_repository"]


def open_repository(
    repository: str | os.PathLike[str] = "models",
    *,
    events: str | os.PathLike[str] | None = None,
    pipelines: Mapping[str, Mapping[str, Any]] | None = None,
    plugins: PluginHost | None = None,
    **settings: Any,
) -> LocalRecommender:
    """Opens a repository of bundles in this process: what a server answers, without a network.

        with open_repository("models") as recommender:
            for item in recommender.recommend("user-7", k=5):
                print(item.item_id, item.title, item.score)

    Args:
        repository: folder of the bundles.
        events: SQLite file of the users' events, made when missing; None: every request brings its history.
        pipelines: by name, each as in the server's settings: ``{"plain": {"model": "cf", "rank": False}}``. None: one
            for each model.
        plugins: None: all that are installed.
        settings: others of the server's, by name: ``default_pipeline``, ``max_batch_rows``, ``state_cache_users``,
            ``strict_plugins``, ``threads``. The environment is not read.

    Raises `ConfigError` where there is no repository or a setting is wrong; both before anything heavy is loaded.
    """
    from honeyguide.server.bundles.folder import check_folder
    from honeyguide.server.settings import make_settings

    if events is not None:
        settings["events"] = Path(events)
    checked = make_settings(repository=Path(repository), pipelines=dict(pipelines or {}), **settings)
    check_folder(checked.repository)
    from honeyguide.server.local.recommender import LocalRecommender

    return LocalRecommender(checked, plugins, with_events=events is not None)
