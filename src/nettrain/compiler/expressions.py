"""What each elementwise operation of torch computes, as a C++ expression of its operands.

Operands have the names that they have in torch. Comparisons are written so that NaN goes where torch lets it go.
"""

from collections.abc import Callable
from typing import Any

from nettrain.compiler.convolutions import CHOSEN

_SIGMOID = "(1 / (1 + exp(-{self})))"
_NORMAL = "((1 + erf({self} * TYPE(M_SQRT1_2))) / 2)"  # its distribution function
_DENSITY = "exp(-{self} * {self} / 2) * TYPE(M_2_SQRTPI * M_SQRT1_2 / 2)"


def _clamp(operands: dict[str, Any]) -> str:
    low = "{self}" if operands["min"] is None else "({self} < {min} ? {min} : {self})"
    return low if operands["max"] is None else f"({low} > {{max}} ? {{max}} : {low})"


EXPRESSIONS: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "add": "{self} + {alpha} * {other}",
    "sub": "{self} - {alpha} * {other}",
    "rsub": "{other} - {alpha} * {self}",
    "mul": "{self} * {other}",
    "div": "{self} / {other}",
    "neg": "-{self}",
    "reciprocal": "1 / {self}",
    "sqrt": "sqrt({self})",
    "rsqrt": "1 / sqrt({self})",
    "square": "{self} * {self}",
    "pow": "pow({self}, {exponent})",
    "exp": "exp({self})",
    "expm1": "expm1({self})",
    "log": "log({self})",
    "log1p": "log1p({self})",
    "sin": "sin({self})",
    "cos": "cos({self})",
    "erf": "erf({self})",
    "lgamma": "lgamma({self})",
    "abs": "fabs({self})",
    "sgn": "({self} > 0) - ({self} < 0)",
    "sign": "({self} > 0) - ({self} < 0)",
    "maximum": "{self} > {other} || {self} != {self} ? {self} : {other}",
    "minimum": "{self} < {other} || {self} != {self} ? {self} : {other}",
    "addcmul": "{self} + {value} * {tensor1} * {tensor2}",
    "addcdiv": "{self} + {value} * {tensor1} / {tensor2}",
    "clamp": _clamp,
    "lerp": "{weight} < TYPE(0.5) ? {self} + {weight} * ({end} - {self}) : {end} - ({end} - {self}) * (1 - {weight})",
    "relu": "{self} <= 0 ? 0 : {self}",
    "threshold_backward": "{self} <= {threshold} ? 0 : {grad_output}",
    "leaky_relu": "{self} > 0 ? {self} : {self} * {negative_slope}",
    "leaky_relu_backward": "{self} > 0 ? {grad_output} : {grad_output} * {negative_slope}",
    "sigmoid": _SIGMOID,
    "sigmoid_backward": "{grad_output} * (1 - {output}) * {output}",
    "tanh": "tanh({self})",
    "tanh_backward": "{grad_output} * (1 - {output} * {output})",
    "silu": "{self} * " + _SIGMOID,
    "silu_backward": "{grad_output} * " + _SIGMOID + " * (1 + {self} * (1 - " + _SIGMOID + "))",
    "gelu": "{self} * " + _NORMAL,
    "gelu_backward": "{grad_output} * (" + _NORMAL + " + {self} * " + _DENSITY + ")",
    "elu": "{self} > 0 ? {self} * {scale} : expm1({self} * {input_scale}) * {alpha} * {scale}",
    "elu_backward": "{self_or_result} <= 0 ? {grad_output} * exp({self_or_result} * {input_scale}) * {input_scale} * "
    "{alpha} * {scale} : {grad_output} * {scale}",
    CHOSEN: "{number} == {value} ? {d} : 0",
    "where": "{condition} ? {self} : {other}",
    "masked_fill": "{mask} ? {value} : {self}",
    "eq": "{self} == {other}",
    "ne": "{self} != {other}",
    "lt": "{self} < {other}",
    "le": "{self} <= {other}",
    "gt": "{self} > {other}",
    "ge": "{self} >= {other}",
    "isnan": "{self} != {self}",
    "logical_not": "!{self}",
    "bitwise_not": "~{self}",
    "bitwise_and": "{self} & {other}",
    "bitwise_or": "{self} | {other}",
    "bitwise_xor": "{self} ^ {other}",
    "__and__": "{self} & {other}",
    "__or__": "{self} | {other}",
    "__rshift__": "{self} >> {other}",
    "__lshift__": "{self} << {other}",
    "arange": "{start} + {step} * (TYPE)({index})",
    "_to_copy": "{self}",
    "clone": "{self}",
    "copy": "{src}",
    "fill": "{value}",
    "zero": "0",
    "zeros": "0",
    "scalar_tensor": "{s}",
    "zeros_like": "0",
    "ones_like": "1",
    "full_like": "{fill_value}",
    "detach": "{self}",
}

# What only means something for some values of the options, and what is not converted to the type of the result.
REQUIRED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "gelu": lambda o: o["approximate"] == "none",
    "gelu_backward": lambda o: o["approximate"] == "none",
    "elu_backward": lambda o: not o["is_result"],
    "div": lambda o: o.get("rounding_mode") is None,
}
CONDITIONS = ("condition", "mask")
