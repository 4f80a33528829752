"""The models of `text.py` and `content.py`: their options, and what a bundle of theirs needs."""

import pytest
from small_models import PLAIN

from honeyguide.models.content import Content
from honeyguide.models.content_based.text_encoder import ENCODER
from honeyguide.models.text import Text
from honeyguide.sdk.config import config_from, config_to
from honeyguide.sdk.errors import ConfigError


@pytest.mark.parametrize(("cls", "inputs"), [(Text, ["text"]), (Content, ["attributes"])])
def test_each_knows_items_by_its_own_and_takes_the_other_too(cls, inputs):
    assert [spec.name for spec in cls(cls.Config(), PLAIN).item_inputs()] == inputs
    both = config_from(cls.Config, {"items": "text,content"})
    assert [spec.name for spec in cls(both, PLAIN).item_inputs()] == ["text", "attributes"]


def test_a_model_that_knows_nothing_of_items_is_refused():
    with pytest.raises(ConfigError, match="items is empty; allowed: text, words, content, or several"):
        config_from(Text.Config, {"items": ""})


def test_run_and_manifest_say_which_encoder_it_was():
    assert config_to(Text.Config())["encoder"] == ENCODER
    with pytest.raises(ConfigError, match="option 'encoder' is 'other-1'"):
        Text(config_from(Text.Config, {"encoder": "other-1"}), PLAIN)
