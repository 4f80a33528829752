"""Settings of pipelines: what retrieves, what ranks, which rules run after."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from honeyguide.sdk.event import MAX_EVENT_TYPE_BYTES
from honeyguide.sdk.names import NAME_PATTERN

__all__ = ["PipelineName", "PipelineSettings", "RuleSettings"]

_Name = Annotated[str, Field(min_length=1, max_length=64)]
_EventType = Annotated[str, Field(min_length=1, max_length=MAX_EVENT_TYPE_BYTES)]
# Lower case alone: an environment variable could not name anything else.
PipelineName = Annotated[str, Field(pattern=rf"^{NAME_PATTERN.pattern}$")]


class RuleSettings(BaseModel):
    """Settings of one rule of a pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name = Field(description="The rule, as a plugin registers it.")
    options: dict[str, Any] = Field(default_factory=dict, description="The rule's own options, by name.")


class PipelineSettings(BaseModel):
    """Settings of one pipeline: what retrieves, whether it is ranked, which rules run after."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: _Name = Field(
        description="The model of the repository that retrieves, and ranks if it has a ranker; "
        "or a joint one, which ranks what the models it pins retrieve."
    )
    version: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="The model's version, which stays whatever is loaded. 0: the one that serves under its name.",
    )
    rank: bool | None = Field(
        default=None,
        description="Whether the model's ranker orders the candidates. Unset: if the bundle has one. "
        "Without it, a joint model answers what its first retriever does.",
    )
    candidates: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Candidates to rank, of each retriever, 0–10,000. 0: as many as the ranker was fitted on.",
    )
    drop_seen: bool | None = Field(
        default=None,
        description="Whether items of the history are dropped. Unset: as the data says (films are, purchases are not).",
    )
    retrieve_budget_ms: float = Field(
        default=0,
        ge=0,
        le=60_000,
        description="Milliseconds that retrieval may take for a batch, 0–60,000; then its users get popular items. "
        "Never more than four fifths of what is left until the call's deadline. 0: any time.",
    )
    rank_budget_ms: float = Field(
        default=0,
        ge=0,
        le=60_000,
        description="Milliseconds that ranking may take for a batch, 0–60,000; then the retrieval's order stands. As "
        "above.",
    )
    circuit_failures: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="Failures in a row, of retrieval or ranking, after which it is left out for a while, 0–1,000; "
        "being later than the budget is one. 0: it never is.",
    )
    circuit_window_seconds: float = Field(
        default=10, gt=0, le=3600, description="Seconds within which these failures come, above 0 to 3,600."
    )
    circuit_rest_seconds: float = Field(
        default=5,
        gt=0,
        le=3600,
        description="Seconds for which it is left out before one batch tries it again, above 0 to 3,600.",
    )
    negative_types: tuple[_EventType, ...] = Field(
        default=(),
        max_length=100,
        description="Event types that say that an item is disliked, such as dislike or return, at most 100. An item "
        "whose last event of a user is of such a type is not shown to the user, and counts against what is like it.",
    )
    negative_weight: float = Field(
        default=0.2,
        ge=0,
        le=10,
        description="How far a user is pushed away from what is like the disliked items (Rocchio's formula), in "
        "lengths of the user's vector, 0–10. 0: not at all; they are not shown, no more.",
    )
    explore: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of an answer's places that items added with UpsertItems get, 0–1: of ten "
        "places one, of five one for every second user of a day. They also take those that would be empty.",
    )
    arms: dict[PipelineName, Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=dict,
        description="Percent of the users, above 0, by the pipeline that answers them in place of this one; together "
        "at most 100. A user without id is drawn anew for each request. SetTraffic changes it.",
    )
    shadows: tuple[PipelineName, ...] = Field(
        default=(),
        description="Pipelines that are asked the same when there is time; what they answer is counted, and given to "
        "nobody. SetTraffic changes it.",
    )
    rules: tuple[RuleSettings, ...] = Field(default=(), description="The rules that run after ranking, in order.")
