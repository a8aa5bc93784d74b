r"""
One step, followed through the code
===================================

A training step goes down six floors. Here is one of a small network, with what each floor makes of it, printed by the
floors themselves. Files are named as in the repository.
"""

import numpy as np

import nnkit
from nnkit import nn

model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)
random = np.random.default_rng(0)
x = nnkit.tensor(random.normal(size=(32, 8)).astype(np.float32))
y = nnkit.tensor(random.integers(0, 3, 32))


def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


# %%
# Module
# ------
# ``nnkit/nn/``: parameters, and the ops that use them. Called, a module runs its ``forward``.

print(model)

# %%
# Op
# --
# ``nnkit/ops/``: a differentiable function. It computes its value out of primitives, and leaves on the tape what its
# gradient will read. ``grad_fn`` is that entry; from it one gets to those before it.

loss = nn.functional.cross_entropy(model(x), y)
entry = loss.grad_fn
while entry is not None:
    print(entry)
    entry = next((before for before, _ in entry.next_functions if before is not None), None)

# %%
# Program
# -------
# ``nnkit/recording/compiled.py`` and ``backends/program.py``: ``nnkit.compile(step)`` runs the step plainly once,
# records the primitives of the second run, and from then on replays them without Python. ``nnkit.explain`` prints
# what was recorded: forward, backward and the optimizer's update, each a call of compiled code. ``fit`` does the same
# by itself.

explanation = nnkit.explain(step, x, y)

# %%
# Primitive
# ---------
# ``backends/base.py``: one operation on arrays that every backend can do. Each name in the column *instruction* is one.
# What they are made of on the reference backend is array-API calls; the compiled backends have kernels of the same
# name.

from nnkit.backends import PRIMITIVES

used = {row.instruction for row in explanation.rows}
print(len(PRIMITIVES), "primitives; this step's instructions:", ", ".join(sorted(used)))

# %%
# Kernel
# ------
# ``kernels/cpu/`` and ``kernels/cuda/``: a compiled loop over memory. The column *kernel* above names them.
#
# Formula
# -------
# ``kernels/formulas.py``: scalar mathematics in plain Python, written once. The kernels for CPUs and GPUs are compiled
# from it, and the reference backend evaluates the same lines on whole arrays.

import inspect

from nnkit.kernels import formulas

print(inspect.getsource(formulas.relu))
print(inspect.getsource(formulas.relu_grad))

# %%
# The same numbers
# ----------------
# A replayed step gives what the step gives when run plainly, to the bit.


def losses(compiled):
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = nnkit.optim.Adam(model.parameters(), lr=0.01)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = nnkit.compile(step) if compiled else step
    return [run(x, y).item() for _ in range(50)]


print(losses(compiled=True) == losses(compiled=False))
