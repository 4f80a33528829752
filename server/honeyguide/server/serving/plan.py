"""Works out what a pipeline does with a bundle: who retrieves, who ranks, how many, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from honeyguide.sdk import Rule
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.serving.circuit import CircuitOptions

__all__ = ["PipelineOptions", "Plan"]

_CANDIDATES_FOR_RULES = 100
"""Candidates that rules choose from where the pipeline does not rank and does not say."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Settings of one pipeline, with its rules made, before it is known which bundle serves."""

    name: str
    model: str
    """The model that retrieves, and ranks if it has a ranker; or a joint one, over the retrievers that it pins."""
    rank: bool | None = None
    """None: where the bundle has a ranker."""
    candidates: int = 0
    """How many of each retriever to rank; 0: as many as the ranker was fitted on."""
    drop_seen: bool | None = None
    """None: where the data's items do not repeat."""
    rules: tuple[Rule, ...] = ()
    budgets: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a stage may take, by its name, see `Stages`; one that is not in it may take any time."""
    circuit: CircuitOptions = field(default_factory=CircuitOptions)
    """When a stage that fails is left out for a while."""
    negative_types: tuple[str, ...] = ()
    """Event types that say that an item is disliked."""
    negative_weight: float = 0.2
    """How far a user is pushed away from what is disliked, in lengths of the user's vector; see `DislikingUsers`."""
    explore: float = 0.1
    """Share of the places that added items get, 0–1; see `explore`."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one pipeline does with one bundle; batches, start-up lines and ListPipelines all read it."""

    options: PipelineOptions
    bundle: LoadedBundle
    """The bundle of the pipeline's model: its catalogue and its data's figures hold for all that take part."""
    retrievers: tuple[RetrievingBundle, ...]
    """What retrieves, one or more: without a ranker to judge between several, the first alone."""
    ranker: LoadedBundle | None
    """What ranks; None: the first retriever's order stands."""
    candidate_count: int
    """Items of each retriever that the ranker or the rules choose from, at most the catalogue's; 0: k are enough."""
    drop_seen: bool
    """Whether items of the history are dropped unless a request says otherwise."""
    explainer: LoadedBundle | None
    """What explains the answers; None: nothing that takes part can."""
    models: tuple[tuple[str, int], ...]
    """Name and version of the bundles that take part, retrieval first."""

    @classmethod
    def of(cls, options: PipelineOptions, bundle: LoadedBundle) -> Plan:
        """Works the plan out."""
        ranker = bundle if bundle.manifest.ranks and options.rank is not False else None
        own = bundle.retrievers
        retrievers = own if ranker else own[:1]
        count = options.candidates or (bundle.manifest.candidates if ranker else 0)
        return cls(
            options=options,
            bundle=bundle,
            retrievers=retrievers,
            ranker=ranker,
            candidate_count=min(count or (_CANDIDATES_FOR_RULES if options.rules else 0), len(bundle.catalogue)),
            drop_seen=not bundle.manifest.data.repeats if options.drop_seen is None else options.drop_seen,
            # Itself, or else the first of its retrievers that can.
            explainer=next((part for part in (bundle, *own) if part.manifest.explains), None),
            models=(*[part.key for part in _parts(retrievers, ranker)],),
        )

    @property
    def bundles(self) -> tuple[LoadedBundle, ...]:
        """The bundles that take part, each once, retrieval first."""
        return _parts(self.retrievers, self.ranker)

    @property
    def stages(self) -> tuple[str, ...]:
        """What happens to a request, in order: "retrieve", "rank", and the rules by name."""
        return ("retrieve", *["rank"] * (self.ranker is not None), *(rule.name for rule in self.options.rules))


def _parts(retrievers: Sequence[RetrievingBundle], ranker: LoadedBundle | None) -> tuple[LoadedBundle, ...]:
    return tuple(dict.fromkeys([*retrievers, *([] if ranker is None else [ranker])]))
