"""Every program in examples/ runs as it stands; only the data and the number of epochs are smaller here.

MNIST stands in for itself by handwritten digits of 8 by 8 pixels, blown up to 28 by 28 and written as IDX files
where ``NNKIT_DATA`` points. The one program of 1000 epochs is cut to 20.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.datasets import load_digits, write_idx
from nnkit.keras.models import Sequential
from nnkit.registry import Registry

EXAMPLES = Path(__file__).parent.parent / "examples"
EPOCHS = 20


@pytest.fixture(scope="module")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four MNIST files: 600 images to learn from, 200 to test on."""
    small, labels = load_digits()
    images = np.pad(np.kron(small * (255 / 16), np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for name, rows in {"train": slice(0, 600), "t10k": slice(600, 800)}.items():
        write_idx(folder / "mnist" / f"{name}-images-idx3-ubyte.gz", images[rows])
        write_idx(folder / "mnist" / f"{name}-labels-idx1-ubyte.gz", labels[rows].astype(np.uint8))
    return folder


@pytest.fixture(autouse=True)
def small_world(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small MNIST, equal random numbers, and at most ``EPOCHS`` epochs."""
    fit: Callable[..., Any] = Sequential.fit

    def fit_for_less(self: Sequential, *args: Any, epochs: int = 1, **options: Any) -> Any:
        return fit(self, *args, epochs=min(epochs, EPOCHS), **options)

    monkeypatch.setenv("NNKIT_DATA", str(mnist_folder))
    monkeypatch.setattr(Sequential, "fit", fit_for_less)
    np.random.seed(0)  # noqa: NPY002
    nnkit.manual_seed(0)


def number(pattern: str, text: str) -> float:
    found = re.search(pattern + r" ([\d.]+)", text)
    assert found is not None, text
    return float(found[1])


def linear_regression(names: dict[str, Any], output: str) -> None:
    """Ordinary least squares leaves 2900 on these rows; the mean of the targets alone would leave 5361."""
    assert 2800 < number("Mean Squared Error:", output) < 3000


def variables_and_gradients(names: dict[str, Any], output: str) -> None:
    assert "gradient shapes: (10, 5) (5,) (5, 1) (1,)" in output
    assert number("epoch 20: loss", output) < number("epoch 5: loss", output)
    assert number("test loss:", output) == pytest.approx(names["test_loss"], abs=1e-3)


def keras_mnist(names: dict[str, Any], output: str) -> None:
    assert number("Test accuracy:", output) == names["test_acc"] > 0.8
    assert len(names["model"].history.epoch) == 10


def keras_list(names: dict[str, Any], output: str) -> None:
    losses = names["model"].history.history["loss"]
    assert len(losses) == 10 and losses[-1] < 0.5 * losses[0]


def pytorch(names: dict[str, Any], output: str) -> None:
    """Ten steps from ten classes alike: the loss is just below the 2.3026 of a guess."""
    assert 2.0 < names["loss"].item() < 2.3026
    assert names["output"].shape == (600, 10)


def keras_binary(names: dict[str, Any], output: str) -> None:
    assert number("Test loss:", output) == names["score"][0] < 0.7
    assert 0.4 < number("Test accuracy:", output) == names["score"][1] < 0.8
    assert names["model"].optimizer.iterations == EPOCHS * 32


CHECKS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "seed_000_linear_regression.py": linear_regression,
    "seed_001_variables_and_gradients.py": variables_and_gradients,
    "seed_002_keras_mnist.py": keras_mnist,
    "seed_003_keras.py": keras_list,
    "seed_003_pytorch.py": pytorch,
    "seed_004_keras_binary.py": keras_binary,
}


def test_every_example_is_tested() -> None:
    names = ["adversarial", "autoencoder", "churn", "deep_q", "forecast", "heat_equation", "house_prices", "images"]
    names = [*names, "language_model", "many_networks", "pictures", "policy_gradient", "search", "serve_digits"]
    names = [*names, "export_onnx", "update_model", "search_on_machines"]
    names = [f"{name}.py" for name in names]
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted([*CHECKS, *names])


def test_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "images.py"))["main"], tmp_path / "wrong.png"
    accuracy = main(["--epochs", "3", "--shifts", "--output", str(picture)])
    assert accuracy > 0.9 and f"held-out digits: {accuracy:.4f}" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="pip install scikit-learn matplotlib")
    pytest.importorskip("matplotlib", reason="pip install scikit-learn matplotlib")
    main = runpy.run_path(str(EXAMPLES / "pictures.py"))["main"]
    accuracy = main(["--epochs", "4", "--output", str(tmp_path)])
    assert accuracy > 0.9 and f"held-out digits: {accuracy:.4f}" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.png"))) == 10 and len((tmp_path / "epochs.jsonl").read_text().splitlines()) == 4
    assert "6,090 parameters" in (tmp_path / "model.txt").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("error")
def test_autoencoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean digit, drawn whatever is given, would be 27.1 off."""
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "autoencoder.py"))["main"], tmp_path / "codes.png"
    bound = main(["--epochs", "10", "--output", str(picture)])
    last = re.findall(r"([\d.]+) \+ ([\d.]+) held out", capsys.readouterr().out)[-1]
    assert bound < 26 and sum(map(float, last)) == pytest.approx(bound, abs=2e-3)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_serve_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for needed in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(needed, reason="pip install fastapi uvicorn prometheus_client")
    main = runpy.run_path(str(EXAMPLES / "serve_digits.py"))["main"]
    (first, small), (second, better), (again, same) = main(["--epochs", "10", "--registry", str(tmp_path / "registry")])
    assert (first, second, again) == ("1", "2", "1") and small == same < better and better > 0.9
    assert "3 requests" in (output := capsys.readouterr().out) and "status 0" in output


def test_churn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A guess has 0.03."""
    main, file = runpy.run_path(str(EXAMPLES / "churn.py"))["main"], tmp_path / "churn.safetensors"
    network, trees = main(["--rows", "8000", "--epochs", "10", "--output", str(file)])
    assert network > 0.12 and trees > 0.08
    assert f"network {network:.3f}" in (output := capsys.readouterr().out)
    assert number("leaves with a chance of", output) >= 3 and file.exists()


def test_house_prices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "house_prices.py"))["main"], tmp_path / "houses.png"
    errors = main(["--rows", "6000", "--epochs", "15", "--output", str(picture)])
    assert errors["network"] < 0.97 * errors["linear model"] < errors["the median"]
    assert f"network ${errors['network']:,.0f}" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_adversarial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean digit, drawn every time, would be 2.15 away."""
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "adversarial.py"))["main"], tmp_path / "drawn.png"
    distance = main(["--steps", "500", "--output", str(picture)])
    output = capsys.readouterr().out
    assert distance < 1.9 and f"drawn {distance:.3f}" in output
    assert 0.5 < number("step   500: critic's loss", output) < 1.5 and 0.5 < number("painter's", output) < 3
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_heat_equation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A guess of 0 everywhere would have the error 1."""
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "heat_equation.py"))["main"], tmp_path / "rod.png"
    error = main(["--steps", "300", "--output", str(picture)])
    assert error < 0.4 and f"relative error {error:.5f}" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_export_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="pip install onnx onnxruntime")
    main = runpy.run_path(str(EXAMPLES / "export_onnx.py"))["main"]
    difference, accuracy, labels, loss = main(["--epochs", "4", "--folder", str(tmp_path)])
    assert difference < 1e-4 and accuracy > 0.85 and set(labels) <= {"no", "yes"} and loss < 0.5
    assert f"accuracy {accuracy:.3f}" in capsys.readouterr().out and (tmp_path / "credit.onnx").exists()


def test_language_model(capsys: pytest.CaptureFixture[str]) -> None:
    """From some 40 letters that it guesses among at first to fewer than by how often each comes."""
    main = runpy.run_path(str(EXAMPLES / "language_model.py"))["main"]
    perplexity = main(["--steps", "40", "--length", "100"])
    output = capsys.readouterr().out
    assert perplexity < 15 < number("by how often each comes: perplexity", output)
    assert f"learned from: {perplexity:.3f}" in output
    assert len(output.partition("Shall I compare the")[2]) == 100 - 19 + 1


def test_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "forecast.py"))["main"], tmp_path / "forecast.png"
    error, last = main(["--epochs", "3", "--output", str(picture)])
    assert error < 0.8 * last and f"LSTM {error:.3f}, last value {last:.3f}" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_deep_q(capsys: pytest.CaptureFixture[str]) -> None:
    """Without slipping the best way is eight moves: the goal's 1, discounted seven times. Standing still wins 0."""
    main = runpy.run_path(str(EXAMPLES / "deep_q.py"))["main"]
    reached, best = main(["--steps", "8000", "--slip", "0"])
    assert best == pytest.approx(0.97**7)
    assert 0.9 * best < reached < best + 1e-9
    assert f"return reached {reached:.4f}, the most that can be {best:.4f}" in capsys.readouterr().out


@pytest.mark.filterwarnings("error")
def test_policy_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    """One throw of two dice would win 25 / 36 * 8 points on average, and an untrained net less than that."""
    main = runpy.run_path(str(EXAMPLES / "policy_gradient.py"))["main"]
    reached, best = main(["--updates", "100"])
    assert 7.0 < reached < best < 8.1418  # what stopping at 20 wins when there is no end to the throws
    assert f"return reached {reached:.4f}, the most that can be {best:.4f}" in capsys.readouterr().out


def test_update_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The champion is overtaken twice; what learned from mixed-up labels is not published."""
    pytest.importorskip("scipy", reason="pip install scipy")
    main = runpy.run_path(str(EXAMPLES / "update_model.py"))["main"]
    assert main(["--registry", str(tmp_path / "registry")]) == [1, 2, 3, 3]
    output = capsys.readouterr().out
    assert output.count("  no drift\n") == 1 and output.count("  drift in 64 of 64 pixels\n") == 2
    assert "the candidate is not better: version 3 stays" in output
    registry = Registry(tmp_path / "registry")
    assert registry.aliases("digits") == {"champion": 2} and registry.check() == []
    assert all(version.card["metrics"]["accuracy"] > 0.85 for version in registry.versions("digits"))


def test_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both grids find the same; a guess has 0.1."""
    pytest.importorskip("optuna", reason='pip install "nnkit-engine[tune]"')
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    main, picture = runpy.run_path(str(EXAMPLES / "search.py"))["main"], tmp_path / "study.png"
    found = main(["--rows", "400", "--epochs", "4", "--trials", "5", "--output", str(picture)])
    assert found["grid, fits one by one"] == found["grid, fits together"] and min(found.values()) > 0.5
    assert f"{found['Bayesian']:.3f} of 100 digits held out: Bayesian" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_many_networks(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(EXAMPLES / "many_networks.py"))["main"]
    near, beyond = main(["--networks", "8", "--rows", "300", "--epochs", "30"])
    output = capsys.readouterr().out
    assert near < beyond and "the same weights: True" in output and "8 trained together" in output


@pytest.mark.parametrize("name", CHECKS)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(EXAMPLES / name))
    CHECKS[name](names, capsys.readouterr().out)
