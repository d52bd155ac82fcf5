"""exp, expm1, log1p and erf as arithmetic alone, so that loops over them are done in vectors.

Errors are a few units in the last place, in float32 and float64; infinities and NaN give what NumPy gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from ..erf import DEGREE, LIMIT, coefficients

__all__ = ["erf", "exp", "expm1", "log1p"]


class _Real:
    """A number in LLVM's IR, with Python's operators."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __call__(self, number: float) -> _Real:
        return _Real(self.builder, ir.Constant(self.value.type, number))

    def _other(self, other: _Real | float) -> Any:
        return other.value if isinstance(other, _Real) else ir.Constant(self.value.type, float(other))

    def __add__(self, other: _Real | float) -> _Real:
        return _Real(self.builder, self.builder.fadd(self.value, self._other(other)))

    def __sub__(self, other: _Real | float) -> _Real:
        return _Real(self.builder, self.builder.fsub(self.value, self._other(other)))

    def __mul__(self, other: _Real | float) -> _Real:
        return _Real(self.builder, self.builder.fmul(self.value, self._other(other)))

    def __truediv__(self, other: _Real | float) -> _Real:
        return _Real(self.builder, self.builder.fdiv(self.value, self._other(other)))

    def where(self, comparison: str, other: _Real | float, yes: _Real, no: _Real) -> _Real:
        """Return yes where the comparison holds, else no; so also where one of the two is NaN."""
        test = self.builder.fcmp_ordered(comparison, self.value, self._other(other))
        return _Real(self.builder, self.builder.select(test, yes.value, no.value))

    def call(self, name: str, *others: _Real) -> _Real:
        """Call one of LLVM's functions, such as floor."""
        kind = self.value.type
        bits = 32 if isinstance(kind, ir.FloatType) else 64
        arguments = [self.value, *(other.value for other in others)]
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(kind, [kind] * len(arguments)), f"llvm.{name}.f{bits}"
        )
        return _Real(self.builder, self.builder.call(function, arguments))


def _intrinsic(formula: Callable[[_Real, bool], _Real]) -> Any:
    @intrinsic
    def function(typing: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return formula(_Real(builder, args[0]), x.bitwidth == 64).value

        return x(x), code

    return function


_LN2_HIGH = {False: 0.693359375, True: 0.693145751953125}  # so few digits that products with integers are exact
_LN2_LOW = {False: -2.121944400546905827679e-4, True: 1.42860682030941723212e-6}
_RANGE = {False: (-104.0, 89.0), True: (-746.0, 710.0)}
_TERMS = {False: 7, True: 13}


def _split_exp(x: _Real, double: bool) -> tuple[_Real, _Real, _Real]:
    """Return p, a and b such that exp(x) = (1 + p) * a * b, a and b powers of two and |p| < 0.42."""
    low, high = _RANGE[double]
    x = x.where("<", low, x(low), x)
    x = x.where(">", high, x(high), x)
    n = (x * (1 / math.log(2)) + 0.5).call("floor")
    rest = x - n * _LN2_HIGH[double] - n * _LN2_LOW[double]
    p = x(1 / math.factorial(_TERMS[double]))
    for k in range(_TERMS[double] - 1, 0, -1):
        p = p * rest + 1 / math.factorial(k)
    n = n.where("ord", n, n, x(0.0))  # of NaN there is no integer
    b = x.builder
    kind, bits, bias = (ir.IntType(64), 52, 1023) if double else (ir.IntType(32), 23, 127)
    whole = b.fptosi(n.value, kind)
    half = b.ashr(whole, ir.Constant(kind, 1))

    def power(exponent: Any) -> _Real:
        pattern = b.shl(b.add(exponent, ir.Constant(kind, bias)), ir.Constant(kind, bits))
        return _Real(b, b.bitcast(pattern, x.value.type))

    return p * rest, power(half), power(b.sub(whole, half))


def _exp(x: _Real, double: bool) -> _Real:
    p, a, b = _split_exp(x, double)
    return (p + 1) * a * b


def _expm1(x: _Real, double: bool) -> _Real:
    p, a, b = _split_exp(x, double)
    scale = a * b
    return x.where(">", 40.0, (p + 1) * a * b, scale * p + (scale - 1))


def _log1p(x: _Real, double: bool) -> _Real:
    """For x from 0 to 1: twice the inverse hyperbolic tangent of x / (2 + x), which is at most a third."""
    s = x / (x + 2)
    square = s * s
    terms = 18 if double else 8
    total = x(1 / (2 * terms + 1))
    for k in range(terms - 1, -1, -1):
        total = total * square + 1 / (2 * k + 1)
    return s * total * 2


def _erf(x: _Real, double: bool) -> _Real:
    size = 8 if double else 4
    z = x.call("fabs")
    z = z.where(">", LIMIT, x(LIMIT), z)
    least = 2 / (2 + LIMIT)
    node = (x(2.0) / (z + 2) - least) * (2 / (1 - least)) - 1
    above, current = x(0.0), x(0.0)
    twice = node * 2
    numbers = [float(number) for number in coefficients(DEGREE[size])]
    for number in numbers[:0:-1]:
        above, current = current, twice * current - above + number
    g = node * current - above + numbers[0]
    return (x(1.0) - _exp(x(0.0) - z * z, double) * g).call("copysign", x)


exp = _intrinsic(_exp)
expm1 = _intrinsic(_expm1)
log1p = _intrinsic(_log1p)
erf = _intrinsic(_erf)
