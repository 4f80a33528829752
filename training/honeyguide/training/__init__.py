"""Everything from a raw log to trained weights: prepare a data set, train a model, and measure it.

    from honeyguide import training

    data = training.prepare("events.csv", user="uid", item="sku", time="ts", out="data/shop")
    run = training.train("cf", data, out="runs/shop", epochs=5)
    table = training.evaluate(run, data)

Importing it is cheap: what is heavy is imported by the functions, once their arguments are checked.
"""

import os

# OpenMP reads this when torch loads it, which comes later. Threads that spin while they wait made training five times
# slower on two cores that were not idle: 316 s against 58 s on the demo data.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from honeyguide.training.evaluation.evaluate import evaluate
from honeyguide.training.fit.train import train
from honeyguide.training.preparation.prepare import prepare
from honeyguide.training.runs.run import Run

__all__ = ["Run", "evaluate", "prepare", "train"]
