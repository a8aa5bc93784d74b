"""Prices of houses from a table in the shape of California's census of 1990, with a column of names and gaps.

python examples/house_prices.py             half a minute on two cores; writes house_prices.png

It prints the error on blocks of houses that were held out, beside gradient boosting's (scikit-learn's, with its own
defaults), a linear model's and that of naming the median; and draws what was predicted against what was paid.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

import nnkit
from nnkit import nn
from nnkit.preprocessing import Table, train_test_split

SEED = 0
PLACES = ["<1H OCEAN", "INLAND", "NEAR BAY", "NEAR OCEAN"]


def houses(rows: int) -> dict[str, Any]:
    """A made-up table with the columns of California's: the price, in $100,000, hangs on place, income and age."""
    random = np.random.default_rng(SEED)
    latitude, longitude = random.uniform(32.5, 42.0, rows), random.uniform(-124.0, -114.5, rows)
    inland = longitude + 0.9 * (latitude - 32.5) + 117.5  # degrees from a coast that runs to the north-west
    income = random.gamma(4.0, 1.0, rows)
    age, rooms = random.integers(1, 53, rows), random.gamma(9.0, 0.6, rows)
    bay = np.exp(-((latitude - 37.7) ** 2 + (longitude + 122.3) ** 2))
    angeles = np.exp(-((latitude - 34.0) ** 2 + (longitude + 118.3) ** 2))
    price = (
        0.4 * income * (1.0 + 1.5 * bay + 1.2 * angeles) + 0.8 * np.exp(-np.abs(inland)) + 0.004 * age + 0.03 * rooms
    )
    price *= np.exp(random.normal(0, 0.15, rows))
    place = np.select([bay > 0.3, np.abs(inland) < 0.5, inland < 2.0], [2, 3, 0], 1)
    rooms[random.random(rows) < 0.02] = np.nan
    return {
        "longitude": longitude, "latitude": latitude, "housing_median_age": age, "rooms": rooms,
        "median_income": income, "ocean_proximity": np.array(PLACES)[place].tolist(), "median_house_value": price,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Returns the mean absolute error of each, in dollars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_640)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--output", default="house_prices.png")
    options = parser.parse_args(arguments)

    nnkit.manual_seed(SEED)
    train, test = train_test_split(houses(options.rows), test_size=0.2, random_state=SEED)
    target = "median_house_value"
    table = Table().fit(train, target)
    layers = [nn.Linear(table.width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    model = nn.Sequential(*layers).reads(table)
    optimizer = nnkit.optim.Adam(model.parameters(), lr=3e-3)
    slower = nnkit.training.ReduceLROnPlateau(patience=4, factor=0.3)
    model.fit(
        train, target, loss="l1", optimizer=optimizer, epochs=options.epochs, batch_size=128,
        validation_split=0.1, callbacks=[slower], verbose=0,
    )  # fmt: skip

    x, y = table.transform(train), table.targets(train)
    paid, said = table.targets(test), model.predict(test)[:, 0]
    peers = {"gradient boosting": HistGradientBoostingRegressor(random_state=SEED), "linear model": LinearRegression()}
    outputs = {name: peer.fit(x, y).predict(table.transform(test)) for name, peer in peers.items()}
    errors = {name: _dollars(paid, output) for name, output in {"network": said, **outputs}.items()}
    errors["the median"] = _dollars(paid, np.median(y))
    print("mean absolute error: " + ", ".join(f"{name} ${error:,.0f}" for name, error in errors.items()))
    draw(paid, said, options.output)
    return errors


def _dollars(paid: np.ndarray, said: Any) -> float:
    return float(np.abs(paid - said).mean() * 1e5)


def draw(paid: np.ndarray, said: np.ndarray, path: str) -> None:
    """Predicted against paid, in thousands of dollars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5), layout="constrained")
    axes.scatter(100 * paid, 100 * said, s=4, alpha=0.3, edgecolors="none")
    limit = 100 * float(np.quantile(paid, 0.999))
    axes.plot([0, limit], [0, limit], color="black", linewidth=1)
    axes.set(xlim=(0, limit), ylim=(0, limit), xlabel="paid, $1000", ylabel="predicted, $1000", title="Houses held out")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
