"""What plugins are written against: the contract, the histories and items they get, the hooks they implement."""

from honeyguide.sdk.capabilities import Explains, Observes, PlacesItems, Ranks, Relates, Scores, Steps
from honeyguide.sdk.data import DataSpec, FeatureScaler, ItemColumn
from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.hooks import RegisterModel, RegisterRule, hookimpl
from honeyguide.sdk.items import Categories, ItemTable
from honeyguide.sdk.model import API_VERSION, Arrays, Model, Network, TensorSpec
from honeyguide.sdk.rule import RankedCandidates, Rule

__all__ = [
    "API_VERSION",
    "Arrays",
    "Categories",
    "DataSpec",
    "Explains",
    "FeatureScaler",
    "HistoryBatch",
    "ItemColumn",
    "ItemTable",
    "Model",
    "Network",
    "Observes",
    "PlacesItems",
    "RankedCandidates",
    "Ranks",
    "RegisterModel",
    "RegisterRule",
    "Relates",
    "Rule",
    "Scores",
    "Steps",
    "TensorSpec",
    "hookimpl",
]
