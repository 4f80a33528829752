"""Holds the page of the API to the protos, and the service config that it is told beside to what the server wants."""

import json
import re
from pathlib import Path

import pytest

from honeyguide.v1 import errors_pb2, event_service_pb2, history_pb2, model_service_pb2, recommender_service_pb2

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
FILES = [m.DESCRIPTOR for m in (errors_pb2, event_service_pb2, history_pb2, model_service_pb2, recommender_service_pb2)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_rpc_field_and_value_is_on_the_page(file):
    named = {
        *(method.name for service in file.services_by_name.values() for method in service.methods),
        *(field.name for message in file.message_types_by_name.values() for field in message.fields),
        *(value.name for enum in file.enum_types_by_name.values() for value in enum.values),
    }
    assert [name for name in sorted(named) if f"| `{name}` |" not in PAGE] == []


def test_links_on_the_page_lead_to_its_headings():
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", PAGE)) <= headings


def test_a_field_says_its_type_and_what_unset_means():
    assert re.search(
        r"\| 3 \| `k` \| \*optional\* int32 \| How many items, 1–1,000\. Unset: 10; 0 is refused\. \|", PAGE
    )
    assert "| map of string to double |" in PAGE
    assert "repeated [Item](#item)" in PAGE


def test_the_service_config_names_the_rpcs_that_may_be_tried_again():
    config = json.loads((ROOT / "clients" / "service-config.json").read_text("utf-8"))
    retried, streams = config["methodConfig"]
    assert [name["service"] for name in retried["name"]] == [
        recommender_service_pb2.DESCRIPTOR.services_by_name["RecommenderService"].full_name,
        event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    ]
    assert retried["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
    # The five seconds of the others would end a stream in its midst.
    assert streams == {"name": [{"service": "honeyguide.v1.RecommenderService", "method": "RecommendStream"}]}
