"""Pictures made from a model and data: what is drawn, of one class and of a hundred, of one layer and of sixty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pictures import apart, inside_of

import nnkit
from nnkit import nn, plot

matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
metrics = pytest.importorskip("sklearn.metrics", reason="pip install scikit-learn")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
AS_IS = nn.Identity()


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    """Every figure is closed after its test."""
    yield
    pyplot.close("all")


def scores(classes: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are mostly right, and labels."""
    truth = np.arange(rows) % classes
    given = RNG.normal(size=(rows, classes)).astype(np.float32)
    given[np.arange(rows), truth] += 2.0
    return given, truth


def keras_classifier() -> Any:
    from nnkit.keras import Sequential, layers

    model = Sequential([layers.Dense(5, activation="relu", input_shape=(2,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def fitted(x: np.ndarray, y: np.ndarray) -> Any:
    """An estimator of scikit-learn's vocabulary, after one epoch."""
    from nnkit.sklearn import MLPClassifier

    return MLPClassifier((4,), random_state=0).partial_fit(x, y, classes=np.unique(y))


# ---- histograms -----------------------------------------------------------------------------------------------------


def test_histograms_of_what_layers_return(device: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = RNG.normal(size=(50, 4))
    display = plot.ActivationDisplay.from_model(model, x)
    assert list(display.counts) == ["0 (Linear)", "1 (ReLU)", "2 (Linear)"]
    hidden = np.maximum(model[0](nnkit.tensor(x, dtype="float32")).detach().numpy(), 0.0)
    assert np.allclose(np.sort(display.values["1 (ReLU)"]), np.sort(hidden.ravel()), atol=1e-6)
    assert [int(counts.sum()) for counts in display.counts.values()] == [400, 400, 100]
    for row, line in enumerate(display.ax_.lines):
        y = np.asarray(line.get_ydata()) + row
        assert y.min() == 0.0 and y.max() == pytest.approx(0.85) and len(y) == len(display.edges) - 1
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(display.counts)
    assert "zero" in display.ax_.texts[1].get_text() and model.training and not model[0]._forward_hooks


def test_histograms_of_weights() -> None:
    model = nn.Linear(3, 2)
    with nnkit.no_grad():
        model.weight[0, 0] = np.nan
    display = plot.WeightDisplay.from_model(model)
    assert [int(counts.sum()) for counts in display.counts.values()] == [5, 2]
    assert display.ax_.texts[0].get_text().endswith("17 % not finite")
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.WeightDisplay.from_model(nn.ReLU())
    nothing = plot.WeightDisplay({"lost": np.full(3, np.nan), "none": np.zeros(0)})
    assert nothing.plot().ax_.texts[1].get_text() == "no values"


@pytest.mark.parametrize("count", [1, 60])
def test_histograms_of_one_and_of_sixty_layers(count: int) -> None:
    layers = {f"a_layer_whose_name_is_long_{n}_projection": nn.Linear(3, 3) for n in range(count)}
    model = nn.Sequential(layers)
    axes = plot.ActivationDisplay.from_model(model, RNG.normal(size=(5, 3))).ax_
    assert len(axes.lines) == count and inside_of(axes)
    assert apart(axes.get_yticklabels()) and apart(axes.texts)
    _, small = pyplot.subplots(figsize=(4, 3))
    plot.ActivationDisplay.from_model(model, RNG.normal(size=(5, 3)), ax=small).figure_.canvas.draw()
    assert apart(small.get_yticklabels())


def test_histograms_of_other_kinds_of_models() -> None:
    x = RNG.normal(size=(6, 2)).astype(np.float32)
    keras = keras_classifier()
    names = [layer.name for layer in keras.layers]
    assert list(plot.ActivationDisplay.from_model(keras, x).counts) == names
    assert len(plot.WeightDisplay.from_model(keras).counts) == 4
    estimator = fitted(x, np.array([0, 1, 0, 1, 0, 1]))
    assert list(plot.ActivationDisplay.from_model(estimator, x).counts) == ["0 (Linear)", "1 (Linear)"]
    recurrent = plot.ActivationDisplay.from_model(nn.LSTM(2, 3), np.zeros((4, 1, 2)))
    assert [int(counts.sum()) for counts in recurrent.counts.values()] == [12 + 3 + 3]
    with pytest.raises(TypeError, match="expected a Module, a Keras model or an estimator"):
        plot.WeightDisplay.from_model("model")
    from nnkit.sklearn import MLPRegressor

    with pytest.raises(ValueError, match="fit it first"):
        plot.WeightDisplay.from_model(MLPRegressor())


# ---- confusion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 100])
def test_confusion(classes: int) -> None:
    given, truth = scores(classes)
    names = [f"a class with a long name {n}" for n in range(classes)]
    display = plot.ConfusionMatrixDisplay.from_model(AS_IS, given, truth, class_names=names)
    assert np.array_equal(display.confusion_matrix, metrics.confusion_matrix(truth, given.argmax(1)))
    assert isinstance(display.display_, metrics.ConfusionMatrixDisplay) and display.display_.ax_ is display.ax_
    written = [text.get_text() for text in display.ax_.texts]
    assert len(written) == (classes**2 if classes <= 15 else 0)
    assert inside_of(display.ax_) and apart(display.ax_.get_yticklabels()) and apart(display.ax_.get_xticklabels())


def test_confusion_of_one_class_and_in_shares() -> None:
    assert plot.ConfusionMatrixDisplay([[7]], ["only"]).plot().ax_.texts[0].get_text() == "7"
    one = plot.ConfusionMatrixDisplay.from_model(AS_IS, np.full((5, 1), 0.2, np.float32), np.zeros(5, int))
    assert one.confusion_matrix.tolist() == [[5, 0], [0, 0]]
    shares = plot.ConfusionMatrixDisplay.from_model(AS_IS, np.eye(2), [0, 0], normalize="true").ax_
    assert sorted(text.get_text() for text in shares.texts) == ["0.00", "0.00", "0.50", "0.50"]


def test_labels_of_every_kind() -> None:
    """One-hot rows, a column, texts of an estimator's classes."""
    given, truth = scores(3, 30)
    expected = metrics.confusion_matrix(truth, given.argmax(1))
    for y in (truth, truth[:, None], np.eye(3)[truth], truth.tolist(), nnkit.tensor(truth)):
        assert np.array_equal(plot.ConfusionMatrixDisplay.from_model(AS_IS, given, y).confusion_matrix, expected)
    x = RNG.normal(size=(20, 2))
    texts = np.array(["no", "yes"])[(x[:, 0] > 0).astype(int)]
    estimator = fitted(x, texts)
    display = plot.ConfusionMatrixDisplay.from_model(estimator, x, texts)
    assert np.array_equal(display.confusion_matrix, metrics.confusion_matrix(texts, estimator.predict(x)))
    assert display.class_names == ["no", "yes"]


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        ([0, 5], {}, r"the model has 2 classes, 0 to 1, got \[5\]"),
        ([0], {}, "1 labels for outputs"),
        ([0, 1], {"class_names": ["a"]}, "got 1 for 2 classes"),
    ],
)
def test_labels_that_do_not_fit(y: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot.ConfusionMatrixDisplay.from_model(AS_IS, np.eye(2), y, **options)


# ---- curves ---------------------------------------------------------------------------------------------------------


def test_roc_of_two_classes() -> None:
    given, truth = RNG.normal(size=(50, 1)), np.arange(50) % 2
    display = plot.RocCurveDisplay.from_model(AS_IS, given, truth)
    false, true, _ = metrics.roc_curve(truth, given[:, 0])
    (own,) = display.displays_.values()
    assert isinstance(own, metrics.RocCurveDisplay)
    assert np.allclose(display.ax_.lines[0].get_xdata(), false) and np.allclose(display.ax_.lines[0].get_ydata(), true)
    assert display.areas()["1"] == pytest.approx(metrics.roc_auc_score(truth, given[:, 0]))


def test_curves_of_three_classes() -> None:
    given, truth = scores(3)
    chances = np.exp(given) / np.exp(given).sum(1, keepdims=True)
    roc = plot.RocCurveDisplay.from_model(AS_IS, given, truth)
    assert list(roc.areas().values()) == pytest.approx(
        [metrics.roc_auc_score(truth == k, chances[:, k]) for k in range(3)]
    )
    precision = plot.PrecisionRecallDisplay.from_model(AS_IS, given, truth)
    assert list(precision.areas().values()) == pytest.approx(
        [metrics.average_precision_score(truth == k, chances[:, k]) for k in range(3)]
    )
    assert [text.get_text() for text in precision.ax_.get_legend().get_texts()] == [
        f"{name}: {area:.3f}" for name, area in precision.areas().items()
    ]
    assert roc.ax_.get_legend().get_title().get_text().startswith("area under the curve, mean 0.")


def test_curves_of_a_hundred_classes() -> None:
    given, truth = scores(100, 1000)
    for kind in (plot.RocCurveDisplay, plot.PrecisionRecallDisplay):
        display = kind.from_model(AS_IS, given, truth)
        areas = display.areas()
        texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert len(areas) == 100 and len(texts) == 3 and inside_of(display.ax_)
        assert texts[0] == f"best, {max(areas, key=areas.__getitem__)}: {max(areas.values()):.3f}"
        assert texts[2].endswith(f"{min(areas.values()):.3f}")


def test_a_curve_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="needs labels of two classes or more, got only 0"):
        plot.RocCurveDisplay.from_model(AS_IS, np.ones((3, 1)), [0, 0, 0])
    _, axes = pyplot.subplots()
    display = plot.PrecisionRecallDisplay.from_model(
        keras_classifier(), RNG.normal(size=(9, 2)), np.arange(9) % 3, ax=axes
    )
    assert display.ax_ is axes and len(display.displays_) == 3


# ---- predicted against true -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 5, 20])
def test_predicted_against_true(outputs: int) -> None:
    x = RNG.normal(size=(30, outputs))
    y = x + 0.1
    y[2] = np.nan
    display = plot.PredictionErrorDisplay.from_model(AS_IS, x, y if outputs > 1 else y[:, 0])
    assert len(display.axes_) == min(outputs, 12) and inside_of(*display.axes_)
    assert isinstance(display.displays_[0], metrics.PredictionErrorDisplay)
    points = display.ax_.collections[0].get_offsets()
    assert np.allclose(points[:, 0] + 0.1, points[:, 1], atol=1e-6) and len(points) == 29
    assert "mean error 0.1, 1 not finite" in display.ax_.get_title()
    with pytest.raises(ValueError, match="the shapes must be equal"):
        plot.PredictionErrorDisplay.from_model(AS_IS, x, np.ones((29, outputs)))


def test_a_constant_that_is_right_has_all_of_the_variance() -> None:
    for said, share in ((1.0, "1.000"), (2.0, "0.000")):
        display = plot.PredictionErrorDisplay.from_model(AS_IS, np.full((4, 1), said), np.ones(4))
        assert display.ax_.get_title().startswith(f"R² {share}")
        assert metrics.r2_score(np.ones(4), np.full(4, said)) == float(share)


# ---- the decision boundary ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 100])
def test_the_decision_boundary(classes: int) -> None:
    x = RNG.normal(size=(200, 3)).astype(np.float32)
    model = nn.Linear(3, classes)
    y = np.arange(200) % classes
    display = plot.DecisionBoundaryDisplay.from_model(model, x, y, features=(0, 2), resolution=20)
    places = np.tile(np.median(x, axis=0), (400, 1))
    places[:, 0], places[:, 2] = (part.ravel() for part in np.meshgrid(display.xs, display.ys))
    said = model.predict(places)
    expected = (said[:, 0] > 0) if classes == 1 else said.argmax(1)
    assert np.array_equal(display.response.ravel(), expected)
    assert display.ax_.get_xlabel() == "feature 0" and display.ax_.get_ylabel() == "feature 2"
    assert inside_of(display.ax_) and (display.ax_.get_legend() is None) == (classes == 100)


def test_the_boundary_of_an_estimator_and_of_a_regression() -> None:
    x = RNG.normal(size=(40, 2))
    texts = np.array(["no", "yes"])[(x[:, 0] > 0).astype(int)]
    display = plot.DecisionBoundaryDisplay.from_model(fitted(x, texts), x, texts, resolution=10)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["no", "yes"]
    values = plot.DecisionBoundaryDisplay.from_model(nn.Linear(2, 1), x, x[:, 0], resolution=10)
    assert values.classes is None and values.response.shape == (10, 10) and values.ax_.get_legend() is None
    with pytest.raises(ValueError, match="two features or more"):
        plot.DecisionBoundaryDisplay.from_model(nn.Linear(1, 1), x[:, :1], texts)


# ---- filters, feature maps ------------------------------------------------------------------------------------------


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 80, 3), nn.Flatten(), nn.Linear(80 * 16, 2))


def test_filters() -> None:
    model = net()
    display = plot.FilterDisplay.from_model(model)
    assert np.array_equal(display.images, model[0].weight.detach().numpy()[:, 0])
    shown = display.ax_.images[0].get_array()
    assert shown.shape == (7, 7) and np.array_equal(shown[:3, 4:], display.images[1])
    low, high = display.ax_.images[0].get_clim()
    assert low == -high and display.ax_.get_title() == "0 (Conv2d)"
    many = plot.FilterDisplay.from_model(model, "2")
    assert len(many.images) == 64 and many.ax_.get_title() == "2 (Conv2d), mean of 4 channels, the first 64 of 80"
    assert np.allclose(many.images, model[2].weight.detach().numpy()[:64].mean(1)) and inside_of(many.ax_)
    coloured = plot.FilterDisplay.from_model(nn.Conv2d(3, 2, 5))
    assert coloured.images.shape == (2, 5, 5, 3) and 0.0 <= coloured.images.min() <= coloured.images.max() <= 1.0


def test_filters_of_a_dense_layer_and_what_has_none() -> None:
    layer = nn.Linear(6, 4)
    display = plot.FilterDisplay.from_model(layer, layer, shape=(2, 3))
    assert np.array_equal(display.images, layer.weight.detach().numpy().reshape(4, 2, 3))
    for options, message in (
        ({}, "Linear has no convolution of images"),
        ({"layer": layer}, "pass shape= for a dense layer"),
        ({"layer": layer, "shape": (3, 3)}, r"\(3, 3\) is no image of weights"),
        ({"layer": "x"}, "there is no 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            plot.FilterDisplay.from_model(layer, **options)


def test_feature_maps() -> None:
    model, x = net(), RNG.normal(size=(3, 1, 8, 8)).astype(np.float32)
    display = plot.FeatureMapDisplay.from_model(model, x, sample=1)
    assert np.allclose(display.images, model[0](nnkit.tensor(x))[1].detach().numpy(), atol=1e-6)
    assert plot.FeatureMapDisplay.from_model(model, x, "1").images.min() == 0.0
    with pytest.raises(ValueError, match="'4' does not return images"):
        plot.FeatureMapDisplay.from_model(model, x, "4")
    with pytest.raises(ValueError, match="no layer returns images"):
        plot.FeatureMapDisplay.from_model(nn.Linear(2, 2), np.zeros((1, 2)))


def test_filters_and_maps_of_a_keras_model() -> None:
    from nnkit.keras import Sequential, layers

    model = Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 1), name="first"), layers.Flatten()])
    x = RNG.normal(size=(1, 8, 8, 1)).astype(np.float32)
    assert np.array_equal(
        plot.FilterDisplay.from_model(model).images, model.get_weights()[0][:, :, 0].transpose(2, 0, 1)
    )
    display = plot.FeatureMapDisplay.from_model(model, x, "first")
    expected = model.layers[0](x).numpy()[0].transpose(2, 0, 1)
    assert np.allclose(display.images, expected, atol=1e-6) and display.ax_.get_title() == "first"


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "shown"), [(1, 1), (3, 3), (40, 16)])
def test_mistakes(rows: int, shown: int) -> None:
    """All that is taken for 1 and is 0 or 2, the surest first."""
    given = np.zeros((rows, 3), np.float32)
    given[:, 1] = (np.arange(rows) + 1.0) / rows
    images = np.arange(rows * 10).reshape(rows, 1, 2, 5)
    truth = np.array([0, 2])[np.arange(rows) % 2]
    names = ["zero", "one", "a two with a long name"]
    display = plot.MistakesDisplay.from_model(AS_IS, given, truth, images=images, class_names=names)
    if rows == 1:
        display.figure_.canvas.draw()
        box = display.figure_._suptitle.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= display.figure_.bbox.width
        return
    assert display.count == display.total == rows and len(display.axes_) == shown
    assert display.ax_.get_title() == ("one / zero" if rows == 3 else "one\n/ a two w…ng name")
    if rows == 3:
        assert np.array_equal(display.ax_.images[0].get_array(), images[2, 0])
    assert display.figure_.get_suptitle() == f"wrong: {rows} of {rows} (said / right)" and inside_of(*display.axes_)
    assert apart([axes.title for axes in display.axes_])


def test_mistakes_within_axes_and_none_at_all() -> None:
    _, (left, right) = pyplot.subplots(1, 2, layout="constrained")
    images, given = np.zeros((4, 2, 2)), np.eye(2)[[0, 1, 0, 1]]
    display = plot.MistakesDisplay.from_model(AS_IS, given, [1, 0, 1, 0], images=images, ax=left)
    texts = [text for axes in display.figure_.axes for text in [*axes.texts, axes.title] if text.get_text()]
    display.figure_.canvas.draw()
    assert len(texts) == 5 and apart(texts)
    nothing = plot.MistakesDisplay.from_model(AS_IS, given, [0, 1, 0, 1], images=images, ax=right)
    assert nothing.ax_ is right and nothing.ax_.texts[0].get_text() == "nothing wrong in 4"
    with pytest.raises(ValueError, match="images: expected"):
        plot.MistakesDisplay.from_model(AS_IS, given, [0, 1, 0, 1])
    coloured = plot.MistakesDisplay.from_model(AS_IS, given, [1, 1, 0, 1], images=np.zeros((4, 3, 5, 5)))
    assert coloured.images.shape == (1, 5, 5, 3)


# ---- attention ------------------------------------------------------------------------------------------------------


def test_attention_maps(device: str) -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    x = RNG.normal(size=(3, 5, 8)).astype(np.float32)
    tokens = ["the", "extraordinarily", "long", "word", "."]
    display = plot.AttentionDisplay.from_model(model, x, sample=1, tokens=tokens)
    given = nnkit.tensor(x)
    model.eval()
    _, expected = model.layers[0].self_attn(given, given, given, average_attn_weights=False)
    assert np.allclose(display.weights, expected[1].detach().numpy(), atol=1e-6)
    assert np.allclose(display.weights.sum(-1), 1.0, atol=1e-5) and len(display.axes_) == 2
    assert display.ax_.get_xticklabels()[0].get_text() == "the"
    other = plot.AttentionDisplay.from_model(model, x, "layers.1.self_attn", sample=1)
    assert not np.allclose(other.weights, display.weights)


def test_attention_with_a_mask_and_tokens_first() -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 1)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x, is_causal=True, need_weights=False)[0]

    display = plot.AttentionDisplay.from_model(Causal(), RNG.normal(size=(6, 2, 4)), sample=1)
    assert display.weights.shape == (1, 6, 6) and np.allclose(np.triu(display.weights[0], 1), 0.0)


def test_attention_of_keras_and_of_many_heads() -> None:
    from nnkit.keras import Input, Model, layers

    inputs = Input((6, 8))
    model = Model(inputs, layers.MultiHeadAttention(2, 4)(inputs, inputs))
    display = plot.AttentionDisplay.from_model(model, RNG.normal(size=(2, 6, 8)).astype(np.float32))
    assert display.weights.shape == (2, 6, 6) and np.allclose(display.weights.sum(-1), 1.0, atol=1e-5)
    many = plot.AttentionDisplay(np.full((20, 50, 50), 0.02)).plot()
    assert len(many.axes_) == 16 and many.figure_.get_suptitle() == "the first 16 of 20 heads"
    with pytest.raises(ValueError, match="no attention layer"):
        plot.AttentionDisplay.from_model(nn.Linear(2, 2), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="expected \\(heads, queries, keys\\)"):
        plot.AttentionDisplay(np.zeros((2, 2)))
