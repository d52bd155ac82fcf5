"""Instructions on whole vectors, which numba's own loops do not reach: the inner loops of convolutions in LLVM's IR.

Addresses are integers, so that one compiled function serves arrays of every layout, read-only ones too. ``like`` is a
number of the arrays' dtype; it says the type, and how many lanes a vector has. Block sizes are literal numbers: they
unroll the code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

__all__ = [
    "BYTES",
    "REGISTERS",
    "cast",
    "fill",
    "lanes",
    "load",
    "load_index",
    "load_word",
    "multiply_add",
    "outer",
    "store",
    "winograd_gradient",
    "winograd_input",
    "winograd_output",
]


def _width() -> tuple[int, int]:
    """Return the bytes of vectors, and how many registers there are for them, on the CPU that numba compiles for.

    That is this machine's, or the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES describe. LLVM does not say what it
    knows of a CPU: the code that it makes of one addition of 64 bytes shows it.
    """
    code = "define <16 x float> @twice(<16 x float> %x) { %y = fadd <16 x float> %x, %x ret <16 x float> %y }"
    made = cpu_target.target_context.codegen()._tm.emit_assembly(llvm.parse_assembly(code))
    if "%zmm" in made:
        return 64, 32
    if "%ymm" in made:
        return 32, 16
    return 16, 16 if "%xmm" in made else 32  # the latter on ARM


BYTES, REGISTERS = _width()

_INDEX = ir.IntType(64)
_I32 = ir.IntType(32)


class _Code:
    """The instructions of one intrinsic: LLVM's builder, the numbers' type and that of vectors of them."""

    def __init__(self, builder: Any, like: Any) -> None:
        self.builder = builder
        self.number = ir.FloatType() if like.bitwidth == 32 else ir.DoubleType()
        self.size = like.bitwidth // 8
        self.lanes = BYTES // self.size
        self.vector = ir.VectorType(self.number, self.lanes)
        # one rounding where the CPU can, two where it would be emulated
        name = f"llvm.fmuladd.v{self.lanes}f{like.bitwidth}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self.fma_function = cgutils.get_or_insert_function(builder.module, kind, name)

    def pointer(self, address: Any) -> Any:
        return self.builder.inttoptr(address, self.number.as_pointer())

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index])

    def load(self, pointer: Any, index: Any) -> Any:
        found = self.builder.load(self.builder.bitcast(self.at(pointer, index), self.vector.as_pointer()))
        found.align = self.size
        return found

    def store(self, vector: Any, pointer: Any, index: Any) -> None:
        self.builder.store(
            vector, self.builder.bitcast(self.at(pointer, index), self.vector.as_pointer())
        ).align = self.size

    def splat(self, number: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), number, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self.fma_function, [a, b, c])

    def zero(self) -> Any:
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def totals(self, vectors: list[Any]) -> list[Any]:
        """Return each vector's sum over its lanes; several are added by halves at once."""
        found = []
        while vectors:
            many = 1
            while 2 * many <= min(self.lanes, len(vectors)):
                many *= 2
            found += self._totals(vectors[:many])
            vectors = vectors[many:]
        return found

    def _totals(self, vectors: list[Any]) -> list[Any]:
        """The same of as many as a power of two: a vector holds groups of lanes, each of what is left of one sum."""
        size, count = self.lanes, len(vectors)
        while size > 1:
            half = size // 2
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True)) if len(vectors) > 1 else [(vectors[0],) * 2]
            width = 2 * self.lanes if len(vectors) > 1 else size * count
            firsts = [k for k in range(width) if k % size < half]
            lows, highs = (self._lanes(k + part for k in firsts) for part in (0, half))
            vectors = [
                self.builder.fadd(self.builder.shuffle_vector(a, b, lows), self.builder.shuffle_vector(a, b, highs))
                for a, b in pairs
            ]
            size = half
        return [self.builder.extract_element(vectors[0], ir.Constant(_I32, k)) for k in range(count)]

    def _lanes(self, numbers: Iterable[int]) -> Any:
        picked = list(numbers)
        return ir.Constant(ir.VectorType(_I32, len(picked)), picked)


def _number(value: int) -> Any:
    return ir.Constant(_INDEX, value)


@intrinsic
def lanes(typing: Any, like: Any) -> Any:
    """Return how many numbers a vector holds."""
    count = BYTES * 8 // like.bitwidth

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _number(count)

    return types.intp(like), code


@intrinsic
def cast(typing: Any, value: Any, like: Any) -> Any:
    """Return a float64 in the dtype of ``like``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if like.bitwidth == 64 else builder.fptrunc(args[0], ir.FloatType())

    return like(types.float64, like), code


@intrinsic
def load(typing: Any, address: Any, index: Any, like: Any) -> Any:
    """Return the number at ``address[index]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(builder, like)
        return builder.load(c.at(c.pointer(args[0]), args[1]))

    return like(types.intp, types.intp, like), code


@intrinsic
def load_index(typing: Any, address: Any, index: Any) -> Any:
    """Return the 64-bit integer at ``address[index]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(builder.inttoptr(args[0], _INDEX.as_pointer()), [args[1]]))

    return types.intp(types.intp, types.intp), code


@intrinsic
def load_word(typing: Any, address: Any, index: Any) -> Any:
    """Return the unsigned 32-bit integer at ``address[index]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.load(builder.gep(builder.inttoptr(args[0], _I32.as_pointer()), [args[1]]))
        return builder.zext(word, _INDEX)

    return types.intp(types.intp, types.intp), code


@intrinsic
def store(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """Write a number to ``address[index]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(builder, value)
        builder.store(args[2], c.at(c.pointer(args[0]), args[1]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), code


@intrinsic
def fill(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """Write a vector of one number to ``address[index...]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = _Code(builder, value)
        c.store(c.splat(args[2]), c.pointer(args[0]), args[1])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), code


@intrinsic(prefer_literal=True)
def multiply_add(
    typing: Any, rows: Any, columns: Any, start: Any, x: Any, taps: Any, count: Any, w: Any, bias: Any, out: Any,
    step: Any, like: Any,
) -> Any:  # fmt: skip
    """Compute ``rows`` rows of ``columns`` vectors, ``step`` apart: sums of products of weights and shifted inputs.

        out[f*step + p] = start + sum over k of w[k*rows + f] * x[taps[k] + p]

    ``start`` is what is there for 0, nothing for 1, bias[f] for 2. The sums stay in registers while k runs over the
    ``count`` taps.
    """
    height, width = rows.literal_value, columns.literal_value

    def code(context: Any, b: Any, signature: Any, args: Any) -> Any:
        c = _Code(b, like)
        xp, wp, bp, outp = (c.pointer(args[n]) for n in (3, 6, 7, 8))
        tp = b.inttoptr(args[4], _INDEX.as_pointer())
        places = [
            [b.add(b.mul(args[9], _number(f)), _number(v * c.lanes)) for v in range(width)] for f in range(height)
        ]
        if start.literal_value < 2:
            before_first = [[c.zero()] * width] * height
        else:
            before_first = [[c.splat(b.load(c.at(bp, _number(f))))] * width for f in range(height)]
        before, loop, after = b.block, b.append_basic_block("taps"), b.append_basic_block("done")
        b.branch(loop)
        b.position_at_end(loop)
        k = b.phi(_INDEX)
        k.add_incoming(_number(0), before)
        sums = [[b.phi(c.vector) for _ in range(width)] for _ in range(height)]
        offset = b.load(b.gep(tp, [k]))
        inputs = [c.load(xp, b.add(offset, _number(v * c.lanes))) for v in range(width)]
        weights = b.gep(wp, [b.mul(k, _number(height))])
        new = []
        for f in range(height):
            weight = c.splat(b.load(b.gep(weights, [_number(f)])))
            new.append([c.fma(weight, inputs[v], sums[f][v]) for v in range(width)])
        following = b.add(k, _number(1))
        k.add_incoming(following, b.block)
        for f in range(height):
            for v in range(width):
                sums[f][v].add_incoming(before_first[f][v], before)
                sums[f][v].add_incoming(new[f][v], b.block)
        b.cbranch(b.icmp_signed("<", following, args[5]), loop, after)
        b.position_at_end(after)
        for f in range(height):
            for v in range(width):
                total = new[f][v]
                if start.literal_value == 0:  # at the end: sums of sums lose less than one long sum
                    total = b.fadd(c.load(outp, places[f][v]), total)
                c.store(total, outp, places[f][v])
        return context.get_dummy_value()

    index = types.intp
    return types.void(rows, columns, start, *[index] * 7, like), code


@intrinsic(prefer_literal=True)
def outer(
    typing: Any,
    rows: Any,
    columns: Any,
    x: Any,
    taps: Any,
    xrow: Any,
    g: Any,
    gstep: Any,
    grow: Any,
    count: Any,
    length: Any,
    out: Any,
    step: Any,
    like: Any,
) -> Any:
    """Add to ``out`` the products of ``rows`` gradients and ``columns`` shifted inputs, summed over lines.

        out[f*step + k] += sum over r < count, p < length of g[r*grow + f*gstep + p] * x[r*xrow + taps[k] + p]

    ``length`` is a multiple of a vector's lanes, at least one. The sums stay in registers to the end.
    """
    height, width = rows.literal_value, columns.literal_value

    def code(context: Any, b: Any, signature: Any, args: Any) -> Any:
        c = _Code(b, like)
        x0, g0, outp = c.pointer(args[2]), c.pointer(args[5]), c.pointer(args[10])
        tp = b.inttoptr(args[3], _INDEX.as_pointer())
        xs = [c.at(x0, b.load(b.gep(tp, [_number(k)]))) for k in range(width)]
        gs = [c.at(g0, b.mul(args[6], _number(f))) for f in range(height)]
        before = b.block
        line, loop = b.append_basic_block("line"), b.append_basic_block("length")
        next_line, after = b.append_basic_block("next"), b.append_basic_block("done")
        b.branch(line)
        b.position_at_end(line)
        r = b.phi(_INDEX)
        r.add_incoming(_number(0), before)
        outside = [[b.phi(c.vector) for _ in range(width)] for _ in range(height)]
        x_at, g_at = b.mul(r, args[4]), b.mul(r, args[7])
        b.branch(loop)
        b.position_at_end(loop)
        p = b.phi(_INDEX)
        p.add_incoming(_number(0), line)
        sums = [[b.phi(c.vector) for _ in range(width)] for _ in range(height)]
        grads = [c.load(gs[f], b.add(g_at, p)) for f in range(height)]
        new: list[list[Any]] = [[None] * width for _ in range(height)]
        for k in range(width):
            value = c.load(xs[k], b.add(x_at, p))
            for f in range(height):
                new[f][k] = c.fma(grads[f], value, sums[f][k])
        p_next = b.add(p, _number(c.lanes))
        p.add_incoming(p_next, loop)
        b.cbranch(b.icmp_signed("<", p_next, args[9]), loop, next_line)
        b.position_at_end(next_line)
        r_next = b.add(r, _number(1))
        r.add_incoming(r_next, next_line)
        b.cbranch(b.icmp_signed("<", r_next, args[8]), line, after)
        for f in range(height):
            for k in range(width):
                outside[f][k].add_incoming(c.zero(), before)
                outside[f][k].add_incoming(new[f][k], next_line)
                sums[f][k].add_incoming(outside[f][k], line)
                sums[f][k].add_incoming(new[f][k], loop)
        b.position_at_end(after)
        totals = c.totals([vector for row in new for vector in row])
        for f in range(height):
            for k in range(width):
                place = c.at(outp, b.add(b.mul(args[11], _number(f)), _number(k)))
                b.store(b.fadd(b.load(place), totals[f * width + k]), place)
        return context.get_dummy_value()

    index = types.intp
    return types.void(rows, columns, *[index] * 10, like), code


@intrinsic
def winograd_input(typing: Any, x: Any, row: Any, column: Any, out: Any, step: Any, like: Any) -> Any:
    """Write the 16 vectors B' d B of 4 by 4 vectors d, which are ``row`` and ``column`` apart, ``step`` apart."""

    def code(context: Any, b: Any, signature: Any, args: Any) -> Any:
        c = _Code(b, like)
        xp, outp = c.pointer(args[0]), c.pointer(args[3])

        def transformed(d: list[Any]) -> list[Any]:
            return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]

        places = [[b.add(b.mul(args[1], _number(i)), b.mul(args[2], _number(j))) for j in range(4)] for i in range(4)]
        values = [[c.load(xp, place) for place in line] for line in places]
        columns = [transformed([values[i][j] for i in range(4)]) for j in range(4)]
        for i in range(4):
            for j, value in enumerate(transformed([columns[j][i] for j in range(4)])):
                c.store(value, outp, b.mul(args[4], _number(4 * i + j)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, like), code


@intrinsic
def winograd_output(typing: Any, m: Any, step: Any, bias: Any, at: Any, right: Any, below: Any, both: Any) -> Any:
    """Write the 2 by 2 vectors A' M A + bias of 16 vectors M, ``step`` apart, to four addresses."""

    def code(context: Any, b: Any, signature: Any, args: Any) -> Any:
        c = _Code(b, bias)
        mp, start = c.pointer(args[0]), c.splat(args[2])

        def transformed(d: list[Any]) -> list[Any]:
            return [b.fadd(b.fadd(d[0], d[1]), d[2]), b.fsub(b.fsub(d[1], d[2]), d[3])]

        values = [[c.load(mp, b.mul(args[1], _number(4 * i + j))) for j in range(4)] for i in range(4)]
        columns = [transformed([values[i][j] for i in range(4)]) for j in range(4)]
        for i in range(2):
            for j, value in enumerate(transformed([columns[j][i] for j in range(4)])):
                c.store(b.fadd(value, start), c.pointer(args[3 + 2 * i + j]), _number(0))
        return context.get_dummy_value()

    index = types.intp
    return types.void(index, index, bias, index, index, index, index), code


@intrinsic
def winograd_gradient(
    typing: Any, at: Any, right: Any, below: Any, both: Any, mask: Any, out: Any, step: Any, like: Any
) -> Any:
    """Write the 16 vectors G g G' of 2 by 2 vectors g, at four addresses, times a vector, ``step`` apart."""

    def code(context: Any, b: Any, signature: Any, args: Any) -> Any:
        c = _Code(b, like)
        half = ir.Constant(c.vector, [0.5] * c.lanes)
        kept = c.load(c.pointer(args[4]), _number(0))
        values = [[b.fmul(c.load(c.pointer(args[2 * i + j]), _number(0)), kept) for j in range(2)] for i in range(2)]

        def transformed(g: list[Any]) -> list[Any]:
            return [g[0], b.fmul(half, b.fadd(*g)), b.fmul(half, b.fsub(*g)), g[1]]

        columns = [transformed([values[i][j] for i in range(2)]) for j in range(2)]
        for i in range(4):
            for j, value in enumerate(transformed([columns[j][i] for j in range(2)])):
                c.store(value, c.pointer(args[5]), b.mul(args[6], _number(4 * i + j)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7, like), code
