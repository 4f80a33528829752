from honeyguide import sdk

FROZEN = [
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
"""What plugins are written against. A name that goes breaks them: it takes a new API_VERSION and a changelog line."""


def test_the_public_names_are_frozen():
    assert sdk.__all__ == FROZEN
    assert all(hasattr(sdk, name) for name in FROZEN)


def test_the_api_version_is_frozen():
    assert sdk.API_VERSION == 1
