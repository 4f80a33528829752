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
    cold_items: str | os.PathLike[str] | None = None,
    pipelines: Mapping[str, Mapping[str, Any]] | None = None,
    default_pipeline: str = "",
    max_batch_rows: int | None = None,
    state_cache_users: int | None = None,
    threads: int | None = None,
    strict_plugins: bool = False,
    trusted_keys: str | os.PathLike[str] | None = None,
    require_signature: bool = False,
    plugins: PluginHost | None = None,
) -> LocalRecommender:
    """Opens a repository of bundles in this process: what a server answers, without a network.

        with open_repository("models") as recommender:
            for item in recommender.recommend("user-7", k=5):
                print(item.item_id, item.title, item.score)

    The keywords are the server's settings of the same names; the environment is not read.

    Args:
        repository: folder of the bundles.
        events: SQLite file of the users' events, made when missing, or ``postgresql://…``; None: every request brings
            its history.
        cold_items: SQLite file of the items that were added to a server; None: there are none.
        pipelines: by name, each as in the settings: ``{"plain": {"model": "cf", "rank": False}}``; None: one for each
            model.
        default_pipeline: answers requests that name none; "": the only or first one.
        max_batch_rows: users computed at once, 1–4,096; None: the server's default.
        state_cache_users: users whose vectors each model keeps, 0–10,000,000; None: the server's default.
        threads: that compute, 1–1,024; None: one for each core.
        strict_plugins: whether a plugin that does not load is an error.
        trusted_keys: TOML file of the keys whose signatures of bundles are believed.
        require_signature: whether a bundle is used only when one of them has signed it.
        plugins: None: all that are installed.

    Raises `ConfigError` where there is no repository or a keyword is out of its range, before anything heavy is loaded.
    """
    from honeyguide.server.bundles.folder import check_folder
    from honeyguide.server.settings import make_settings

    optional = {
        "events": None if events is None else os.fspath(events),
        "cold_items": None if cold_items is None else Path(cold_items),
        "max_batch_rows": max_batch_rows,
        "state_cache_users": state_cache_users,
        "threads": threads,
        "trusted_keys": None if trusted_keys is None else Path(trusted_keys),
    }
    settings = make_settings(
        repository=Path(repository),
        pipelines=dict(pipelines or {}),
        default_pipeline=default_pipeline,
        strict_plugins=strict_plugins,
        require_signature=require_signature,
        **{name: value for name, value in optional.items() if value is not None},
    )
    check_folder(settings.repository)

    import structlog

    from honeyguide.server.ops.logs import configure_logs

    if not structlog.is_configured():  # else its lines would go to standard output, among the program's own
        configure_logs("warning")
    from honeyguide.server.local.recommender import LocalRecommender

    return LocalRecommender(settings, plugins, with_events=events is not None, with_cold_items=cold_items is not None)
