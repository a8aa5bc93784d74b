"""An example for each op: a call in PyTorch's words, and what it prints. They become part of the docstrings.

Here, and not beside the ops, because many ops are made from a formula's name by one line; the values were compared with
PyTorch's. Ops with more to say have their examples with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nnkit.ops.docstrings import MARGIN

__all__ = ["OF_LINALG", "examples", "show_examples"]

#: Names in a call: no attributes, texts or names of arguments.
NAMES = re.compile(r"""(?<![\w."'])[A-Za-z_]\w*(?![\w"']|=)""")
NO_WORDS = {"True", "False", "float", "lambda", "x"}
EXAMPLES = """
absolute(tensor([-1.0, 2.0])) → tensor([1., 2.])
acos(tensor([1.0, -1.0])) → tensor([0.    , 3.1416])
acosh(tensor([1.0])) → tensor([0.])
add(tensor([1.0, 2.0]), 10) → tensor([11., 12.])
addbmm(zeros(1, 1), tensor([[[1.0]], [[2.0]]]), tensor([[[3.0]], [[4.0]]])) → tensor([[11.]])
addcdiv(tensor([1.0]), tensor([6.0]), tensor([3.0]), value=0.5) → tensor([2.])
addcmul(tensor([1.0]), tensor([6.0]), tensor([3.0]), value=0.5) → tensor([10.])
addmm(ones(1, 1), tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]])) → tensor([[12.]])
addmv(ones(1), tensor([[1.0, 2.0]]), tensor([3.0, 4.0])) → tensor([12.])
addr(zeros(2, 2), tensor([1.0, 2.0]), tensor([3.0, 4.0])) → tensor([[3., 4.],
        [6., 8.]])
all(tensor([1, 0])) → tensor(False)
allclose(tensor([1.0]), tensor([1.0 + 1e-7])) → True
amax(tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1) → tensor([2., 4.])
amin(tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1) → tensor([1., 3.])
aminmax(tensor([3.0, 1.0, 2.0])) → MinMax(min=tensor(1.), max=tensor(3.))
any(tensor([1, 0])) → tensor(True)
argmax(tensor([1.0, 3.0, 2.0])) → tensor(1)
argmin(tensor([[1.0, 3.0], [4.0, 2.0]]), dim=1) → tensor([0, 1])
argsort(tensor([3.0, 1.0, 2.0])) → tensor([1, 2, 0])
argwhere(tensor([0, 5, 7])) → tensor([[1],
        [2]])
asin(tensor([1.0])) → tensor([1.5708])
asinh(tensor([0.0])) → tensor([0.])
atan(tensor([1.0])) → tensor([0.7854])
atan2(tensor([1.0]), tensor([-1.0])) → tensor([2.3562])
atanh(tensor([0.5])) → tensor([0.5493])
atleast_1d(tensor(5.0)) → tensor([5.])
atleast_2d(tensor([1.0, 2.0])) → tensor([[1., 2.]])
atleast_3d(tensor([1.0, 2.0])).shape → (1, 2, 1)
baddbmm(zeros(1, 1, 1), tensor([[[2.0]]]), tensor([[[3.0]]])) → tensor([[[6.]]])
bernoulli(tensor([0.0, 1.0])) → tensor([0., 1.])
bitwise_and(tensor([6]), tensor([3])) → tensor([2])
bitwise_left_shift(tensor([1, 2]), tensor([3, 3])) → tensor([ 8, 16])
bitwise_or(tensor([6]), tensor([3])) → tensor([7])
bitwise_right_shift(tensor([8, 9]), tensor([2, 2])) → tensor([2, 2])
bitwise_xor(tensor([6]), tensor([3])) → tensor([5])
block_diag(tensor([[1]]), tensor([[2, 3]])) → tensor([[1, 0, 0],
        [0, 2, 3]])
bmm(ones(2, 1, 3), ones(2, 3, 1)).tolist() → [[[3.0]], [[3.0]]]
broadcast_tensors(tensor([[1], [2]]), tensor([5, 6]))[0] → tensor([[1, 1],
        [2, 2]])
broadcast_to(tensor([1, 2]), (2, 2)) → tensor([[1, 2],
        [1, 2]])
bucketize(tensor([0.5, 2.0, 9.0]), tensor([1.0, 2.0, 3.0])) → tensor([0, 1, 3])
can_cast(float64, int32) → False
cartesian_prod(tensor([1, 2]), tensor([3, 4])) → tensor([[1, 3],
        [1, 4],
        [2, 3],
        [2, 4]])
cdist(tensor([[0.0, 0.0]]), tensor([[3.0, 4.0]])) → tensor([[5.]])
ceil(tensor([1.2, -1.2])) → tensor([ 2., -1.])
chain_matmul(tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]), tensor([[2.0]])) → tensor([[22.]])
cholesky(tensor([[4.0, 2.0], [2.0, 5.0]])) → tensor([[2., 0.],
        [1., 2.]])
cholesky_solve(tensor([[8.0]]), tensor([[2.0]])) → tensor([[2.]])
chunk(tensor([1, 2, 3, 4, 5]), 2) → (tensor([1, 2, 3]), tensor([4, 5]))
clamp_max(tensor([1.0, 5.0]), 3.0) → tensor([1., 3.])
clamp_min(tensor([1.0, 5.0]), 3.0) → tensor([3., 5.])
clone(tensor([1.0, 2.0])) → tensor([1., 2.])
column_stack((tensor([1, 2]), tensor([3, 4]))) → tensor([[1, 3],
        [2, 4]])
combinations(tensor([1, 2, 3])) → tensor([[1, 2],
        [1, 3],
        [2, 3]])
copysign(tensor([1.0, 2.0]), tensor([-3.0, 3.0])) → tensor([-1.,  2.])
corrcoef(tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])) → tensor([[ 1., -1.],
        [-1.,  1.]])
cos(tensor([0.0])) → tensor([1.])
cosh(tensor([0.0])) → tensor([1.])
count_nonzero(tensor([0, 5, 7])) → tensor(2)
cov(tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])) → tensor([[ 1., -1.],
        [-1.,  1.]])
cross(tensor([1.0, 0.0, 0.0]), tensor([0.0, 1.0, 0.0])) → tensor([0., 0., 1.])
cummax(tensor([1.0, 3.0, 2.0]), dim=0).values → tensor([1., 3., 3.])
cummin(tensor([3.0, 1.0, 2.0]), dim=0).indices → tensor([0, 1, 1])
cumprod(tensor([1.0, 2.0, 3.0]), dim=0) → tensor([1., 2., 6.])
deg2rad(tensor([180.0])) → tensor([3.1416])
det(tensor([[1.0, 2.0], [3.0, 4.0]])).round() → tensor(-2.)
diag(tensor([1, 2])) → tensor([[1, 0],
        [0, 2]])
diag_embed(tensor([[1, 2]])) → tensor([[[1, 0],
         [0, 2]]])
diagflat(tensor([[1], [2]])) → tensor([[1, 0],
        [0, 2]])
digamma(tensor([1.0])) → tensor([-0.5772])
dist(tensor([0.0, 0.0]), tensor([3.0, 4.0])) → tensor(5.)
div(tensor([7.0, -7.0]), 2, rounding_mode="floor") → tensor([ 3., -4.])
dropout(ones(3), 0.0) → tensor([1., 1., 1.])
dsplit(ones(1, 1, 2), 2)[0].shape → (1, 1, 1)
dstack((tensor([1, 2]), tensor([3, 4]))) → tensor([[[1, 3],
         [2, 4]]])
eq(tensor([1, 2]), tensor([1, 3])) → tensor([ True, False])
equal(tensor([1, 2]), tensor([1, 2])) → True
erf(tensor([0.0, 1.0])) → tensor([0.    , 0.8427])
erfc(tensor([0.0, 1.0])) → tensor([1.    , 0.1573])
exp(tensor([0.0, 1.0])) → tensor([1.    , 2.7183])
exp2(tensor([3.0])) → tensor([8.])
expm1(tensor([0.0])) → tensor([0.])
flatten(tensor([[1, 2], [3, 4]])) → tensor([1, 2, 3, 4])
fliplr(tensor([[1, 2], [3, 4]])) → tensor([[2, 1],
        [4, 3]])
flipud(tensor([[1, 2], [3, 4]])) → tensor([[3, 4],
        [1, 2]])
float_power(tensor([2, 3]), 2) → tensor([4., 9.], dtype=float64)
floor(tensor([1.7, -1.2])) → tensor([ 1., -2.])
floor_divide(tensor([7, -7]), 2) → tensor([ 3, -4])
fmax(tensor([1.0, nan]), tensor([2.0, 3.0])) → tensor([2., 3.])
fmin(tensor([1.0, nan]), tensor([2.0, 3.0])) → tensor([1., 3.])
frac(tensor([1.5, -2.25])) → tensor([ 0.5 , -0.25])
ge(tensor([1, 2, 3]), 2) → tensor([False,  True,  True])
gt(tensor([1, 2, 3]), 2) → tensor([False, False,  True])
heaviside(tensor([-1.0, 0.0, 1.0]), tensor([0.5])) → tensor([0. , 0.5, 1. ])
histc(tensor([1.0, 2.0, 1.0]), bins=2, min=1, max=2) → tensor([2., 1.])
histogram(tensor([1.0, 2.0, 1.0]), bins=2) → (tensor([2., 1.]), tensor([1. , 1.5, 2. ]))
hsplit(tensor([[1, 2], [3, 4]]), 2) → (tensor([[1],
        [3]]), tensor([[2],
        [4]]))
hstack((tensor([1, 2]), tensor([3]))) → tensor([1, 2, 3])
hypot(tensor([3.0]), tensor([4.0])) → tensor([5.])
index_copy(zeros(3), 0, tensor([2, 0]), tensor([5.0, 6.0])) → tensor([6., 0., 5.])
index_fill(zeros(3), 0, tensor([1]), 9.0) → tensor([0., 9., 0.])
index_put(zeros(3), (tensor([0, 2]),), tensor([5.0, 6.0])) → tensor([5., 0., 6.])
inner(tensor([1.0, 2.0]), tensor([3.0, 4.0])) → tensor(11.)
is_complex(tensor([1.0])) → False
is_floating_point(tensor([1])) → False
is_nonzero(tensor([0.5])) → True
is_tensor([1.0]) → False
isfinite(tensor([1.0, inf, nan])) → tensor([ True, False, False])
isinf(tensor([1.0, inf, nan])) → tensor([False,  True, False])
isnan(tensor([1.0, inf, nan])) → tensor([False, False,  True])
isneginf(tensor([inf, -inf])) → tensor([False,  True])
isposinf(tensor([inf, -inf])) → tensor([ True, False])
kron(tensor([1, 2]), tensor([1, 10])) → tensor([ 1, 10,  2, 20])
kthvalue(tensor([3.0, 1.0, 2.0]), 2) → Extreme(values=tensor(2.), indices=tensor(2))
le(tensor([1, 2, 3]), 2) → tensor([ True,  True, False])
lgamma(tensor([1.0, 5.0])) → tensor([4.7684e-07, 3.1781e+00])
log(tensor([1.0])) → tensor([0.])
log10(tensor([100.0])) → tensor([2.])
log1p(tensor([0.0])) → tensor([0.])
log2(tensor([8.0])) → tensor([3.])
log_softmax(tensor([0.0, 0.0]), dim=0) → tensor([-0.6931, -0.6931])
logaddexp(tensor([0.0]), tensor([0.0])) → tensor([0.6931])
logaddexp2(tensor([1.0]), tensor([1.0])) → tensor([2.])
logcumsumexp(tensor([0.0, 0.0]), dim=0) → tensor([0.    , 0.6931])
logdet(tensor([[2.0, 0.0], [0.0, 0.5]])).abs() → tensor(0.)
logical_and(tensor([True, True]), tensor([True, False])) → tensor([ True, False])
logical_or(tensor([True, False]), tensor([False, False])) → tensor([ True, False])
logical_xor(tensor([True, True]), tensor([True, False])) → tensor([False,  True])
logit(tensor([0.5])) → tensor([0.])
logsumexp(tensor([0.0, 0.0]), dim=0) → tensor(0.6931)
lt(tensor([1, 2, 3]), 2) → tensor([ True, False, False])
masked_scatter(zeros(3), tensor([True, False, True]), tensor([5.0, 6.0])) → tensor([5., 0., 6.])
masked_select(tensor([1, 2, 3]), tensor([True, False, True])) → tensor([1, 3])
matrix_exp(zeros(2, 2)) → tensor([[1., 0.],
        [0., 1.]])
matrix_power(tensor([[1.0, 1.0], [0.0, 1.0]]), 3) → tensor([[1., 3.],
        [0., 1.]])
max(tensor([1.0, 3.0, 2.0])) → tensor(3.)
maximum(tensor([1.0, 5.0]), tensor([3.0, 3.0])) → tensor([3., 5.])
mean(tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0) → tensor([2., 3.])
min(tensor([1.0, 3.0, 2.0])) → tensor(1.)
minimum(tensor([1.0, 5.0]), tensor([3.0, 3.0])) → tensor([1., 3.])
mm(tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]])) → tensor([[11.]])
mode(tensor([1, 2, 2, 3])) → Extreme(values=tensor(2), indices=tensor(2))
movedim(ones(2, 3, 4), 0, -1).shape → (3, 4, 2)
msort(tensor([3.0, 1.0, 2.0])) → tensor([1., 2., 3.])
mul(tensor([1.0, 2.0]), tensor([3.0, 4.0])) → tensor([3., 8.])
mv(tensor([[1.0, 2.0]]), tensor([3.0, 4.0])) → tensor([11.])
nanmean(tensor([1.0, nan, 3.0])) → tensor(2.)
nanmedian(tensor([1.0, nan, 3.0])) → tensor(1.)
nanquantile(tensor([1.0, nan, 3.0]), 0.5) → tensor(2.)
narrow(tensor([1, 2, 3, 4]), 0, 1, 2) → tensor([2, 3])
ne(tensor([1, 2]), tensor([1, 3])) → tensor([False,  True])
neg(tensor([1.0, -2.0])) → tensor([-1.,  2.])
norm(tensor([3.0, 4.0])) → tensor(5.)
normal(0.0, 1.0, (2,)).shape → (2,)
numel(ones(2, 3)) → 6
outer(tensor([1.0, 2.0]), tensor([3.0, 4.0])) → tensor([[3., 4.],
        [6., 8.]])
permute(ones(2, 3, 4), (2, 0, 1)).shape → (4, 2, 3)
poisson(zeros(2)) → tensor([0., 0.])
positive(tensor([-1.0])) → tensor([-1.])
pow(tensor([2.0, 3.0]), 2) → tensor([4., 9.])
prod(tensor([2.0, 3.0, 4.0])) → tensor(24.)
put(zeros(2, 2), tensor([3]), tensor([9.0])) → tensor([[0., 0.],
        [0., 9.]])
qr(tensor([[2.0]]))[0].abs() → tensor([[1.]])
rad2deg(tensor([0.0])) → tensor([0.])
randint_like(ones(3), 5).shape → (3,)
ravel(tensor([[1, 2], [3, 4]])) → tensor([1, 2, 3, 4])
reciprocal(tensor([2.0, 4.0])) → tensor([0.5 , 0.25])
relu(tensor([-1.0, 2.0])) → tensor([0., 2.])
remainder(tensor([7, -7]), 3) → tensor([1, 2])
renorm(tensor([[3.0, 4.0]]), 2, 0, 1.0) → tensor([[0.6, 0.8]])
rot90(tensor([[1, 2], [3, 4]])) → tensor([[2, 4],
        [1, 3]])
round(tensor([1.5, 2.5])) → tensor([2., 2.])
rsqrt(tensor([4.0])) → tensor([0.5])
rsub(tensor([1.0]), 5.0) → tensor([4.])
scatter_add(zeros(3), 0, tensor([0, 2, 0]), tensor([1.0, 2.0, 3.0])) → tensor([4., 0., 2.])
scatter_reduce(ones(2), 0, tensor([0, 0, 1]), tensor([5.0, 7.0, 3.0]), "amax") → tensor([7., 3.])
select(tensor([[1, 2], [3, 4]]), 1, 0) → tensor([1, 3])
sigmoid(tensor([0.0])) → tensor([0.5])
sign(tensor([-2.0, 0.0, 3.0])) → tensor([-1.,  0.,  1.])
signbit(tensor([-2.0, 0.0])) → tensor([ True, False])
sin(tensor([0.0])) → tensor([0.])
sinc(tensor([0.0])) → tensor([1.])
sinh(tensor([0.0])) → tensor([0.])
slogdet(tensor([[-1.0]])) → SignAndLogarithm(sign=tensor(-1.), logabsdet=tensor(0.))
split(tensor([1, 2, 3, 4, 5]), 2) → (tensor([1, 2]), tensor([3, 4]), tensor([5]))
sqrt(tensor([4.0, 9.0])) → tensor([2., 3.])
square(tensor([3.0])) → tensor([9.])
squeeze(ones(1, 3, 1)).shape → (3,)
stack((tensor([1, 2]), tensor([3, 4]))) → tensor([[1, 2],
        [3, 4]])
std(tensor([1.0, 2.0, 3.0])) → tensor(1.)
std_mean(tensor([1.0, 2.0, 3.0])) → (tensor(1.), tensor(2.))
sub(tensor([5.0]), 2) → tensor([3.])
svd(tensor([[3.0]]))[1] → tensor([3.])
t(tensor([[1, 2]])) → tensor([[1],
        [2]])
take(tensor([[1, 2], [3, 4]]), tensor([0, 3])) → tensor([1, 4])
take_along_dim(tensor([[3, 1, 2]]), tensor([[1, 2, 0]]), dim=1) → tensor([[1, 2, 3]])
tan(tensor([0.0])) → tensor([0.])
tanh(tensor([0.0])) → tensor([0.])
tensor_split(tensor([1, 2, 3, 4, 5]), 3) → (tensor([1, 2]), tensor([3, 4]), tensor([5]))
tensordot(ones(2, 3), ones(3, 2), dims=1) → tensor([[3., 3.],
        [3., 3.]])
tile(tensor([1, 2]), (2,)) → tensor([1, 2, 1, 2])
trace(tensor([[1.0, 2.0], [3.0, 4.0]])) → tensor(5.)
transpose(ones(2, 3), 0, 1).shape → (3, 2)
trapezoid(tensor([1.0, 2.0, 3.0])) → tensor(4.)
tril_indices(2, 2) → tensor([[0, 1, 1],
        [0, 0, 1]])
triu(tensor([[1, 2], [3, 4]])) → tensor([[1, 2],
        [0, 4]])
triu_indices(2, 2) → tensor([[0, 0, 1],
        [0, 1, 1]])
true_divide(tensor([1, 2]), 2) → tensor([0.5, 1. ])
trunc(tensor([1.7, -1.7])) → tensor([ 1., -1.])
unbind(tensor([[1, 2], [3, 4]])) → (tensor([1, 2]), tensor([3, 4]))
unflatten(tensor([1, 2, 3, 4]), 0, (2, 2)) → tensor([[1, 2],
        [3, 4]])
unique_consecutive(tensor([1, 1, 2, 1])) → tensor([1, 2, 1])
unsqueeze(tensor([1, 2]), 0) → tensor([[1, 2]])
var(tensor([1.0, 2.0, 3.0])) → tensor(1.)
var_mean(tensor([1.0, 2.0, 3.0])) → (tensor(1.), tensor(2.))
vsplit(tensor([[1, 2], [3, 4]]), 2) → (tensor([[1, 2]]), tensor([[3, 4]]))
xlogy(tensor([0.0, 1.0]), tensor([0.0, 1.0])) → tensor([0., 0.])
"""
#: Those of ``nnkit.linalg``.
OF_LINALG = """
linalg.cholesky(tensor([[4.0, 2.0], [2.0, 5.0]])) → tensor([[2., 0.],
        [1., 2.]])
linalg.cond(tensor([[2.0, 0.0], [0.0, 1.0]])) → tensor(2.)
linalg.cross(tensor([1.0, 0.0, 0.0]), tensor([0.0, 1.0, 0.0])) → tensor([0., 0., 1.])
linalg.diagonal(tensor([[1, 2], [3, 4]])) → tensor([1, 4])
linalg.eigh(tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues → tensor([1., 2.])
linalg.eigvalsh(tensor([[2.0, 0.0], [0.0, 1.0]])) → tensor([1., 2.])
linalg.lstsq(tensor([[1.0], [1.0]]), tensor([[1.0], [3.0]])).solution → tensor([[2.]])
linalg.matrix_norm(tensor([[3.0, 0.0], [0.0, 4.0]])) → tensor(5.)
linalg.matrix_rank(tensor([[1.0, 1.0], [1.0, 1.0]])) → tensor(1)
linalg.multi_dot((tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]), tensor([[2.0]]))) → tensor([[22.]])
linalg.norm(tensor([3.0, 4.0])) → tensor(5.)
linalg.pinv(tensor([[2.0, 0.0], [0.0, 4.0]])).round(decimals=2) → tensor([[0.5 , 0.  ],
        [0.  , 0.25]])
linalg.qr(tensor([[2.0]])).R.abs() → tensor([[2.]])
linalg.solve(tensor([[2.0]]), tensor([[6.0]])) → tensor([[3.]])
linalg.solve_triangular(tensor([[2.0]]), tensor([[6.0]]), upper=True) → tensor([[3.]])
linalg.svd(tensor([[3.0]])).S → tensor([3.])
linalg.svdvals(tensor([[3.0, 0.0], [0.0, 1.0]])) → tensor([3., 1.])
linalg.vecdot(tensor([1.0, 2.0]), tensor([3.0, 4.0])) → tensor(11.)
linalg.vector_norm(tensor([3.0, -4.0]), ord=1) → tensor(7.)
"""


def examples(text: str) -> Iterator[tuple[str, str, str]]:
    """The name of each op in a table like the one above, the call, and what it prints."""
    for block in re.split(r"\n(?=\S)", text.strip()):
        call, _, printed = block.partition("→")
        yield call.partition("(")[0], call.strip(), printed.strip()


def show_examples(words: Mapping[str, Any], package: str, text: str = EXAMPLES, prefix: str = "") -> None:
    """Let the docstrings of those functions among ``words`` that have no example end with theirs.

    ``package`` is where the names in the calls come from, and ``prefix`` what stands before the functions', such as
    "linalg.".
    """
    for name, call, printed in examples(text):
        function = words.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if function is not None and function.__doc__ and ">>>" not in function.__doc__:
            used = sorted(set(NAMES.findall(call)) - NO_WORDS)
            lines = [f">>> from {package} import {', '.join(used)}", f">>> {call}", *printed.split("\n")]
            function.__doc__ = f"\n{MARGIN}".join([function.__doc__.rstrip() + "\n", *lines])
