"""The six worked examples of the article that minidl is based on, step by step.

    python examples/article.py

Symbols: N batch size, C input channels, F filters, H/W input size, H'/W' output size, HH/WW kernel size, S stride,
P padding.
"""

import numpy as np

from minidl import functional as f
from minidl import reference


def title(number: int, text: str) -> None:
    print(f"\n{number}. {text}\n" + "-" * (len(text) + 3))


def first() -> None:
    title(1, "227x227x3, filters of 11x11, stride 4: sizes of the im2col product")
    x = np.zeros((1, 3, 227, 227), np.float32)
    cols = f.im2col(x, 11, stride=4)
    side = (227 - 11) // 4 + 1
    print(f"H' = (227 - 11)/4 + 1 = {side}")
    print(
        f"column matrix: {cols.shape[1]} x {cols.shape[2]}   (11*11*3 = {11 * 11 * 3}, {side}*{side} = {side * side})"
    )
    filters = np.zeros((96, 3, 11, 11), np.float32)
    matrix = filters.reshape(96, -1)
    product = matrix @ cols[0]
    print(f"weight matrix: {matrix.shape[0]} x {matrix.shape[1]}")
    print(f"product:       {product.shape[0]} x {product.shape[1]} = {side}x{side}x96")


def second() -> None:
    title(2, "4x4x3, one 2x2 filter: the computational graph, forward and in reverse")
    rng = np.random.default_rng(0)
    x, w, b = rng.integers(-2, 3, (1, 3, 4, 4)) * 1.0, rng.integers(-2, 3, (1, 3, 2, 2)) * 1.0, np.array([1.0])
    cols = f.im2col(x, 2)
    row = w.reshape(1, -1)
    out = (row @ cols[0] + b[:, None]).reshape(1, 1, 3, 3)
    print(f"reshape w -> {row.shape}, im2col x -> {cols[0].shape}, product + b -> (1, 9), reshape -> {out.shape}")
    print(out[0, 0])
    expected, cache = f.conv2d_forward(x, w, b)
    print("the same as conv2d_forward:", np.array_equal(out, expected))
    grad = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    flat = grad.reshape(1, 9)
    db, dw, dcols = flat.sum(axis=1), (flat @ cols[0].T).reshape(w.shape), row.T @ flat
    dx = f.col2im(dcols[None], (4, 4), 2)
    print(f"in reverse: reshape grad -> {flat.shape}, db = its sum = {db[0]:g},")
    print("            dw = grad @ cols.T, dcols = w.T @ grad, dx = col2im(dcols)")
    gradients = f.conv2d_backward(grad, cache)
    print("the same as conv2d_backward:", all(map(np.array_equal, (dx, dw, db), gradients)))


def third() -> None:
    title(3, "3x3, one 2x2 filter, by hand")
    x, w = np.arange(1.0, 10).reshape(1, 1, 3, 3), np.array([[[[1.0, 2], [3, 4]]]])
    out, cache = reference.conv2d_forward(x, w, np.array([0.0]))
    print("x =\n", x[0, 0], "\nw =\n", w[0, 0], sep="")
    print("y11 = 1*1 + 2*2 + 4*3 + 5*4 =", int(out[0, 0, 0, 0]))
    print("y =\n", out[0, 0], sep="")
    grad = np.array([[[[1.0, 2], [3, 4]]]])
    dx, dw, db = reference.conv2d_backward(grad, cache)
    print("for dL/dy = [[1, 2], [3, 4]]:")
    print("dL/db = 1 + 2 + 3 + 4 =", int(db[0]))
    print("dL/dw11 = 1*1 + 2*2 + 4*3 + 5*4 =", int(dw[0, 0, 0, 0]))
    print("dL/dw =\n", dw[0, 0], sep="")
    print("dL/dx22 = 4*1 + 3*2 + 2*3 + 1*4 =", int(dx[0, 0, 1, 1]))
    print("dL/dx =\n", dx[0, 0], sep="")


def fourth() -> None:
    title(4, "One dimension: x of 5, w of 3, y of 3")
    x, w, grad = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 0, -1]), np.array([1.0, 10, 100])
    out, cache = f.conv2d_forward(x.reshape(1, 1, 1, 5), w.reshape(1, 1, 1, 3), np.array([0.0]))
    dx, dw, db = f.conv2d_backward(grad.reshape(1, 1, 1, 3), cache)
    print("y =", out.ravel())
    print("dL/dx, the full convolution of the gradient (padded by 2) with the flipped filter:", dx.ravel())
    print("  np.convolve(grad, w, 'full') =                                                  ", np.convolve(grad, w))
    print("dL/dw, the valid correlation of x with the gradient:", dw.ravel())
    print("  np.correlate(x, grad, 'valid') =                  ", np.correlate(x, grad, "valid"))
    print("dL/db, the sum of the gradient:", db[0])


def fifth() -> None:
    title(5, "Pooling: W2 = (W1 - K)/S + 1")
    x = np.zeros((1, 64, 224, 224), np.float32)
    out, _ = f.max_pool2d_forward(x, 2, stride=2)
    print(f"{x.shape} -> {out.shape}: (224 - 2)/2 + 1 = {(224 - 2) // 2 + 1}; depth unchanged; no parameters")


def sixth() -> None:
    title(6, "H' = 1 + (H + 2P - K)/S, rounded down; pixels that no window covers have a zero gradient")
    x = np.arange(36.0).reshape(1, 1, 6, 6)
    out, cache = f.conv2d_forward(x, np.ones((1, 1, 3, 3)), stride=2)
    dx, _, _ = f.conv2d_backward(np.ones_like(out), cache)
    print(f"H = 6, P = 0, K = 3, S = 2: H' = 1 + floor(3/2) = {out.shape[2]}")
    print(dx[0, 0])


def main() -> None:
    for example in (first, second, third, fourth, fifth, sixth):
        example()


if __name__ == "__main__":
    main()
