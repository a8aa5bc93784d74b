"""More holders: containers, arrays and tensors, and the world outside the program (see ``holders``)."""

from __future__ import annotations

import array
import collections
import configparser
import contextlib
import contextvars
import io
import itertools
import logging
import os
import queue
import random
import tempfile
import threading
import types
from typing import Any

import numpy as np
from holders import holder, nothing, setting, thing

import nnkit

# fmt: off
# ---- containers -------------------------------------------------------------------------------------------------

@holder
def item_of_a_list(): o = [1.0]; return lambda: o[0], lambda i: o.__setitem__(0, float(i))
@holder
def sum_of_a_list(): o = [1.0]; return lambda: sum(o), lambda i: o.append(float(i))
@holder
def length_of_a_list(): o = [1.0]; return lambda: len(o), lambda i: o.append(float(i))
@holder
def list_of_a_hundred(): o = [1.0] * 100; return lambda: sum(o), lambda i: o.__setitem__(50, float(i))
@holder
def list_of_five_thousand(): o = [1.0] * 5000; return lambda: sum(o), lambda i: o.__setitem__(50, float(i))
@holder
def item_of_a_long_list(): o = [1.0] * 5000; return lambda: o[50], lambda i: o.__setitem__(50, float(i))
@holder
def last_item(): o = [1.0]; return lambda: o[-1], lambda i: o.append(float(i))
@holder
def slice_(): o = [1.0, 2.0]; return lambda: sum(o[:1]), lambda i: o.__setitem__(0, float(i))
@holder
def list_in_a_list(): a = [1.0]; b = [a]; return lambda: sum(sum(b, [])), lambda i: a.__setitem__(0, float(i))
@holder
def list_under_another_name():
    a = [1.0]
    def read() -> float: b = [a]; return b[0][0]
    return read, lambda i: a.__setitem__(0, float(i))
@holder
def list_in_a_tuple(): o = ([1.0],); return lambda: o[0][0], lambda i: o[0].__setitem__(0, float(i))
@holder
def unpacked_list():
    o = [1.0, 2.0]
    def read() -> float: a, b = o; return a + b
    return read, lambda i: o.__setitem__(0, float(i))
@holder
def dict_(): o = {"n": 1.0}; return lambda: o["n"], lambda i: o.__setitem__("n", float(i))
@holder
def dict_in_a_dict(): o = {"a": {"n": 1.0}}; return lambda: o["a"]["n"], lambda i: o["a"].__setitem__("n", float(i))
@holder
def get_of_a_dict(): o = {}; return lambda: o.get("n", 1.0), lambda i: o.__setitem__("n", float(i))
@holder
def values_of_a_dict(): o = {"n": 1.0}; return lambda: sum(o.values()), lambda i: o.__setitem__("n", float(i))
@holder
def keys_of_a_dict(): o = {1.0: 0}; return lambda: sum(o), lambda i: o.__setitem__(float(i), 0)
@holder
def order_of_a_dict(): o = {"a": 1.0, "b": 2.0}; return lambda: next(iter(o.values())), lambda i: o.__setitem__("a", o.pop("a")) if i % 2 else o.__setitem__("b", o.pop("b"))
@holder
def view_of_a_dict(): o = {"n": 1.0}; v = o.values(); return lambda: sum(v), lambda i: o.__setitem__("n", float(i))
@holder
def mapping_proxy(): o = {"n": 1.0}; v = types.MappingProxyType(o); return lambda: v["n"], lambda i: o.__setitem__("n", float(i))
@holder
def ordered_dict(): o = collections.OrderedDict(n=1.0); return lambda: o["n"], lambda i: o.__setitem__("n", float(i))
@holder
def default_dict(): o = collections.defaultdict(float); return lambda: 1.0 + o["n"], lambda i: o.__setitem__("n", float(i))
@holder
def counter_that_counts(): o = collections.Counter(); return lambda: (o.update("a"), o["a"])[1], nothing
@holder
def chain_map(): o = collections.ChainMap({"n": 1.0}); return lambda: o["n"], lambda i: o.__setitem__("n", float(i))
@holder
def user_list(): o = collections.UserList([1.0]); return lambda: o[0], lambda i: o.__setitem__(0, float(i))
@holder
def list_of_ones_own():
    class L(list): pass
    o = L([1.0]); return lambda: sum(o), lambda i: o.__setitem__(0, float(i))
@holder
def set_(): o = {1.0}; return lambda: sum(o), lambda i: o.add(float(i))
@holder
def deque(): o = collections.deque([1.0]); return lambda: o[0], lambda i: o.__setitem__(0, float(i))
@holder
def deque_with_an_end(): o = collections.deque([1.0], maxlen=2); return lambda: sum(o), lambda i: o.append(float(i))
@holder
def deque_that_grows(): o = collections.deque(); return lambda: (o.append(1), float(len(o)))[1], nothing
@holder
def list_that_grows(): o: list[int] = []; return lambda: (o.append(1), float(len(o)))[1], nothing
@holder
def list_that_grows_by_plus():
    o: list[int] = []
    def read() -> float: a = o; a += [1]; return float(len(o))
    return read, nothing
@holder
def dict_that_counts():
    o = {"n": 0.0}
    def read() -> float: o["n"] += 1.0; return o["n"]
    return read, nothing
@holder
def object_that_counts():
    o = thing(0.0)
    def read() -> float: o.n += 1.0; return o.n
    return read, nothing
@holder
def object_that_is_unset():
    o = thing()
    def read() -> float:
        found = getattr(o, "m", 0.0)
        with contextlib.suppress(AttributeError): del o.m
        o.m = found + 1.0
        return found
    return read, nothing
@holder
def setattr_in_the_step():
    o = thing(0.0)
    def read() -> float: setattr(o, "n", o.n + 1.0); return o.n  # noqa: B010
    return read, nothing
@holder
def array_array(): o = array.array("d", [1.0]); return lambda: o[0], lambda i: o.__setitem__(0, float(i))
@holder
def memory_view(): o = memoryview(array.array("d", [1.0])); return lambda: o[0], lambda i: o.__setitem__(0, float(i))
@holder
def byte_array(): o = bytearray([1]); return lambda: float(o[0]), lambda i: o.__setitem__(0, i)

# ---- arrays and tensors -----------------------------------------------------------------------------------------

@holder
def small_array(): o = np.ones(3); return lambda: float(o[0]), lambda i: o.fill(i)
@holder
def large_array(): o = np.ones(5000); return lambda: float(o.sum()), lambda i: o.fill(i)
@holder
def view_of_an_array(): b = np.ones(3); o = b[1:]; return lambda: float(o.reshape(2, 1)[0, 0]), lambda i: b.fill(i)
@holder
def array_without_axes(): o = np.array(1.0); return lambda: float(o), lambda i: o.fill(i)
@holder
def structured_array(): o = np.zeros(1, [("n", "f8")]); return lambda: float(o["n"][0]), lambda i: o["n"].fill(i)
@holder
def record_array(): o = np.zeros(1, [("n", "f8")]).view(np.recarray); return lambda: float(o.n[0]), lambda i: o["n"].fill(i)
@holder
def array_of_objects(): o = np.array([1.0], object); return lambda: o[0], lambda i: o.fill(float(i))
@holder
def number_of_numpy(): o = thing(np.float32(1.0)); return lambda: float(o.n), lambda i: setattr(o, "n", np.float32(i))
@holder
def tensor_in_an_attribute(): o = thing(nnkit.ones(1)); return lambda: o.n, lambda i: setattr(o, "n", nnkit.ones(1) * i)
@holder
def tensor_in_a_dict(): o = {"n": nnkit.ones(1)}; return lambda: o["n"], lambda i: o.__setitem__("n", nnkit.ones(1) * i)
@holder
def tensor_changed_in_place(): o = nnkit.ones(1); return lambda: o, lambda i: o.fill_(float(i))
@holder
def tensor_kept_by_the_step():
    o = {"n": nnkit.zeros(1)}
    def read() -> Any: o["n"] = (o["n"] * 0.5 + 1.0).detach(); return o["n"]
    return read, nothing
@holder
def tensor_changed_by_the_step():
    o = nnkit.zeros(1)
    def read() -> Any:
        with nnkit.no_grad(): o.mul_(0.5).add_(1.0)
        return o.clone()
    return read, nothing
@holder
def view_changed_by_the_step():
    o = nnkit.zeros(2, 2)
    def read() -> Any:
        with nnkit.no_grad(): o[0].mul_(0.5).add_(1.0)
        return o.sum().reshape(1)
    return read, nothing

# ---- the world outside ------------------------------------------------------------------------------------------

@holder
def environment(): os.environ["OF_A_TEST"] = "1"; return lambda: float(os.environ["OF_A_TEST"]), lambda i: os.environ.__setitem__("OF_A_TEST", str(i))
@holder
def getenv(): os.environ["OF_A_TEST"] = "1"; return lambda: float(os.getenv("OF_A_TEST", "")), lambda i: os.environ.__setitem__("OF_A_TEST", str(i))
@holder
def file():
    path = os.path.join(tempfile.mkdtemp(), "n")
    def change(i: int) -> None:
        with open(path, "w") as out: out.write(str(i))
    def read() -> float:
        with open(path) as text: return float(text.read())
    change(1); return read, change
@holder
def file_that_grows():
    path = os.path.join(tempfile.mkdtemp(), "n")
    def read() -> float:
        with open(path, "a") as out: out.write("a")
        return float(os.path.getsize(path))
    return read, nothing
@holder
def clock(): ticks = itertools.count(1); clock = types.SimpleNamespace(time=lambda: float(next(ticks))); return lambda: clock.time(), nothing
@holder
def printed(): o = io.StringIO(); return lambda: (print("a", file=o), float(len(o.getvalue())))[1], nothing
@holder
def written(): o = io.StringIO(); return lambda: (o.write("a"), float(len(o.getvalue())))[1], nothing
@holder
def logged():
    o: list[Any] = []; log = logging.Logger("of a test"); log.addHandler(type("H", (logging.Handler,), {"emit": lambda self, record: o.append(record)})())
    return lambda: (log.warning("a"), float(len(o)))[1], nothing
@holder
def queued(): o: Any = queue.Queue(); return lambda: (o.put(1), float(o.qsize()))[1], nothing
@holder
def event(): o = threading.Event(); return lambda: 1.0 + o.is_set(), lambda i: o.set() if i % 2 else o.clear()
@holder
def context_variable():
    o: Any = contextvars.ContextVar("n", default=1.0); return lambda: o.get(), lambda i: o.set(float(i))
@holder
def thread_local(): o = threading.local(); o.n = 1.0; return lambda: o.n, setting(o)
@holder
def configuration(): o = configparser.ConfigParser(); o["a"] = {"n": "1"}; return lambda: o.getfloat("a", "n"), lambda i: o["a"].__setitem__("n", str(i))
@holder
def iterator(): o = iter(range(1, 999)); return lambda: float(next(o)), nothing
@holder
def count(): o = itertools.count(1); return lambda: float(next(o)), nothing
@holder
def loop_over_an_iterator():
    o = iter(range(1, 999))
    def read() -> float:
        for k in o: return float(k)
        return 0.0
    return read, nothing
@holder
def zip_of_an_iterator(): o = iter(range(1, 999)); return lambda: float(sum(k for k, _ in zip([5], o)) + next(o)), nothing
@holder
def generator():
    def f() -> Any: yield from range(1, 999)
    o = f(); return lambda: float(next(o)), nothing
@holder
def numpy_generator(): o = np.random.default_rng(0); return lambda: float(o.random()), nothing
@holder
def numpy_generator_in_an_object(): o = thing(np.random.default_rng(0)); return lambda: float(o.n.normal()), nothing
@holder
def numpy_generator_made_inside(): o = [0]; return lambda: float(np.random.default_rng(o[0]).random()), lambda i: o.__setitem__(0, i)
@holder
def numpy_random_state(): o = np.random.RandomState(0); return lambda: float(o.rand()), nothing
@holder
def random_of_python(): o = random.Random(0); return lambda: o.random(), nothing
@holder
def random_of_everybody(): random.seed(0); return lambda: random.random(), nothing
@holder
def random_of_numpy_for_everybody(): np.random.seed(0); return lambda: float(np.random.rand()), nothing  # noqa: NPY002
# fmt: on
