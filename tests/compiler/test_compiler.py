"""What is recorded of a function of tensors and built in C++ computes what torch computes."""

import ctypes
import math

import pytest
import torch
import torch.nn.functional as F

from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.expressions import EXPRESSIONS
from nettrain.compiler.library import library
from nettrain.compiler.processor import KERNELS
from nettrain.compiler.source import function
from nettrain.compiler.writing import c_type
from nettrain.objective import Objective
from nettrain.parts import activations
from nettrain.parts.heads import SoftmaxCE
from nettrain.parts.models import DenseNetwork, Entry
from nettrain.vector import flatten

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def assert_same(cases):
    """Each case is a function that works in place and its tensors: built together, run, and compared with torch."""
    texts, calls = [KERNELS], []
    for i, (does, tensors) in enumerate(cases):
        text, scratch = function(f"f{i}", does, {name: t.clone() for name, t in tensors.items()})
        given = ", ".join(f"({c_type(t.dtype)}*)p[{k}]" for k, t in enumerate(tensors.values()))
        texts += [text, f'extern "C" void run{i}(void** p, char* s) {{ f{i}({given}, s); }}']
        calls.append(scratch)
    built = library("\n".join(texts), lambda: False, print)
    for i, ((does, tensors), scratch) in enumerate(zip(cases, calls, strict=True)):
        ours, theirs = ({name: t.clone() for name, t in tensors.items()} for _ in range(2))
        memory = torch.empty(scratch + 64, dtype=torch.uint8)
        pointers = (ctypes.c_void_p * len(ours))(*(t.data_ptr() for t in ours.values()))
        getattr(built, f"run{i}")(pointers, ctypes.c_void_p(memory.data_ptr()))
        does(**theirs)
        for name in theirs:
            loose = (
                {"rtol": 1e-5, "atol": 1e-5} if theirs[name].dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
            )
            loose = loose if theirs[name].is_floating_point() else {"rtol": 0, "atol": 0}
            torch.testing.assert_close(
                ours[name], theirs[name], equal_nan=True, **loose, msg=lambda text, i=i, name=name: f"{i} {name} {text}"
            )


def random(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


SIZES = [
    (1, 1, 1),
    (8, 64, 64),
    (8, 10, 64),
    (5, 3, 2),
    (7, 17, 33),
    (1, 40, 16),
    (16, 1, 9),
    (3, 50, 1),
    (13, 31, 130),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_matrices_that_lie_as_they_do_in_a_layer(dtype):
    """x W^T + b, d W and d^T x: rows, columns and both of the factors lie together."""

    def layer(x, w, b, d, z, dx, dw):
        z.copy_(F.linear(x, w, b))
        dx.copy_(d @ w)
        torch.mm(d.T, x, out=dw)

    cases = []
    for n, o, i in SIZES:
        shapes = {"x": (n, i), "w": (o, i), "b": (o,), "d": (n, o), "z": (n, o), "dx": (n, i), "dw": (o, i)}
        cases.append((layer, {name: random(*s, dtype=dtype, seed=k) for k, (name, s) in enumerate(shapes.items())}))
    assert_same(cases)


X = torch.tensor(
    [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.3, -2.7, 40.0, -40.0, 1e-9], dtype=torch.float64
)
Y, Z = X.roll(1), X.roll(5)
UNARY = {
    "neg": torch.neg,
    "reciprocal": torch.reciprocal,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "square": torch.square,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sin": lambda x: torch.sin(x.clamp(-9, 9)),
    "cos": lambda x: torch.cos(x.clamp(-9, 9)),
    "erf": torch.erf,
    "lgamma": torch.lgamma,
    "scalar_tensor": lambda x: x + torch.scalar_tensor(1.5, dtype=x.dtype),
    "abs": torch.abs,
    "sgn": torch.sgn,
    "sign": torch.sign,
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "elu": lambda x: F.elu(x, 1.5),
    "pow": lambda x: x**3,
    "clamp": lambda x: x.clamp(min=-1.5) + x.clamp(max=2.0) + x.clamp(-1, 1),
    "clone": torch.clone,
    "detach": torch.detach,
    "_to_copy": lambda x: x.float().double(),
    "rsub": lambda x: 3 - x,
    "masked_fill": lambda x: x.masked_fill(x > 0, 7.0),
    "isnan": lambda x: torch.isnan(x).double(),
    "zeros": lambda x: torch.zeros(len(x), dtype=x.dtype),
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "full_like": lambda x: torch.full_like(x, -math.inf),
    "arange": lambda x: torch.arange(3, 3 + len(x)).double(),
    "fill": lambda x: x.clone().fill_(math.nan),
    "zero": lambda x: x.clone().zero_(),
}
BINARY = {
    "add": lambda x, y: torch.add(x, y, alpha=0.5),
    "sub": lambda x, y: torch.sub(x, y, alpha=2),
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=-0.5),
    "addcdiv": lambda x, y: torch.addcdiv(x, y, x, value=3),
    "nettrain::chosen": lambda x, y: torch.ops.nettrain.chosen(x, y, 1.0),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3) + torch.lerp(x, y, 0.8),
    "copy": lambda x, y: x.clone().copy_(y),
    "where": lambda x, y: torch.where(x > y, x, y),
    "eq": lambda x, y: (x == y).double(),
    "ne": lambda x, y: (x != y).double(),
    "lt": lambda x, y: (x < y).double(),
    "le": lambda x, y: (x <= y).double(),
    "gt": lambda x, y: (x > y).double(),
    "ge": lambda x, y: (x >= y).double(),
    "logical_not": lambda x, y: torch.logical_not(x > y).double(),
    "threshold_backward": lambda x, y: aten.threshold_backward(x, y, 0.5),
    "leaky_relu_backward": lambda x, y: aten.leaky_relu_backward(x, y, 0.1, False),
    "sigmoid_backward": lambda x, y: aten.sigmoid_backward(x, torch.sigmoid(y)),
    "tanh_backward": lambda x, y: aten.tanh_backward(x, torch.tanh(y)),
    "silu_backward": lambda x, y: aten.silu_backward(x, y),
    "gelu_backward": lambda x, y: aten.gelu_backward(x, y),
    "elu_backward": lambda x, y: aten.elu_backward(x, 1.5, 1, 1, False, y),
}
INTEGERS = {
    "bitwise_and": lambda i, j: i & j,
    "bitwise_or": lambda i, j: i | j,
    "bitwise_xor": lambda i, j: i ^ j,
    "bitwise_not": lambda i, j: ~i + j,
    "__and__": lambda i, j: aten.__and__(i, j),
    "__or__": lambda i, j: aten.__or__(i, j),
    "__rshift__": lambda i, j: (i * 0x9E3779B9) >> 16,
    "__lshift__": lambda i, j: j << 3,
}


def test_every_operation_on_all_kinds_of_numbers():
    assert {*UNARY, *BINARY, *INTEGERS} == set(EXPRESSIONS)
    cases = [(lambda x, out, f=f: out.copy_(f(x)), {"x": X, "out": X}) for f in UNARY.values()]
    cases += [(lambda x, y, out, f=f: out.copy_(f(x, y)), {"x": X, "y": Y, "out": X}) for f in BINARY.values()]
    i, j = torch.arange(12), torch.arange(12).flip(0) * 77
    cases += [(lambda i, j, out, f=f: out.copy_(f(i, j)), {"i": i, "j": j, "out": i}) for f in INTEGERS.values()]
    assert_same(cases)


def test_activations_are_the_same_at_their_kinks_when_compiled():
    functions = activations.ACTIVATIONS.values()
    assert_same([(lambda x, out, f=f: out.copy_(f(x)), {"x": X, "out": X}) for f in functions])
    assert activations.step(torch.tensor([0.0, -0.0, 1e-30])).tolist() == [0, 0, 1]


def test_sums_norms_and_largest_elements():
    def reduce(x, rows, columns, whole, norm, most):
        torch.sum(x, -1, out=rows)
        torch.sum(x, -2, out=columns)
        whole.copy_(x.sum())
        norm.copy_(torch.linalg.vector_norm(x, dim=-1, keepdim=True))
        most.copy_(x.amax(-1))

    x = random(5, 37)
    shapes = {"rows": (5,), "columns": (37,), "whole": (), "norm": (5, 1), "most": (5,)}
    outputs = {name: torch.zeros(s, dtype=x.dtype) for name, s in shapes.items()}
    poisoned = x.clone()
    poisoned[2, 3] = math.nan
    assert_same([(reduce, {"x": x, **outputs}), (reduce, {"x": poisoned, **outputs})])


def test_softmax_and_what_is_scattered_into_it():
    def gradient(z, y, out):
        out.copy_(torch.softmax(z, dim=-1).scatter_(-1, y.unsqueeze(-1), -1.0, reduce="add"))

    z = 30 * random(6, 5)
    nowhere = z.clone()
    nowhere[1, 1] = math.nan
    y = torch.tensor([0, 4, 2, 2, 1, 3])
    assert_same([(gradient, {"z": values, "y": y, "out": z}) for values in (z, nowhere)])


def test_views_and_what_is_written_through_them():
    def mixed(x, w, out):
        y = x.t() * 2  # read in another order than it is written
        x[1:3].mul_(y.t()[1:3])
        w[:12].view(3, 4).add_(x[:3, :4])
        out.copy_(torch.cat([y[:2].reshape(-1), w[3:5], x[0].expand(2, 5).reshape(-1)]))
        w.mul_(out[: len(w)])

    assert_same([(mixed, {"x": random(4, 5), "w": random(16, seed=1), "out": random(20, seed=2)})])


def test_an_element_is_not_needed_before_it_is_written():
    def shifted(a, b, out):
        c = a + b
        out[1:].copy_(c[:-1])  # c cannot be in one loop with it
        c.mul_(3)
        out.add_(c)
        a.copy_(out * c)

    def transposed(a, out):
        c = a.t() * 2
        a.mul_(3)  # what c is made of
        out.copy_(c + a)

    assert_same([(transposed, {"a": random(6, 6), "out": random(6, 6)})])
    assert_same([(shifted, {"a": random(9), "b": random(9, seed=1), "out": random(9, seed=2)})])


def test_tensors_from_outside_are_constants():
    scale = random(7, seed=3)
    assert_same([(lambda x: x.mul_(scale), {"x": random(4, 7)})])


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (lambda x: x.copy_(x.sort().values), "sort"),
        (lambda x: x.mul_(float(x.sum())), "_local_scalar_dense"),
        (lambda x: x.copy_(torch.rand_like(x)), "rand_like"),
        (lambda x: x.copy_(F.gelu(x, approximate="tanh")), "with these options"),
        (lambda x: x.add_(torch.zeros(50, 50, 50)[0, 0, :9]), None),
        (lambda x: x.copy_((x.to(torch.int16) + 1).double()), "int16"),
    ],
)
def test_what_there_is_no_code_for_is_named(does, why):
    if why is None:
        function("f", does, {"x": random(9)})  # what is made inside is no constant
        return
    with pytest.raises(CannotCompile, match=why):
        function("f", does, {"x": random(9)})


def test_a_program_is_built_once(tmp_path):
    text = KERNELS + 'extern "C" int64_t seven() { return 7; }'
    assert library(text, lambda: False, print).seven() == 7
    (built,) = tmp_path.rglob("*.so")
    time = built.stat().st_mtime_ns
    assert library(text, lambda: True, print).seven() == 7
    assert built.stat().st_mtime_ns == time


def test_an_activation_of_anybody_s_own_with_the_backward_pass_that_torch_finds():
    def activation(x):
        return torch.sin(x) * F.softplus(x) + F.mish(x)

    objective = Objective(DenseNetwork([6, 2], activation, Entry(3)).double(), SoftmaxCE())
    w, y = flatten(objective.model), torch.tensor([0, 1, 1, 0, 1])

    def gradient(w, x, y, g, z):
        outputs, own = objective.gradient(w, x, y)
        g.copy_(own)
        z.copy_(outputs)

    with torch.no_grad():
        assert_same([(gradient, {"w": w, "x": random(5, 3), "y": y, "g": w, "z": random(5, 2)})])


@pytest.mark.parametrize(("stride", "padding", "pool"), [(1, 1, 2), (2, 0, 1), (2, 2, 3)])
def test_convolutions_and_pooling_forwards_and_backwards(stride, padding, pool):
    """Of images whose sides are no multiples of the windows'."""

    def does(x, w, b, z, dx, dw, db):
        leaves = [tensor.detach().requires_grad_() for tensor in (x, w, b)]
        with torch.enable_grad():
            images = F.relu(F.conv2d(*leaves, stride, padding))
            out = F.max_pool2d(images, pool) if pool > 1 else images
        z.copy_(out.detach())
        gradients = torch.autograd.grad(out, leaves, torch.cos(out.detach()))
        for tensor, gradient in zip((dx, dw, db), gradients, strict=True):
            tensor.copy_(gradient)

    inputs = {"x": random(3, 2, 9, 12), "w": random(4, 2, 3, 5, seed=1), "b": random(4, seed=2)}
    out = F.max_pool2d(F.conv2d(inputs["x"], inputs["w"], inputs["b"], stride, padding), pool)
    results = {f"d{name}": torch.zeros_like(tensor) for name, tensor in inputs.items()}
    assert_same([(does, {**inputs, "z": torch.zeros_like(out), **results})])


# images, channels, outputs, kernel, stride, padding, height, width, pool: rows and columns of products that are no
# multiples of a vector's or a block's, borders that are wider than a kernel, batches of one
IMAGES = [
    (3, 1, 16, 3, 1, 1, 12, 12, 2),
    (4, 16, 32, 3, 1, 1, 6, 6, 2),
    (2, 3, 10, 5, 1, 2, 9, 7, 1),
    (5, 6, 7, 1, 1, 0, 5, 4, 1),
    (2, 8, 24, 3, 1, 0, 7, 7, 2),
    (2, 5, 33, 3, 2, 1, 8, 8, 1),
    (1, 4, 1, 3, 1, 1, 5, 5, 1),
    (3, 2, 50, 3, 1, 3, 4, 6, 1),
    (2, 4, 4, 1, 2, 0, 6, 6, 1),
    (4, 4, 4, 3, 1, 1, 4, 4, 2),
    (2, 1, 4, 5, 1, 2, 8, 8, 3),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_convolutions_of_batches_of_images(dtype):
    """The second one reads what the first one and pooling have made of the same image; all parameters learn."""

    def case(n, channels, outputs, kernel, stride, padding, height, width, pool):
        def network(x, w, b, v):
            out = F.conv2d(x, w, b, stride, padding)
            return F.conv2d(F.relu(F.max_pool2d(out, pool) if pool > 1 else out), v, padding=1)

        def does(x, w, b, v, z, dx, dw, db, dv):
            leaves = [tensor.detach().requires_grad_() for tensor in (x, w, b, v)]
            with torch.enable_grad():
                out = network(*leaves)
            z.copy_(out.detach())
            gradients = torch.autograd.grad(out, leaves, torch.cos(out.detach()) / 16)
            for tensor, gradient in zip((dx, dw, db, dv), gradients, strict=True):
                tensor.copy_(gradient)

        shapes = {"x": (n, channels, height, width), "w": (outputs, channels, kernel, kernel), "b": (outputs,)}
        shapes["v"] = (5, outputs, 3, 3)
        inputs = {name: random(*shape, dtype=dtype, seed=i) / 4 for i, (name, shape) in enumerate(shapes.items())}
        results = {f"d{name}": torch.zeros_like(tensor) for name, tensor in inputs.items()}
        return does, {**inputs, "z": torch.zeros_like(network(**inputs)), **results}

    assert_same([case(*sizes) for sizes in IMAGES])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_with_the_same_matrix_until_it_changes(dtype):
    def does(x, w, z):
        for i in range(3):
            z[i].copy_(x @ w.T)
        w.add_(1)
        z[3].copy_(x @ w.T)

    x, w = random(32, 64, dtype=dtype), random(48, 64, dtype=dtype, seed=1)
    assert_same([(does, {"x": x, "w": w, "z": torch.zeros(4, 32, 48, dtype=dtype)})])


@pytest.mark.parametrize("columns", [1, 3, 8, 13])
def test_long_products_with_few_columns(columns):
    def does(a, b, c):
        c.copy_(a.T @ b)

    a, b = random(256, 192), random(256, columns, seed=1)
    assert_same([(does, {"a": a, "b": b, "c": torch.zeros(192, columns, dtype=a.dtype)})])


def test_a_copy_that_is_made_twice_of_what_changes_in_between():
    def padded(x):
        wide = torch.zeros(3, 6, dtype=x.dtype)
        wide[:, 1:5].copy_(x)
        return wide

    def does(x, y, z):
        first, again = padded(x), padded(x)
        y.copy_(first @ again.T @ first)
        x.add_(1)
        z.copy_(padded(x) @ first.T @ again)

    x = random(3, 4)
    assert_same([(does, {"x": x, "y": torch.zeros(3, 6, dtype=x.dtype), "z": torch.zeros(3, 6, dtype=x.dtype)})])


def test_parts_of_a_matrix_that_lie_between_each_other():
    """Every second column of the left half is read, while its other columns and the right half are written; and rows
    are written that are read next."""

    def does(x):
        x[:, 1:4:2].copy_(torch.exp(x[:, 0:4:2]))
        x[:, 4:].copy_(x[:, :4] * 2)
        x[1:].copy_(x[:-1] + 1)

    assert_same([(does, {"x": random(5, 8)})])


def test_pooling_takes_the_first_of_equal_numbers_and_nan():
    def does(x, z, dx):
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            out = F.max_pool2d(leaf, 2)
        z.copy_(out.detach())
        dx.copy_(torch.autograd.grad(out, leaf, torch.ones_like(out))[0])

    x = random(2, 3, 6, 8).round()
    x[0, 0, 1, 1] = torch.nan
    assert_same([(does, {"x": x, "z": torch.zeros(2, 3, 3, 4, dtype=x.dtype), "dx": torch.zeros_like(x)})])


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}])
def test_other_convolutions_are_refused(options):
    def does(x, w, z):
        z.copy_(F.conv2d(x, w, **options).sum())

    w = random(4, 4 // options.get("groups", 1), 3, 3)
    with pytest.raises(CannotCompile, match="no code for convolutions but plain ones"):
        function("f", does, {"x": random(2, 4, 8, 8), "w": w, "z": torch.zeros((), dtype=torch.float64)})
