from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.sdk.config import config_from, config_to
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import PluginHost


@dataclass(frozen=True)
class Options:
    width: int = 64
    decay: float = 0.5
    name: str = "a"
    deep: bool = False
    sizes: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width is {self.width}; it must be 1 or more")


def test_text_is_parsed_by_the_field_s_type():
    assert config_from(Options, {"decay": ".5"}).decay == 0.5
    options = {"width": "8", "decay": "1e-3", "name": "8", "deep": "True", "sizes": "3,4,5"}
    assert config_from(Options, options) == Options(8, 0.001, "8", True, (3, 4, 5))


def test_what_is_left_out_keeps_its_default():
    assert config_from(Options, {}) == Options()
    assert config_from(Options, {"decay": 1}).decay == 1.0
    assert config_from(Options, {"sizes": ""}).sizes == ()


@given(
    st.builds(
        Options,
        st.integers(1, 10**6),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
        st.booleans(),
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1)).map(tuple),
    )
)
def test_json_form_comes_back_as_it_was(config):
    plain = config_to(config)
    assert isinstance(plain["sizes"], list)
    assert config_from(Options, plain) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widht": 1}, "unknown option 'widht'; there are: decay, deep, name, sizes, width"),
        ({"width": "wide"}, "option 'width' is 'wide'; it must be a whole number"),
        ({"width": "1.5"}, "option 'width' is '1.5'; it must be a whole number"),
        ({"width": 1.5}, "option 'width' is 1.5; it must be a whole number"),
        ({"width": True}, "option 'width' is True; it must be a whole number"),
        ({"decay": "true"}, "option 'decay' is 'true'; it must be a number"),
        ({"decay": "fast"}, "option 'decay' is 'fast'; it must be a number"),
        ({"deep": "yes"}, "option 'deep' is 'yes'; it must be true or false"),
        ({"name": 3}, "option 'name' is 3; it must be text"),
        ({"sizes": "1,x"}, "option 'sizes' is 'x'; it must be a whole number"),
        ({"sizes": 3}, "option 'sizes' is 3; it must be"),
        ({"width": 0, "name": "[x]"}, "options are refused (width=0): width is 0; it must be 1 or more"),
        ({"decay": "nan"}, "option 'decay' is nan; it must be a finite number"),
        ({"decay": "1e400"}, "option 'decay' is inf; it must be a finite number"),
        ({"decay": float("-inf")}, "option 'decay' is -inf; it must be a finite number"),
        ({"decay": 10**400}, "it must be from -9223372036854775808 to 9223372036854775807"),
        ({"width": "99999999999999999999"}, "option 'width' is 99999999999999999999; it must be from"),
        ({"width": 1 << 63}, "option 'width' is 9223372036854775808; it must be from"),
        ({"width": 10**5000}, "option 'width' is a number of thousands of digits"),
        ({"width": "9" * 5000}, "...; it must be a whole number"),
        ({"sizes": [1 << 80]}, "option 'sizes' is 1208925819614629174706176; it must be from"),
    ],
)
def test_an_option_out_of_its_type_or_range_is_refused(options, message):
    with pytest.raises(ConfigError) as raised:
        config_from(Options, options)
    assert message in raised.value.message


def test_a_default_that_no_checkpoint_can_hold_is_refused():
    @dataclass(frozen=True)
    class Endless:
        cap: float = float("inf")

    with pytest.raises(ConfigError, match="option 'cap' is inf"):
        config_from(Endless, {})
    assert config_from(Endless, {"cap": 2}).cap == 2.0


def test_every_registered_config_comes_back_from_its_json_form(host: PluginHost):
    for cls in [*host.models.values(), *host.rules.values()]:
        assert config_from(cls.Config, config_to(cls.Config())) == cls.Config()
