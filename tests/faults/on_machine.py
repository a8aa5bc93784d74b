"""Faults of the machine and of time: signals, forks, threads, clocks, caches, devices."""

from __future__ import annotations

import ast
import copy
import gzip
import importlib.util
import os
import pickle
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults.models import CLASSES, LABELS, NUMBERS, X, classifier, run, seeded, weights
from faults.table import fault, provoked_in, waits

import nnkit
from nnkit import nn, optim
from nnkit.datasets import read_idx
from nnkit.errors import DataError
from nnkit.io import files
from nnkit.training import Callback, LambdaCallback

DEVICES = ("numpy", "numba", "strict")


@fault(27, "an array of another library by DLPack, also a read-only one", "its numbers, in its memory or in a copy",
       "the array", promise=6)  # fmt: skip
def dlpack(folder: Path, patch: pytest.MonkeyPatch) -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert nnkit.from_dlpack(array).tolist() == array.tolist()
    assert np.from_dlpack(nnkit.tensor(array)).tolist() == array.tolist()


@fault(28, "arrays, or tensors of another device, for a model", "moved once, by fit; refused by the model itself",
       "the model's device and type", promise=5)  # fmt: skip
def other_device(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for there in DEVICES:
        model = classifier().to(there)
        model.fit(nnkit.tensor(X, device="numpy"), LABELS, epochs=2, **CLASSES)
        assert {(str(p.device), str(p.dtype)) for p in model.parameters()} == {(there, "float32")}
        other = "numpy" if there != "numpy" else "numba"
        with pytest.raises(nnkit.errors.DeviceError):
            model(nnkit.tensor(X, device=other))


provoked_in(
    "test_backends.py", "test_cuda_falls_back_to_the_cpu_after_one_warning_with_the_reason", 29,
    "no driver, no GPU, no CuPy, no compiler", "the CPU after one warning that says why and what to do", promise=5,
)  # fmt: skip
provoked_in(
    "cuda/test_gpu_choice.py", "test_the_reason_and_the_remedy_are_told_once_and_the_cpu_runs", 30,
    "a driver that is too old, a GPU that computes nonsense", "the probe finds it out; as without a GPU",
)  # fmt: skip
provoked_in(
    "cuda/test_gpu_memory.py", "test_out_of_memory_names_what_was_asked_and_what_is_free", 31,
    "the GPU's memory is full", "pools are emptied and it is tried again; else an error with the batch that fits",
)  # fmt: skip
provoked_in(
    "cuda/test_gpu_faults.py", "test_a_broken_context_is_told_once_in_full_and_then_at_once", 32,
    "a GPU's context is broken", "told once, with the advice to restart; then every call fails at once",
)  # fmt: skip
provoked_in(
    "cuda/test_gpu_faults.py", "test_a_forked_child_gets_an_error_and_makes_no_call", 33,
    "a fork after the GPU was used", "an error that says how to start processes, and no hang",
)  # fmt: skip

FORKED = """
import os, sys, warnings
import numpy as np, nnkit
from nnkit import nn
nnkit.set_num_threads(2)
warnings.simplefilter("ignore")
x = np.random.default_rng(0).normal(size=(4096, 64)).astype("float32")
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
expected = model.predict(x)
for _ in range(4):
    child = os.fork()
    if child == 0:
        model.fit(x[:64], x[:64, :8], loss="mse", verbose=0)
        os._exit(0 if len(model.predict(x)) == len(x) else 1)
    assert os.waitpid(child, 0)[1] == 0
assert (model.predict(x) == expected).all()
"""


@fault(34, "a fork while threads are at work", "the child computes by threads of its own", "the parent")
def forked(folder: Path, patch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "fork"):
        run(FORKED)


waits(
    35, "a budget of a GPU's memory", lambda: not hasattr(nnkit.cuda, "set_per_process_memory_fraction"),
    "a search with many processes on one GPU", "one process at a time, or shares of the memory",
)  # fmt: skip

INTERRUPTED = """
import os, signal, sys
import numpy as np
from nnkit import nn
from nnkit.training import LambdaCallback, last_history
model, x, steps, times = nn.Linear(2, 1), np.zeros((40, 2)), [], int(sys.argv[1])
def press(step):
    if step == 3:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
told = LambdaCallback(on_batch_begin=press, on_batch_end=lambda step, logs: steps.append(step),
                      on_train_end=lambda: print("end"))
try:
    model.fit(x, x[:, :1], loss="mse", batch_size=4, epochs=5, callbacks=[told], verbose=0)
except KeyboardInterrupt:
    print(len(steps), last_history(model).interrupted, model.predict(x).shape, model.training)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@fault(36, "Ctrl-C within an epoch, once or twice", "the step is finished, or left at once; callbacks end once",
       "the model; Python's own handler")  # fmt: skip
def interrupted(folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert run(INTERRUPTED, 1).stdout.splitlines() == ["end", "4 True (40, 1) True", "True"]
    assert run(INTERRUPTED, 2).stdout.splitlines() == ["end", "3 True (40, 1) True", "True"]


@fault(37, "a callback raises", "the training stops, the others' ends still run, the error comes out", "the model")
def callback_raises(folder: Path, patch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    class Told(Callback):
        def on_train_end(self) -> None:
            ended.append("end")

    def fail(*arguments: object) -> None:
        raise RuntimeError("mine")

    for method in (
        "on_train_begin",
        "on_epoch_begin",
        "on_batch_begin",
        "on_batch_end",
        "on_epoch_end",
        "on_train_end",
    ):
        model = classifier()
        with pytest.raises(RuntimeError, match="mine"):
            model.fit(X, LABELS, callbacks=[Told(), LambdaCallback(**{method: fail}), Told()], **CLASSES)
        assert np.isfinite(model.predict(X)).all() and model.training
    assert ended == ["end"] * 12


def predict_together(threads: int, times: int) -> None:
    """Many threads predict at once while another model learns."""
    models = [seeded(number) for number in range(threads)]
    expected = [model.predict(X) for model in models]
    clone = seeded()
    alone = seeded()
    with ThreadPoolExecutor(threads + 1) as pool:
        training = pool.submit(lambda: clone.fit(X, LABELS, epochs=20, shuffle=False, **CLASSES))
        found = list(pool.map(lambda number: models[number % threads].predict(X), range(threads * times)))
        training.result()
    alone.fit(X, LABELS, epochs=20, shuffle=False, **CLASSES)
    assert all((found[number] == expected[number % threads]).all() for number in range(len(found)))
    assert weights(clone) == weights(alone)


@fault(40, "threads predict while another model learns", "what each gives alone, to the bit", "the training")
def threads(folder: Path, patch: pytest.MonkeyPatch) -> None:
    predict_together(4, 5)


@fault(41, "predictions of a model while it learns", "weights of one moment", "the training")
def predict_while_training(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Weight and bias are equal after every step, so a prediction for -1 is 0; dropout tells whether it was on."""

    def model() -> nn.Sequential:
        nnkit.manual_seed(0)
        made = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
        with nnkit.no_grad():
            made[0].weight.fill_(0.0), made[0].bias.fill_(0.0)
        return made

    def learn(net: nn.Module) -> list[bytes]:
        optimizer = optim.SGD(net.parameters(), lr=0.01)
        options = {"optimizer": optimizer, "epochs": 50, "batch_size": 1, "seed": 0, **NUMBERS}
        net.fit(np.ones((40, 1)), np.arange(40.0).reshape(-1, 1), **options)
        return weights(net)

    shared, alone = model(), learn(model())
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(learn, shared)
        while not training.done():
            assert not shared.predict([[-1.0]]).any()
            time.sleep(1e-3)  # Python's lock goes to who asks for it least often
        assert training.result() == alone


@fault(42, "copies and pickles of a model, of an optimizer and of an estimator that learned", "they go on to the bit")
def copies(folder: Path, patch: pytest.MonkeyPatch) -> None:
    model = seeded()
    optimizer = optim.Adam(model.parameters())
    model.fit(X, LABELS, optimizer=optimizer, **CLASSES)
    for duplicate in (copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))):
        again, state = duplicate((model, optimizer))
        assert weights(again) == weights(model)
        again.fit(X, LABELS, optimizer=state, shuffle=False, **CLASSES)
        twin, twin_state = duplicate((model, optimizer))
        twin.fit(X, LABELS, optimizer=twin_state, shuffle=False, **CLASSES)
        assert weights(twin) == weights(again) != weights(model)


provoked_in(
    "test_kernel_cache.py", "test_a_damaged_file_is_compiled_anew_and_mended", 43,
    "a cache of kernels that is damaged, cannot be written, or is shared", "compiled anew; never a crash",
)  # fmt: skip


@fault(44, "a clock that jumps, a decimal comma, odd folders, a file held open", "nothing is different", "files")
def circumstances(folder: Path, patch: pytest.MonkeyPatch) -> None:
    home = Path(nnkit.__file__).parent
    for path in home.rglob("*.py"):  # every span of time is taken from a clock that does not jump
        # These say when something happened, or ask how old a file is.
        if path.name in ("event_file.py", "loggers.py", "following.py", "folders.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "datetime.now")), path
    odd = os.fsdecode(b"\xff\xfe") if os.name == "posix" else "ü"
    place = folder / odd / ("x" * 200)
    place.mkdir(parents=True)
    patch.chdir(place)
    classifier().save("模型.safetensors")
    assert isinstance(nnkit.load("模型.safetensors"), nn.Sequential)
    held, real = iter([True, True, False, False]), os.replace

    def replace(source: Path, target: Path) -> None:
        if next(held):
            raise PermissionError(13, "held by a scanner")
        real(source, target)

    patch.setattr(files, "_WAITS", (0.0, 0.0, 0.0))
    patch.setattr(os, "replace", replace)
    files.write_file(place / "file", b"content")
    assert (place / "file").read_bytes() == b"content"
    comma = (
        "import locale, contextlib\n"
        "with contextlib.suppress(locale.Error): locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')\n"
    )
    program = "import nnkit; nnkit.save({'rate': 0.5}, 'rate'); print(nnkit.load('rate')['rate'])"
    assert run(comma + program).stdout.strip() == "0.5"


@fault(45, "a data set that is a web page, cut off, of a false size, or a bomb", "DataError", "memory")
def data_sets(folder: Path, patch: pytest.MonkeyPatch) -> None:
    header = bytes([0, 0, 8, 3])
    contents = {
        "a web page": (b"<html>", "is no IDX file"),
        "of a false size": (header + struct.pack(">3I", 2**31, 28, 28) + bytes(100), "truncated"),
        "cut off": (header + struct.pack(">3I", 2, 28, 28) + bytes(100), "truncated"),
        "longer": (header + struct.pack(">3I", 1, 1, 1) + bytes(9), "bytes after its array"),
        "a bomb": (gzip.compress(header + struct.pack(">3I", 1, 1, 1) + bytes(1 << 24)), "bytes after its array"),
        "half a gzip": (gzip.compress(header + struct.pack(">3I", 1, 1, 1) + bytes(1))[:-4], "damaged gzip"),
    }
    for name, (content, message) in contents.items():
        (folder / "file").write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(folder / "file")
            pytest.fail(name)


waits(
    46, "serving", lambda: importlib.util.find_spec("nnkit.serving") is None,
    "requests of a wrong shape or size, a model exchanged while one is answered", "422, 413; the old model answers it",
)  # fmt: skip


@fault("device", "the same program on another device", "dropout masks and the order of batches are the same to the bit",
       promise=4)  # fmt: skip
def devices_agree(folder: Path, patch: pytest.MonkeyPatch) -> None:
    found = []
    for device in DEVICES:
        nnkit.manual_seed(7)
        mask = nn.Dropout(0.4)(nnkit.ones(50, 20, device=device)).tolist()
        batches = nnkit.utils.data.DataLoader(nnkit.utils.data.TensorDataset(X, LABELS), 8, shuffle=True)
        found.append((mask, [y.tolist() for _, y in batches], nn.Linear(5, 5, device=device).weight.tolist()))
    assert found[0] == found[1] == found[2]


#: A wrong argument of each kind of function: what the message must name.
WRONG = {
    "batch_size": lambda: classifier().fit(X, LABELS, batch_size=0, **CLASSES),
    "epochs": lambda: classifier().fit(X, LABELS, epochs=-1, **CLASSES),
    "validation_split": lambda: classifier().fit(X, LABELS, validation_split=2.0, **CLASSES),
    "in_features": lambda: nn.Linear(0, 1),
    "patience|monitor": lambda: classifier().fit(X, LABELS, callbacks=[nnkit.training.EarlyStopping()], **CLASSES),
    "'weight' has shape": lambda: nn.Linear(1, 1).load_state_dict({"weight": np.ones((2, 2)), "bias": np.ones(1)}),
    "did you mean 'relu'": lambda: nn.Linear(1, 1, activation="rleu"),
    "did you mean 'adam'": lambda: classifier().fit(X, LABELS, optimizer="adan", **CLASSES),
    "lr must be at least 0, got -1": lambda: optim.SGD(classifier().parameters(), lr=-1),
    "write y.reshape": lambda: nn.Linear(4, 1).fit(X, X[:, 0], loss="mse", verbose=0),
    "path must be": lambda: nnkit.save({}, 3),
}  # fmt: skip


@fault(
    "message", "a wrong argument", "an error of nnkit's that names the argument, what came, and the way out", promise=7
)
def messages(folder: Path, patch: pytest.MonkeyPatch) -> None:
    for pattern, act in WRONG.items():
        with pytest.raises((ValueError, TypeError), match=pattern):
            act()


HEAVY = ("numba", "llvmlite", "cupy", "scipy", "sklearn", "matplotlib", "pandas", "tqdm", "safetensors", "torch")


@fault("import", "import nnkit where nothing else is wanted", "nothing heavy is imported with it", promise=8)
def light(folder: Path, patch: pytest.MonkeyPatch) -> None:
    loaded = run("import sys, nnkit, nnkit.keras; print(*sys.modules)").stdout.split()
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)
