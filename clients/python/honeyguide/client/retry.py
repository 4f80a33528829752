"""Says whether and when a failed call is tried again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from honeyguide.answers.arguments import as_real, shown
from honeyguide.client.errors import (
    CancelledError,
    HoneyguideClientError,
    InputError,
    OverCapacityError,
    UnavailableError,
)

__all__ = ["RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """Rule for further tries after failures that pass: the server is away, stops, or has too much work.

    gRPC's own `retryPolicy` is not used: it does not read the delay a server asks for in `google.rpc.RetryInfo`.
    """

    attempts: int = 4
    """Tries in all, 1 or more; 1: never again."""
    initial_delay: float = 0.1
    """Seconds before the second try, doubled for each further one."""
    maximum_delay: float = 5.0
    """Seconds, the longest wait of our own choice; a server may ask for more."""

    def __post_init__(self) -> None:
        attempts = as_real(self.attempts)
        if not isinstance(attempts, int) or attempts < 1:
            raise InputError(f"attempts is {shown(self.attempts)}; allowed: 1 or more tries", field="attempts")
        for name in ("initial_delay", "maximum_delay"):
            seconds = as_real(getattr(self, name))
            if seconds is None or not 0 <= seconds < math.inf:
                raise InputError(f"{name} is {shown(getattr(self, name))}; allowed: seconds, 0 or more", field=name)

    def delay(self, failure: HoneyguideClientError, attempt: int, remaining: float) -> float | None:
        """Gives the seconds to wait after try number `attempt` (from 1) failed.

        None: do not try again, as the failure would not pass, the tries are used up, or `remaining` seconds until the
        deadline are not enough. The wait is jittered, so that many clients do not come back at once.
        """
        # A server that stops cancels the calls it had not yet begun; we ourselves cancel only with the channel.
        passes = isinstance(failure, CancelledError | OverCapacityError | UnavailableError)
        if not passes or attempt >= self.attempts:
            return None
        seconds = self.wait(attempt, failure.retry_after)
        return seconds if seconds < remaining else None

    def wait(self, attempt: int, retry_after: float | None = None) -> float:
        """Gives the jittered seconds before the try that follows try number `attempt` (from 1)."""
        own = min(self.initial_delay * 2.0 ** (attempt - 1), self.maximum_delay)
        jittered = own * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load; no secret
        return jittered if retry_after is None else retry_after + jittered / 2
