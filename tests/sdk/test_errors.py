import inspect
import re

import grpc
import pytest

from honeyguide.sdk import errors
from honeyguide.sdk.errors import DataError, HoneyguideError, InvalidArgument, OverCapacity

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, HoneyguideError)]
ROW = re.compile(r"^ {4}((?:│   |    )*)(?:[├└]── )?(\w+) +([A-Z_]+) +([A-Z_]+)$", re.MULTILINE)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn: dict[str, tuple[str | None, str, str]] = {}
    path: list[str] = []
    for match in ROW.finditer(errors.__doc__):
        depth = len(match[1]) // 4 + ("── " in match[0])
        path = [*path[:depth], match[2]]
        drawn[match[2]] = (path[-2] if depth else None, match[3], match[4])
    real = {
        cls.__name__: (None if cls is HoneyguideError else cls.__base__.__name__, cls.code, cls.reason)
        for cls in CLASSES
    }
    assert drawn == real


def test_all_lists_every_error_in_order():
    assert errors.__all__ == sorted(cls.__name__ for cls in CLASSES)


def test_reasons_are_unique_upper_snake_words():
    reasons = [cls.reason for cls in CLASSES]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", reason) for reason in reasons)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_codes_are_those_of_grpc(cls):
    assert hasattr(grpc.StatusCode, cls.code)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("k", 0, "1 to 1,000"),
        OverCapacity("busy", 0.5),
        DataError("no such column", file="a.csv", row=7),
        errors.ModelNotFound("no model 'x'", "name", "x", ["cf"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_more_facts_leave_the_error_that_others_share_as_it_is(error):
    before = dict(error.facts)
    more = error.with_facts(sequence="7")
    assert (type(more), str(more), more.args) == (type(error), str(error), error.args)
    assert (more.facts, error.facts) == (before | {"sequence": "7"}, before)
    assert {name: value for name, value in vars(more).items() if name != "facts"} == {
        name: value for name, value in vars(error).items() if name != "facts"
    }


def test_a_field_out_of_range_is_named_with_what_is_allowed():
    error = InvalidArgument("k", 0, "1 to 1,000")
    assert error.message == str(error) == "k is 0; allowed: 1 to 1,000"
    assert error.field == "k"
    assert len(InvalidArgument("user_id", "x" * 5000, "1 to 256 bytes").message) < 150


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, "no such column"),
        ({"file": "a.csv"}, "a.csv: no such column"),
        ({"row": 0}, "row 0: no such column"),
        (
            {"file": "a.csv", "row": 7, "column": "user", "remedy": "pass --user"},
            "a.csv, row 7, column 'user': no such column\n  remedy: pass --user",
        ),
    ],
)
def test_bad_data_is_named_by_place_and_remedy(details, text):
    assert str(DataError("no such column", **details)) == text


def test_over_capacity_says_when_to_come_back():
    assert OverCapacity("full", 0.25).retry_after == 0.25


def test_a_wrong_request_says_all_that_is_wrong_with_it() -> None:
    error = InvalidArgument("k", 0, "1 to 1,000")
    assert str(error) == "k is 0; allowed: 1 to 1,000"
    error.others = (InvalidArgument("user_id", "", "1 to 256 bytes"),)
    assert str(error) == "k is 0; allowed: 1 to 1,000; user_id is ''; allowed: 1 to 256 bytes"
