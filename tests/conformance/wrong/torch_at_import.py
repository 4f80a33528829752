"""Is a sound model but for its import of torch at the top, which every server would carry."""

from dataclasses import dataclass

import torch

from honeyguide.sdk import Model, hookimpl


class TorchAtImport(Model):
    name = "torch_at_import"

    @dataclass(frozen=True)
    class Config:
        dimension: int = 16

    def network(self):
        return torch.nn.Embedding(self.data.items, self.config.dimension)


@hookimpl
def register_models(register):
    register(TorchAtImport)
