"""The faults that only many repetitions show; a few minutes, for ``.ci/run``."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.models import run
from faults.mutations import mutated_bytes
from faults.on_machine import predict_together
from faults.on_runs import damaged_files, damaged_states
from faults.table import fault

from nnkit.datasets import read_idx
from nnkit.errors import DataError

#: One training whose processes are killed at random moments, and the same without a break.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np, nnkit
from nnkit import nn, optim
from nnkit.training import EarlyStopping, LearningRateScheduler, RunCheckpoint

nnkit.set_default_device("numpy")
folder, kills = Path(sys.argv[1]), int(sys.argv[2])
x, y = np.random.default_rng(0).normal(size=(40, 4)).astype("float32"), np.arange(40) % 3

def train(folder, resume=None):
    nnkit.manual_seed(0 if resume is None else os.getpid())
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.2), nn.Linear(6, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    rate = LearningRateScheduler(optim.lr_scheduler.ExponentialLR(optimizer, 0.999), by="batch")
    keeper = RunCheckpoint(folder / "run-{epoch:04d}-{step}", every=2, keep_last=3)
    history = model.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=120, batch_size=8, verbose=0,
                        validation_split=0.2, callbacks=[keeper, EarlyStopping(patience=200), rate], resume=resume)
    return [p.detach().numpy().tobytes() for p in model.parameters()], repr(history.history)

def latest():
    names = sorted(path for path in folder.glob("run-*"))
    for path in names:
        nnkit.load(path)  # every name refers to a whole file
    return names[-1] if names else None

whole, source, killed = train(folder.parent / "whole"), random.Random(1), 0
for number in range(kills):
    child = os.fork()
    if child == 0:
        train(folder, latest())
        os._exit(0)
    time.sleep(source.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert len(list(folder.glob("run-*"))) <= 4
assert train(folder, latest()) == whole
assert len(list(folder.iterdir())) == 3, list(folder.iterdir())
print(killed)
"""


@fault(1, "200 kills of a training that saves itself at every second step",
       "every name refers to a whole file; the end is that of a training without a break, to the bit",
       "no more files than were asked for", long=True, promise=2)  # fmt: skip
def killed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "run").mkdir()
    assert int(run(KILLED, folder / "run", 200).stdout) > 100


@fault("file", "5,000 files of models, trainings and data sets with random damage", "refused by name, or read",
       "the process", long=True)  # fmt: skip
def files(folder: Path, patch: pytest.MonkeyPatch) -> None:
    damaged_files(folder, 500)
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(18)
    for damaged in mutated_bytes(content, 3000, seed=4):
        (folder / "images").write_bytes(damaged)
        try:
            assert read_idx(folder / "images").nbytes <= len(damaged)
        except DataError as error:
            assert "images" in str(error)


@fault(
    "state", "every small damage of every state", "refused with its keys, or it can be used", "the object", long=True
)
def states(folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert damaged_states(every=1) > 5000


INTERRUPTED = """
import os, random, signal, sys, threading, time
import numpy as np, nnkit
from nnkit import nn
from nnkit.training import LambdaCallback, last_history

x, y, ends, source = np.zeros((64, 4), "float32"), np.arange(64) % 3, [], random.Random(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
told = LambdaCallback(
    on_train_begin=lambda: number % 3 != 1 and timer.start(), on_train_end=lambda: ends.append(None)
)
count = int(sys.argv[1])
for number in range(count):
    timer = threading.Timer(source.uniform(0.0, 0.03), os.kill, (os.getpid(), signal.SIGINT))
    try:
        if number % 3 == 1:  # it may come before the training has begun
            timer.start()
        model.fit(x, y, loss="cross_entropy", epochs=10**6, batch_size=8, callbacks=[told], verbose=0)
    except KeyboardInterrupt:
        pass
    timer.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert np.isfinite(model.predict(x)).all() and model.training
    assert len(ends) <= number + 1
assert len(ends) > count // 2 and last_history(model).interrupted
model.fit(x, y, loss="cross_entropy", epochs=2, verbose=0)
print(len(ends))
"""


@fault(36, "100 interrupts of fit at random moments", "KeyboardInterrupt each time; callbacks end once",
       "the model, the handler, the threads", long=True)  # fmt: skip
def interrupts(folder: Path, patch: pytest.MonkeyPatch) -> None:
    run(INTERRUPTED, 100)


OWN_LOOP = """
import random, signal, sys, threading, warnings
import numpy as np, nnkit
from nnkit import nn, optim
from nnkit.utils.data import DataLoader, TensorDataset

x = np.random.default_rng(0).standard_normal((200, 8)).astype("float32")
data = TensorDataset(nnkit.tensor(x), nnkit.tensor(x.sum(axis=1, keepdims=True)))

def learn():
    nnkit.manual_seed(3)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    @nnkit.compile
    def step(inputs, targets):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(4):
        for batch in DataLoader(data, batch_size=20, shuffle=True):
            step(*batch)
        with nnkit.no_grad():
            model.eval()(data.tensors[0])
        model.train()
        model.save(sys.argv[2])
    return [parameter.tolist() for parameter in model.parameters()]

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
expected, source, count = learn(), random.Random(0), 0
for number in range(int(sys.argv[1])):
    try:
        signal.setitimer(signal.ITIMER_REAL, source.uniform(1e-4, 0.03))
        learn()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    except KeyboardInterrupt:
        count += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    if number % 10 == 0:
        found = [learn()]
        thread = threading.Thread(target=lambda: found.append(learn()))
        thread.start()
        thread.join()
        nnkit.load(sys.argv[2])
        assert found == [expected, expected], number
print(count)
"""


@fault(36, "100 interrupts of a loop of one's own", "KeyboardInterrupt; the next run is as if there had been none",
       "gradients, modes, streams and files, in every thread", long=True)  # fmt: skip
def interrupted_loops(folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert int(run(OWN_LOOP, 100, folder / "model.safetensors").stdout) > 50


@fault(40, "32 threads predict while a model learns", "what each gives alone, to the bit", "the training", long=True)
def threads(folder: Path, patch: pytest.MonkeyPatch) -> None:
    predict_together(32, 40)


LEAKING = """
import gc, resource, sys
import numpy as np, nnkit
from nnkit import nn, optim

x, y = np.zeros((16, 4), "float32"), np.arange(16) % 3
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))
optimizer = optim.Adam(model.parameters())
step = nnkit.compile(lambda a: nn.functional.cross_entropy(model(a), labels))
labels, tensor = nnkit.tensor(y), nnkit.tensor(x)

def use(times):
    for number in range(times):
        model.predict(x)
        step(tensor)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tensor), labels).backward()
        optimizer.step()
        if number % 50 == 0:
            model.fit(x, y, loss="cross_entropy", verbose=0)
            nnkit.save(model, sys.argv[1])
            nnkit.load(sys.argv[1])

def held():
    gc.collect()
    return len(gc.get_objects()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

use(1000)
objects, megabytes = held()
use(int(sys.argv[2]))
more_objects, more_megabytes = held()
print(more_objects - objects, more_megabytes - megabytes)
assert more_objects - objects < 500 and more_megabytes - megabytes < 8
"""


@fault("leak", "20,000 predictions, replays, steps, and 400 trainings and files",
       "no more objects or memory than after few", long=True)  # fmt: skip
def leaks(folder: Path, patch: pytest.MonkeyPatch) -> None:
    run(LEAKING, folder / "file", 20_000)
