"""Answers that are put together from pieces are read back as protobuf writes them (`api.writing`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.server.api.writing import AnswerWriter
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.histories import UserState
from honeyguide.server.serving.queries import ItemSource
from honeyguide.v1.errors_pb2 import RowError
from honeyguide.v1.history_pb2 import ModelVersion
from honeyguide.v1.recommender_service_pb2 import (
    BecauseItem,
    Item,
    Ranked,
    RankResponse,
    RecommendResponse,
    RecommendStreamResponse,
    ResultRow,
    SimilarItemsResponse,
)

USERS, ITEMS = 40, 300
MODELS = (("cf", 3), ("joint", 12))
IDS = [f"request-{user}" for user in range(USERS)]


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Draws answers of all lengths, sources and states; titles with every kind of character, one above 127 bytes."""
    random = np.random.default_rng(0)
    names = [f"film-{row}" + "é" * (row % 90) for row in range(ITEMS)]
    titles = ["" if row % 7 == 0 else "電影 " * (row % 60) for row in range(ITEMS)]
    lengths = [0, 1, 200, *random.integers(0, 200, USERS - 3).tolist()]
    rows = np.stack([random.permutation(ITEMS)[:200] for _ in range(USERS)]).astype(np.int32)
    sources = np.where(random.random((USERS, 200)) < 0.2, ItemSource.POPULAR, ItemSource.RETRIEVED)
    sources[::3] = ItemSource.RETRIEVED
    because: dict[int, Any] = {2: [(("film-1", "One"), ("film-2", ""))] * 200}
    return Answers(
        catalogue=Catalogue(names, titles, np.arange(ITEMS), {}),
        models=MODELS,
        source_model="joint",
        rows=rows,
        scores=random.normal(size=(USERS, 400)).astype(np.float32)[:, ::2],  # columns that do not lie side by side
        sources=sources,
        lengths=lengths,
        states=[UserState(1 + user % 3) for user in range(USERS)],
        unknown=[user % 4 for user in range(USERS)],
        reasons=[("RANK_FAILED", "HISTORY_TRUNCATED")[: user % 3] for user in range(USERS)],
        unknown_categories=[("comedy",) * (user % 2) for user in range(USERS)],
        unknown_item_ids=[("x", "y")[: user % 3] for user in range(USERS)],
        because_items=because,
    )


def items(answers: Answers, user: int) -> list[Item]:
    answer = answers[user]
    return [
        Item(
            item_id=answer.item_ids[place],
            score=answer.scores[place],
            source=answer.sources[place],
            source_model="" if answer.sources[place] == ItemSource.POPULAR else "joint",
            title=answer.titles[place],
            because_items=[
                BecauseItem(item_id=item, title=title)
                for item, title in (answer.because_items[place] if answer.because_items else ())
            ],
        )
        for place in range(answers.lengths[user])
    ]


def degraded(answers: Answers, user: int) -> dict[str, Any]:
    reasons = [f"DEGRADED_REASON_{reason}" for reason in answers.reasons[user]]
    return {"degraded": bool(reasons), "degraded_reasons": reasons}


def models() -> list[ModelVersion]:
    return [ModelVersion(name=name, version=version) for name, version in MODELS]


def test_recommendations(answers: Answers) -> None:
    writer, ks = AnswerWriter(), [length + user % 2 for user, length in enumerate(answers.lengths)]
    for _ in range(2):  # with new pieces, and with those that are kept
        for user, written in enumerate(writer.recommendations(answers, ks, IDS)):
            assert RecommendResponse.FromString(written) == RecommendResponse(
                request_id=IDS[user],
                items=items(answers, user),
                shortfall=user % 2,
                unknown_history_items=user % 4,
                models=models(),
                user_state=answers.states[user],  # type: ignore[arg-type]  # UserState holds the proto's numbers
                unknown_categories=answers.unknown_categories[user],
                **degraded(answers, user),
            )


def test_rankings_and_neighbours(answers: Answers) -> None:
    for user, written in enumerate(AnswerWriter().rankings(answers, IDS)):
        assert RankResponse.FromString(written) == RankResponse(
            request_id=IDS[user],
            items=items(answers, user),
            unknown_item_ids=answers.unknown_item_ids[user],
            unknown_history_items=user % 4,
            models=models(),
            user_state=answers.states[user],  # type: ignore[arg-type]  # as above
            **degraded(answers, user),
        )
    plain = Answers(
        answers.catalogue, MODELS[:1], "joint", answers.rows, answers.scores, answers.sources, answers.lengths
    )
    for place, written in enumerate(AnswerWriter().neighbours(plain, [200] * USERS, IDS)):
        assert SimilarItemsResponse.FromString(written) == SimilarItemsResponse(
            request_id=IDS[place],
            items=items(plain, place),
            shortfall=200 - plain.lengths[place],
            model=ModelVersion(name="cf", version=3),
        )


@pytest.mark.parametrize("with_titles", [False, True])
def test_rows_of_a_stream(answers: Answers, with_titles: bool) -> None:
    writer, error = AnswerWriter(), RowError(code=3, message="wrong " * 40)
    user_ids = [None if user % 5 == 0 else f"user-{user}" for user in range(USERS)]
    rows = [*writer.rows(answers, 200, user_ids, with_titles=with_titles), writer.failed_row(error)]
    wanted = RecommendStreamResponse(sequence=-7, request_id="id", models=models(), unknown_categories=["comedy"])
    for user in range(USERS):
        answer = answers[user]
        ranked = Ranked(
            item_ids=answer.item_ids,
            scores=answer.scores,
            sources=answer.sources,  # type: ignore[arg-type]  # ItemSource holds the proto's numbers
            titles=answer.titles if with_titles else (),
            source_model="joint",
            user_id=user_ids[user],
            user_state=answer.user_state,  # type: ignore[arg-type]  # as above
            shortfall=200 - len(answer.item_ids),
            unknown_history_items=user % 4,
            **degraded(answers, user),
        )
        wanted.rows.append(ResultRow(ranked=ranked))
    wanted.rows.append(ResultRow(error=error))
    assert RecommendStreamResponse.FromString(writer.batch(-7, "id", MODELS, rows, ["comedy"])) == wanted
