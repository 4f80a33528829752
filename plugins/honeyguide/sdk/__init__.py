"""Holds what plugins are written against: the contract, the hooks, the manifest, the metrics, the errors."""

from honeyguide.sdk.config import config_from, config_to
from honeyguide.sdk.data import DataSpec, FeatureScaler
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.hooks import hookimpl
from honeyguide.sdk.host import PluginHost, PluginInfo
from honeyguide.sdk.items import Categories, ItemTable
from honeyguide.sdk.manifest import IndexInfo, Manifest, read_manifest, verify
from honeyguide.sdk.model import API_VERSION, Arrays, Model, Network, TensorSpec
from honeyguide.sdk.rule import Ranking, Rule

__all__ = [
    "API_VERSION",
    "Arrays",
    "Categories",
    "DataSpec",
    "EvaluationSet",
    "FeatureScaler",
    "HistoryBatch",
    "IndexInfo",
    "ItemTable",
    "Manifest",
    "Model",
    "Network",
    "PluginHost",
    "PluginInfo",
    "Ranking",
    "Rule",
    "TensorSpec",
    "config_from",
    "config_to",
    "hookimpl",
    "read_manifest",
    "verify",
]
