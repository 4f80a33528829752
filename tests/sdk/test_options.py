import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.options import OptionRow, describe_options
from honeyguide.training.fit.options import FitOptions

RANGE = re.compile(r"or more|above|below|at most|\d[–-]|From \d|\d to \d|As ``|0 is|: 0 ")


@dataclass(frozen=True)
class Wide:
    width: int = 64
    """Cells of a layer,
    1 or more."""
    bare: float = 0.5


@dataclass(frozen=True)
class Deep(Wide):
    sizes: tuple[int, ...] = (1, 2)
    """Layers."""


def test_each_field_is_described_by_its_type_default_and_docstring() -> None:
    assert describe_options(Deep, {"width": 8}) == [
        OptionRow("width", "int", 8, "Cells of a layer, 1 or more."),
        OptionRow("bare", "float", 0.5, ""),
        OptionRow("sizes", "tuple[int, ...]", (1, 2), "Layers."),
    ]


def test_a_class_without_source_is_described_without_words() -> None:
    made: dict[str, type] = {}
    exec("from dataclasses import dataclass\n@dataclass\nclass Made:\n    size: int = 1\n    'lost'", made)
    assert describe_options(made["Made"]) == [OptionRow("size", "int", 1, "")]


def classes() -> Mapping[str, type]:
    host = PluginHost.load()
    found = {**host.models, **host.rules}
    return {name: cls.Config for name, cls in found.items()} | {"training": FitOptions}


@pytest.mark.parametrize("name", classes())
def test_every_option_says_what_it_means_and_a_number_its_range(name: str) -> None:
    for row in describe_options(classes()[name]):
        assert row.meaning.endswith("."), row
        if row.type in ("int", "float"):
            assert RANGE.search(row.meaning), row
