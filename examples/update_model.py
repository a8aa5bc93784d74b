"""A model in use meets new rows every month: drift is looked for, a candidate goes on learning, the better one is kept.

python examples/update_model.py                       some ten seconds; the registry is the folder "registry"
python examples/update_model.py --registry elsewhere
python -m nnkit models list registry digits           what was published

The candidate starts from the champion's weights and learns from the new rows beside the old ones. It stops early when
it does not get below the champion's loss on one held-out set, and is published only if it is better on another, which
had no part in choosing it. In the fourth month the labels are wrong; what was learned from them is not published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import nnkit
from nnkit import nn
from nnkit.datasets import digits
from nnkit.monitor import Drift
from nnkit.registry import Registry
from nnkit.training import EarlyStopping

SEED, ROWS, NAME = 0, 350, "digits"
#: Month -> what is different in it.
MONTHS = {
    1: "the first rows",
    2: "more rows",
    3: "a new scanner, which is paler and grey",
    4: "the labels are mixed up",
}

Rows = tuple[np.ndarray, np.ndarray]


def scanned(x: np.ndarray, month: int, generator: np.random.Generator) -> np.ndarray:
    """What a scanner makes of the images: the one that came in the third month does not see as much contrast."""
    return x if month < 3 else 0.4 * x + 0.2 + 0.05 * generator.normal(size=x.shape)


def data() -> tuple[dict[int, Rows], dict[int, list[Rows]]]:
    """The new rows of each month, and two held-out sets as they looked then."""
    (x, y), (x_test, y_test) = digits.load_data()
    generator = np.random.default_rng(SEED)
    new, held = {}, {}
    for month in MONTHS:
        some = slice((month - 1) * ROWS, month * ROWS)
        labels = generator.permutation(y[some]) if month == 4 else y[some]
        new[month] = scanned(x[some] / 16, month, generator), labels
        seen = scanned(x_test / 16, month, generator)
        held[month] = [(seen[half::2], y_test[half::2]) for half in (0, 1)]
    return new, held


def build() -> nn.Sequential:
    """8x8 pixels, ten digits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))


def judged(model: nn.Module, rows: Rows) -> dict[str, float]:
    """The loss and the accuracy on held-out rows."""
    found: dict[str, float] = model.evaluate(*rows, loss="cross_entropy", metrics=["accuracy"], verbose=0)
    return found


def learn(model: nn.Module, rows: Rows, stop: Rows, baseline: float | None) -> None:
    """Train until the loss on ``stop`` has not been under ``baseline``, or under its best, for some epochs."""
    stopping = EarlyStopping("val_loss", patience=10, baseline=baseline)
    optimizer = nnkit.optim.Adam(model.parameters(), lr=2e-3)
    model.fit(
        *rows, validation_data=stop, loss="cross_entropy", optimizer=optimizer, epochs=60, batch_size=32,
        callbacks=[stopping], verbose=0, seed=SEED,
    )  # fmt: skip


def update(registry: Registry, rows: Rows, new: Rows, held: list[Rows], note: str) -> bool:
    """Let a candidate learn from ``rows``, some of which are new, and publish it if it is better than the champion.

    Whether it was.
    """
    champion = registry.get(NAME)
    drifted = Drift(champion.card["reference"], window=len(new[0])).update(new[0]).report()["drifted"]
    print(f"  drift in {len(drifted)} of 64 pixels" if drifted else "  no drift")
    stop, judge = held
    candidate, before = champion.load(), judged(champion.load(), judge)
    learn(candidate, rows, stop, baseline=judged(candidate, stop)["loss"])
    after = judged(candidate, judge)
    print(f"  accuracy: champion {before['accuracy']:.3f}, candidate {after['accuracy']:.3f}", end="")
    print(f"; loss {before['loss']:.3f}, {after['loss']:.3f}")
    if after["loss"] >= before["loss"]:
        print(f"  the candidate is not better: version {champion.number} stays")
        return False
    print(f"  published {registry.publish(candidate, NAME, metrics=after, data=rows, notes=note, alias='champion')}")
    return True


def main(arguments: Sequence[str] | None = None) -> list[int]:
    """Four months; the champion's number after each."""
    parser = argparse.ArgumentParser(description="Update a model with new rows, and publish only what is better.")
    parser.add_argument("--registry", default="registry", help="the registry's folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    nnkit.manual_seed(SEED)
    registry, champions = Registry(options.registry), []
    new, held = data()
    rows: Rows = new[1]
    for month, note in MONTHS.items():
        print(f"month {month}: {note}")
        if month == 1:
            model, (stop, judge) = build(), held[1]
            learn(model, rows, stop, baseline=None)
            found = judged(model, judge)
            version = registry.publish(model, NAME, metrics=found, data=rows, notes=note, alias="champion")
            print(f"  accuracy {found['accuracy']:.3f}: published {version}")
        else:
            more = np.concatenate([rows[0], new[month][0]]), np.concatenate([rows[1], new[month][1]])
            if update(registry, more, new[month], held[month], note):
                rows = more
        champions.append(registry.get(NAME).number)
    print(f"the old scanner is back: the champion is version {registry.rollback(NAME).number} again")
    return champions


if __name__ == "__main__":
    main()
