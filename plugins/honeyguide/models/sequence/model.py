"""Offers the part that the models share which read a history as a sequence: what their networks are given of it."""

from __future__ import annotations

from honeyguide.models.content_based.item_content import ContentModel
from honeyguide.models.sequence.event_arrays import encode_events, event_inputs
from honeyguide.models.sequence.options import ClockOptions
from honeyguide.sdk import Arrays, HistoryBatch, TensorSpec

__all__ = ["SequenceModel"]


class SequenceModel(ContentModel):
    """Model that reads events in their order; its Config is a `honeyguide.models.sequence.options.SequenceOptions`."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Describes the arrays of `honeyguide.models.sequence.event_arrays`."""
        return event_inputs(self.data, self.config.features, ages=self.reads_ages, waits=self.reads_waits)

    def encode(self, batch: HistoryBatch) -> Arrays:
        """Lays out the newest events."""
        asked = {"ages": self.reads_ages, "waits": self.reads_waits}
        return encode_events(batch, self.data, self.max_length, self.config.features, **asked)

    @property
    def reads_ages(self) -> bool:
        """Whether the network is given "ages", where the data has times."""
        return bool(self.config.ranker_time)

    @property
    def reads_waits(self) -> bool:
        """Whether the network is given "waits", where the data has times."""
        return isinstance(self.config, ClockOptions) and self.config.gap_to_now
