import pytest

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.api.paging import page, size_of_page
from honeyguide.v1.model_service_pb2 import Model


def named(name: int | str) -> Model:
    return Model(name=str(name))


def test_pages_together_are_the_list() -> None:
    items, token, pages = list(range(7)), "", []
    while True:
        part, token = page(items, "models", 3, token, named)
        pages.append([int(model.name) for model in part])
        if not token:
            break
    assert pages == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_page_ends_where_its_entries_are_large_and_never_before_the_first() -> None:
    items, token, sizes = ["x" * 900_000] * 7 + ["y" * 10_000_000], "", []
    while token or not sizes:
        part, token = page(items, "models", 1000, token, named)
        sizes.append(len(part))
    assert sizes == [3, 3, 1, 1]
    assert len(page(items[-1:], "models", 1000, "", named)[0]) == 1


def test_a_page_is_as_large_as_asked_within_bounds() -> None:
    assert [size_of_page(size) for size in (0, 1, 1000, 5000)] == [100, 1, 1000, 1000]
    with pytest.raises(InvalidArgument, match="page_size is -1"):
        size_of_page(-1)


def test_a_token_of_another_list_or_of_nobody_is_refused() -> None:
    _, token = page([1, 2], "models", 1, "", named)
    for wrong in (token[:-4], "!", "e30="):
        with pytest.raises(InvalidArgument, match="page_token"):
            page([1, 2], "models", 1, wrong, named)
    with pytest.raises(InvalidArgument, match="page_token"):
        page([1, 2], "pipelines", 1, token, named)
