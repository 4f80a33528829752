"""Models that are each wrong in one thing; what they share, the first one, keeps every promise."""

from dataclasses import dataclass

import numpy as np

from honeyguide.sdk import Model, TensorSpec, hookimpl


class Sound(Model):
    """Recommends what follows the mean of the history and its last item."""

    name = "sound"

    @dataclass(frozen=True)
    class Config:
        dimension: int = 32
        max_length: int = 20

    def network(self):
        import torch
        from torch import nn

        model = self

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.before = nn.Embedding(model.data.items + 1, model.config.dimension, padding_idx=0)
                self.after = nn.Embedding(model.data.items, model.config.dimension)

            def positions(self, batch):
                return torch.stack([self.user(part) for part in self.prefixes(batch)], 1)

            def user(self, batch):
                return model.user(self.before, batch["tokens"])

            def prefixes(self, batch):
                return [{"tokens": batch["tokens"][:, : i + 1]} for i in range(batch["tokens"].shape[1])]

            def items(self):
                return self.after.weight

            def loss(self, batch):
                return model.loss(self, batch)

        return Network()

    def user(self, table, tokens):
        """Returns the (batch, d) users of (batch, length) tokens."""
        count = (tokens > 0).sum(1, keepdim=True).clamp(min=1)
        return table(tokens[:, -1]) + 0.1 * table(tokens).sum(1) / count

    def loss(self, network, batch):
        """Returns the cross-entropy of what comes next."""
        from torch.nn.functional import cross_entropy

        known = (batch["targets"] > 0) & (batch["tokens"] > 0)
        scores = network.positions(batch)[known] @ network.items().T
        return cross_entropy(scores, batch["targets"][known] - 1)


class BatchMates(Sound):
    name = "batch_mates"

    def user(self, table, tokens):
        users = super().user(table, tokens)
        return users - users.mean(0)


class ChangesItsInput(Sound):
    name = "changes_its_input"

    def encode(self, batch):
        batch.items[batch.items == 3] = 4  # "the same product, really"
        return super().encode(batch)


class FrozenLength(Sound):
    name = "frozen_length"

    def user(self, table, tokens):
        faded = 0.0
        for place in range(tokens.shape[1]):  # as many steps as the example has that the graph is traced with
            faded = 0.5 * faded + 0.1 * table(tokens[:, place])
        return super().user(table, tokens) + faded


class NanForShort(Sound):
    name = "nan_for_short"

    def user(self, table, tokens):
        count = (tokens > 0).sum(1, keepdim=True)
        others = table(tokens).sum(1) - table(tokens[:, -1])
        return table(tokens[:, -1]) + 0.1 * others / (count - 1)  # 0 / 0 for one event


class PaddingCounts(Sound):
    name = "padding_counts"

    def user(self, table, tokens):
        return table(tokens).mean(1) + table(tokens[:, -1])


class GetsPastItsMask(Sound):
    name = "gets_past_its_mask"

    def user(self, table, tokens):
        import torch

        vectors = table(tokens)
        scores = torch.where(tokens > 0, -vectors.square().mean(2), -20.0)  # far below usual scores
        return table(tokens[:, -1]) + (scores.softmax(1)[:, :, None] * vectors).sum(1)


class LearnsNothing(Sound):
    name = "learns_nothing"

    def loss(self, network, batch):
        return network.items().square().mean()


class SeesTheFuture(Sound):
    name = "sees_the_future"

    def network(self):
        network = super().network()
        network.prefixes = lambda batch: [batch] * batch["tokens"].shape[1]
        return network


class KeepsABuffer(Sound):
    name = "keeps_a_buffer"

    def __init__(self, config, data):
        super().__init__(config, data)
        self.buffer = np.zeros((32, self.max_length), np.int64)

    def encode(self, batch):
        tokens = batch.tokens(self.max_length)
        self.buffer[: len(tokens), -tokens.shape[1] :] = tokens  # "saves an allocation"
        return {"tokens": self.buffer[: len(tokens), -tokens.shape[1] :]}


class ReturnsPadding(Sound):
    name = "returns_padding"

    def network(self):
        network = super().network()
        network.items = lambda: network.before.weight
        return network


class PlacesByTheOthers(Sound):
    name = "places_by_the_others"

    def item_inputs(self):
        return (TensorSpec("prices", "float32", ("batch", 1)),)

    def encode_items(self, items):
        return {"prices": np.nan_to_num(items.number("price")).astype(np.float32)[:, None]}

    def network(self):
        network = super().network()
        network.place = lambda items: (items["prices"] - items["prices"].mean()).expand(-1, network.items().shape[1])
        return network


class Scoring(Sound):
    """Scores the whole catalogue, and says which items are alike; right but for what is asked of `model`."""

    name = "scoring"

    def network(self):
        from torch import nn

        model = self

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.after = nn.Embedding(model.data.items + 1, model.data.items, padding_idx=0)

            def scores(self, batch):
                return model.scores(self.after(batch["tokens"][:, -1]))

            def neighbours(self):
                return model.neighbours()

            def loss(self, batch):
                from torch.nn.functional import cross_entropy

                known = (batch["targets"] > 0) & (batch["tokens"] > 0)
                return cross_entropy(self.after(batch["tokens"])[known], batch["targets"][known] - 1)

        return Network()

    def scores(self, scores):
        return scores

    def neighbours(self):
        import torch

        tokens = torch.arange(1, self.data.items + 1)
        return torch.stack([tokens.roll(1), tokens.roll(-1)], 1), torch.tensor([[1.0, 0.5]]).repeat(self.data.items, 1)


class ScoresPadding(Scoring):
    name = "scores_padding"

    def scores(self, scores):
        from torch.nn.functional import pad

        return pad(scores, (1, 0))


class NeighbourOfItself(Scoring):
    name = "neighbour_of_itself"

    def neighbours(self):
        tokens, scores = super().neighbours()
        return tokens.roll(1, 0), scores


class Observing(Sound):
    """Adds to each item how often it was met and whether it has a price; right but for `keep`."""

    name = "observing"

    def network(self):
        import torch

        network, model = super().network(), self
        network.register_buffer("added", torch.zeros(self.data.items, 1))
        network.items = lambda: network.after.weight + model.added(network)
        network.observe = lambda histories, items: model.keep(network, self.observed(histories, items))
        return network

    def observed(self, histories, items):
        import torch

        met = np.bincount(histories.items, minlength=self.data.items)
        return torch.from_numpy(met + np.isfinite(items.number("price"))).float()[:, None] / 10

    def keep(self, network, observed):
        network.added.copy_(observed)

    def added(self, network):
        return network.added


class AddsUp(Observing):
    name = "adds_up"

    def keep(self, network, observed):
        network.added += observed


class KeepsOutsideOfBuffers(Observing):
    name = "keeps_outside_of_buffers"

    def keep(self, network, observed):
        network.popularity = [observed]

    def added(self, network):
        return network.popularity[0]


class GrowsABuffer(Observing):
    name = "grows_a_buffer"

    def keep(self, network, observed):
        network.added = observed.repeat(1, 16)


class ChangesItsItems(Observing):
    name = "changes_its_items"

    def observed(self, histories, items):
        np.nan_to_num(items.number("price"), copy=False)
        return super().observed(histories, items)


class DividesByTheKnown(Observing):
    name = "divides_by_the_known"

    def observed(self, histories, items):
        import torch

        prices = torch.from_numpy(items.number("price")).float()
        known = torch.isfinite(prices)
        return (torch.where(known, prices, 0.0) / prices[known].sum() / known.sum())[:, None]


@hookimpl
def register_models(register):
    for model in [Sound, *Sound.__subclasses__(), *Observing.__subclasses__(), *Scoring.__subclasses__()]:
        register(model)
