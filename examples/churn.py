"""Customers who are about to leave, 3 of 100, from a table with numbers, names, dates and gaps.

python examples/churn.py                    half a minute on two cores; writes churn.safetensors
python examples/churn.py --rows 4000 --epochs 5

It prints the average precision on customers that were held out, beside that of gradient boosting (scikit-learn's, with
its own defaults) and of a guess; then it loads the saved model and asks it about one customer, as a dict.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score

import nnkit
from nnkit import nn
from nnkit.preprocessing import Table, train_test_split

SEED = 0
PLANS, TOWNS = ["basic", "family", "premium"], [f"town {k}" for k in range(60)]


def customers(rows: int) -> dict[str, Any]:
    """A made-up table: months of contract, fee, calls to the hotline, plan, town, first day, and who left."""
    random = np.random.default_rng(SEED)
    months = random.integers(1, 72, rows)
    fee = random.gamma(6.0, 8.0, rows)
    calls = random.poisson(1.2, rows)
    plan, town = random.choice(3, rows, p=[0.5, 0.3, 0.2]), random.integers(0, len(TOWNS), rows)
    service = random.normal(0, 0.8, len(TOWNS))[town]  # how good it is where they live
    score = 0.9 * calls - 0.05 * months + 0.03 * (fee - 48) * (plan == 0) - 1.0 * (plan == 2) - service - 4.0
    score += 1.5 * ((months > 22) & (months < 26))  # when the first contract ends
    left = random.random(rows) < 1 / (1 + np.exp(-score))
    since = np.datetime64("2026-11-01") - (30 * months).astype("timedelta64[D]")
    fee[random.random(rows) < 0.05] = np.nan
    return {
        "months": months, "fee": fee, "calls": calls, "plan": np.array(PLANS)[plan].tolist(),
        "town": np.array(TOWNS)[town].tolist(), "since": since, "left": np.where(left, "yes", "no").tolist(),
    }  # fmt: skip


def build(table: Table) -> nn.Module:
    """Vectors for the towns, and two hidden layers; one number, the logit of leaving."""
    layers = [nn.Linear(table.width, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)]
    model: nn.Module = nn.Sequential(nn.TableInput(*table.layout), *layers).reads(table)
    return model


def boosted(train: dict[str, Any], test: dict[str, Any], table: Table) -> float:
    """The average precision of gradient boosting on the same columns; it takes gaps and names as they are."""
    names = {name: sorted(set(train[name])) for name in ("plan", "town")}

    def numbers(frame: dict[str, Any]) -> np.ndarray:
        codes = [[names[name].index(value) for value in frame[name]] for name in names]
        days = np.asarray(frame["since"]).astype("datetime64[D]").astype(float)
        return np.column_stack([frame["months"], frame["fee"], frame["calls"], days, *codes])

    trees = HistGradientBoostingClassifier(categorical_features=[4, 5], random_state=SEED)
    trees.fit(numbers(train), table.targets(train))
    return float(average_precision_score(table.targets(test), trees.predict_proba(numbers(test))[:, 1]))


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Returns the average precision of the network and of gradient boosting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="churn.safetensors")
    options = parser.parse_args(arguments)

    nnkit.manual_seed(SEED)
    frame = customers(options.rows)
    train, test = train_test_split(frame, test_size=0.25, stratify=frame["left"], random_state=SEED)
    learn, choose = train_test_split(train, test_size=0.15, stratify=train["left"], random_state=SEED)
    table = Table(embed={"town": 4}).fit(learn, "left")
    model = build(table)
    best = nnkit.training.EarlyStopping("val_average_precision", mode="max", patience=8, restore_best_weights=True)
    model.fit(
        learn, "left", loss="bce_with_logits", optimizer=nnkit.optim.AdamW(model.parameters(), lr=2e-3),
        epochs=options.epochs, batch_size=128, validation_data=choose, metrics=["average_precision"], verbose=0,
        callbacks=[best],
    )  # fmt: skip

    truth = table.targets(test)
    found = float(average_precision_score(truth, model.predict(test)[:, 0]))
    trees = boosted(train, test, table)
    print(f"{len(truth)} customers held out, {truth.mean():.1%} of them left")
    print(f"average precision: network {found:.3f}, gradient boosting {trees:.3f}, a guess {truth.mean():.3f}")

    model.save(options.output)
    again = nnkit.load(options.output)
    customer = {"plan": "basic", "calls": 5, "months": 23, "fee": None, "town": "town 7", "since": "2024-12-11"}
    chance = 1 / (1 + np.exp(-again.predict(customer)[0, 0]))
    print(f"{customer}: leaves with a chance of {chance:.0%}")
    return found, trees


if __name__ == "__main__":
    main()
