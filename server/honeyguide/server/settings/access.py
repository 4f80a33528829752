"""Settings of who may call: callers with their roles and limits, and what is open to everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from honeyguide.sdk.names import NAME_PATTERN

__all__ = ["AccessSettings", "CallerName", "CallerSettings", "RoleName"]

RoleName = Literal["recommend", "record", "history", "admin"]
# Lower case alone: an environment variable could not name anything else.
CallerName = Annotated[str, Field(pattern=rf"^{NAME_PATTERN.pattern}$")]
_Subject = Annotated[str, Field(min_length=1, max_length=256)]
_Opened = Literal["open", "callers", "admin", "off"]


class CallerSettings(BaseModel):
    """One caller: how it is known, what it may call, and how much."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: tuple[RoleName, ...] = Field(
        description="What it may do: recommend, record (events), history (read and erase users), admin (load, unload).",
    )
    sha256: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of its token, 64 hexadecimal digits; `honeyguide token new` makes both. Empty: none.",
    )
    subjects: tuple[_Subject, ...] = Field(
        default=(),
        description="Names of its client certificate, each the common name or a subject alternative name as a whole.",
    )
    expires: AwareDatetime | None = Field(
        default=None,
        description="Moment after which it is unknown, with its offset: 2027-01-01T00:00:00Z. Unset: never.",
    )
    requests_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="Requests a second in the long run, 0–1e6; each user of a stream's batch is one. 0: any number.",
    )
    burst: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Requests at once after a rest, 0–1,000,000. 0: those of a second, at least one.",
    )
    streams: int = Field(default=0, ge=0, le=1_000_000, description="Streams open at once, 0–1,000,000. 0: any number.")
    events_per_user: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Events that it may record of one user in one day (UTC), 0–1,000,000. 0: any number.",
    )

    @field_validator("roles")
    @classmethod
    def _may_something(cls, roles: tuple[RoleName, ...]) -> tuple[RoleName, ...]:
        if not roles:  # `min_length` would say so, too, of roles that are there and misspelt
            raise ValueError("no role is given: the caller could call nothing")
        return roles

    @model_validator(mode="after")
    def _is_known_by_something(self) -> Self:
        if not self.sha256 and not self.subjects:
            raise ValueError("neither sha256 nor subjects is given: nobody could call as this caller")
        return self


class AccessSettings(BaseModel):
    """Who may call, and what is open to everybody."""

    tokens: Path | None = Field(
        default=None,
        description="TOML file of callers, a table callers.NAME each, read again when it changes. With it, or with "
        "`callers`, every call needs a credential. Unset: no file.",
    )
    callers: dict[CallerName, CallerSettings] = Field(
        default_factory=dict,
        description="Callers by name, beside those of the file: lower-case letters, digits, _ and -.",
    )
    health: _Opened = Field(
        default="open",
        description="Who may ask for health: open, everybody; callers, who has a credential; admin, everybody on "
        "admin_port alone; off, nobody.",
    )
    reflection: _Opened = Field(
        default="callers", description="Who may ask for the API's description; words as for health."
    )
    admin_port: int = Field(
        default=-1,
        ge=-1,
        le=65_535,
        description="Port of ModelService, -1–65,535; what needs the role admin is answered there alone. "
        "0: any free one, with one process alone; -1: none, all is answered on port.",
    )
    admin_host: str = Field(default="127.0.0.1", min_length=1, description="Address that admin_port listens on.")
    insecure: bool = Field(
        default=False,
        description="Whether to listen for other machines without TLS, where whoever is on the way can read and change "
        "everything, tokens among it.",
    )
