"""Everything from a raw log to trained weights: prepare a data set, train a model, and measure it.

    from honeyguide import training

    data = training.prepare("events.csv", user="uid", item="sku", time="ts", out="data/shop")
    run = training.train("cf", data, out="runs/shop", epochs=5)
    table = training.evaluate(run, data)

Importing it is cheap: what is heavy is imported by the functions, once their arguments are checked.
"""

from honeyguide.training.evaluation.evaluate import evaluate
from honeyguide.training.fit.train import train
from honeyguide.training.preparation.prepare import prepare
from honeyguide.training.runs.run import Run

__all__ = ["Run", "evaluate", "prepare", "train"]
