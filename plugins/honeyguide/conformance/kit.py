"""Lists the checks that every model must pass, and runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from honeyguide.conformance.checks import capabilities, encoding, exporting, learning, network, observing, serving
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.errors import ConformanceError, HoneyguideError
from honeyguide.sdk.host import PluginHost

__all__ = ["Check", "Result", "checks", "run_checks"]

_FUNCTIONS = (
    encoding.options_come_back_from_json,
    encoding.serving_loads_no_heavy_library,
    encoding.arrays_match_the_signature,
    encoding.encoding_changes_no_input,
    encoding.eight_threads_equal_one,
    network.scores_are_finite,
    network.batch_equals_singles,
    network.padding_changes_nothing,
    network.only_the_newest_events_count,
    network.padding_is_never_returned,
    network.user_is_the_last_position,
    network.no_position_sees_the_future,
    network.what_is_masked_stays_masked,
    capabilities.candidates_stand_alone,
    capabilities.explanations_are_shares,
    capabilities.neighbours_are_others,
    capabilities.stepping_equals_encoding_again,
    capabilities.items_are_placed,
    observing.observing_starts_anew,
    learning.the_checkerboard_is_learnt,
    exporting.axes_are_free,
    exporting.torch_equals_onnx,
    serving.served_answers_are_right,
)
"""From what costs nothing to what takes seconds, and each after those that it would only repeat."""


@dataclass(frozen=True, slots=True)
class Check:
    """Named promise of the contract, and what tests it."""

    name: str
    """Such as "batch_equals_singles"."""
    sentence: str
    """What holds where it passes."""
    function: Callable[[Subject], str]
    """Raises `ConformanceError` where the promise is broken; returns why it does not apply, "" where it does."""

    def __call__(self, subject: Subject) -> str:
        """Tests a model; what the model itself raises is a failure that says so."""
        try:
            return self.function(subject)
        except ConformanceError:
            raise
        except HoneyguideError as error:
            raise ConformanceError(error.message) from error  # the platform's own words say what to do
        except Exception as error:  # boundary: a plugin's code may raise anything
            raise ConformanceError(
                f"model {subject.name!r} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}; "
                f"see the traceback with `pytest --honeyguide-plugins={subject.name}`"
            ) from error


@dataclass(frozen=True, slots=True)
class Result:
    """How one check went."""

    check: Check
    passed: bool | None
    """None where the check does not apply."""
    message: str
    """What is wrong and what to do, or why it does not apply; "" where it passed."""
    seconds: float


def checks() -> tuple[Check, ...]:
    """Returns every check, in the order in which they run."""
    return tuple(Check(f.__name__, (f.__doc__ or "").partition("\n")[0], f) for f in _FUNCTIONS)


def run_checks(model: str, host: PluginHost) -> Iterator[Result]:
    """Checks a registered model; yields each result as it comes. A failed check stops no other.

    Raises `PluginError` naming the models that exist, or why the plugin of that name did not load.
    """
    with Subject(model, host) as subject:
        for check in checks():
            started = time.perf_counter()
            try:
                message = check(subject)
                passed = None if message else True
            except ConformanceError as error:
                passed, message = False, error.message
            yield Result(check, passed, message, time.perf_counter() - started)
