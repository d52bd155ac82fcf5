"""Random calls of the functions of `minidl.nn.functional`: (arguments, options) from a generator, by name."""

import numpy as np


def normal(r, *shape):
    return r.standard_normal(shape)


def positive(r, *shape):
    return r.uniform(0.2, 2, shape)


def shape(r, least=1, most=4):
    return tuple(int(n) for n in r.integers(1, 5, int(r.integers(least, most + 1))))


def images(r, channels=None, size=9):
    n, c = int(r.integers(1, 4)), int(r.integers(1, 5)) if channels is None else channels
    return normal(r, n, c, *(int(k) for k in r.integers(5, size + 1, 2)))


def flag(r):
    return bool(r.integers(2))


def pick(r, *values):
    return values[int(r.integers(len(values)))]


def number(r, low, high):
    return float(r.uniform(low, high))


def pair(r, low, high):
    a, b = (int(k) for k in r.integers(low, high + 1, 2))
    return pick(r, a, (a, b))


def some(r, **options):
    """Some of the options, the others being left at their defaults."""
    return {name: value for name, value in options.items() if r.integers(3)}


def unary(**options):
    return lambda r: ((normal(r, *shape(r)) * 3,), some(r, **{k: v(r) for k, v in options.items()}))


def inplace(r):
    return flag(r)


def softmax(r):
    x = normal(r, *shape(r)) * 4
    return (x,), {"dim": int(r.integers(-x.ndim, x.ndim))}


def glu(r):
    dims = list(shape(r))
    dim = int(r.integers(len(dims)))
    dims[dim] *= 2
    return (normal(r, *dims),), {"dim": dim - pick(r, 0, len(dims))}


def prelu(r):
    x = normal(r, *shape(r, 2))
    return (x, normal(r, pick(r, 1, x.shape[1]))), {}


def max_pool(r, images=images):
    kernel = pair(r, 2, 4)
    half = (kernel if isinstance(kernel, int) else min(kernel)) // 2
    options = some(
        r, stride=pair(r, 1, 4), padding=int(r.integers(half + 1)), dilation=pair(r, 1, 1), ceil_mode=flag(r)
    )
    return (images(r), kernel), options


def dilated_pool(r):
    return (images(r, size=12), 2), some(r, stride=pair(r, 1, 3), padding=pick(r, 0, 1), dilation=pair(r, 1, 2))


def sequences(r, channels=None, least=6):
    n, c = int(r.integers(1, 4)), int(r.integers(1, 4)) if channels is None else channels
    return normal(r, n, c, int(r.integers(least, 13)))


def one(r, value):
    return pick(r, value, (value,))


def max_pool1d(r):
    kernel = int(r.integers(2, 4))
    options = some(r, stride=one(r, int(r.integers(1, 4))), padding=one(r, 1), ceil_mode=flag(r))
    return (sequences(r), one(r, kernel)), options


def avg_pool(r):
    (x, kernel), options = max_pool(r)
    options.pop("dilation", None)
    return (x, kernel), {**options, **some(r, count_include_pad=flag(r), divisor_override=int(r.integers(1, 9)))}


def avg_pool1d(r):
    args, options = max_pool1d(r)
    return args, {**options, **some(r, count_include_pad=flag(r))}


def lp_pool(r):
    x = np.abs(images(r)) + 0.1
    return (x, pick(r, 1, 2, 3.0), pair(r, 2, 4)), some(r, stride=pair(r, 1, 3), ceil_mode=flag(r))


def adaptive(r):
    return (images(r), pick(r, 1, 3, (2, 4), (None, 3))), {}


def dropout(r):
    return (normal(r, *shape(r)),), pick(r, {"training": False}, {"p": 0.0}, {"p": 1.0, "training": True})


def dropout2d(r):
    return (images(r),), pick(r, {"training": False}, {"p": 0.0}, {"p": 1.0, "training": True})


def dropout1d(r):
    return (sequences(r),), pick(r, {"training": False}, {"p": 0.0}, {"p": 1.0, "training": True})


def linear(r):
    x = normal(r, *shape(r, 2))
    m = int(r.integers(1, 5))
    bias = pick(r, (), (normal(r, m),), (None,))
    return (x, normal(r, m, x.shape[-1]), *bias), {}


def bilinear(r):
    lead, (a, b, m) = shape(r, 1, 2), (int(k) for k in r.integers(1, 5, 3))
    return (normal(r, *lead, a), normal(r, *lead, b), normal(r, m, a, b), *pick(r, (), (normal(r, m),))), {}


def conv2d(r):
    groups = pick(r, 1, 2)
    c, f, kernel = groups * int(r.integers(1, 3)), groups * int(r.integers(1, 3)), r.integers(1, 4, 2)
    x, w = images(r, c), normal(r, f, c // groups, *(int(k) for k in kernel))
    options = some(r, stride=pair(r, 1, 3), dilation=pair(r, 1, 2), padding=pair(r, 0, 2))
    if flag(r):
        options = {"padding": pick(r, "same", "valid"), **some(r, dilation=pair(r, 1, 2))}
    return (x, w, *pick(r, (), (normal(r, f),))), {**options, "groups": groups}


def conv1d(r):
    groups = pick(r, 1, 2)
    c, f = groups * int(r.integers(1, 3)), groups * int(r.integers(1, 3))
    x, w = sequences(r, c), normal(r, f, c // groups, int(r.integers(1, 4)))
    options = some(r, stride=one(r, int(r.integers(1, 4))), dilation=one(r, 2), padding=one(r, int(r.integers(3))))
    return (x, w, *pick(r, (), (normal(r, f),))), {**options, "groups": groups}


def conv_transpose2d(r):
    groups = pick(r, 1, 2)
    c, f = groups * int(r.integers(1, 3)), groups * int(r.integers(1, 3))
    x, w = images(r, c, 6), normal(r, c, f // groups, *(int(k) for k in r.integers(1, 4, 2)))
    options = {"stride": 2, "output_padding": pick(r, 0, 1), "padding": pick(r, 0, 1), "dilation": pair(r, 1, 2)}
    return (x, w, *pick(r, (), (normal(r, f),))), {**options, "groups": groups}


def embedding(r):
    rows = int(r.integers(2, 6))
    index = r.integers(0, rows, shape(r))
    return (index, normal(r, rows, 3)), some(r, padding_idx=int(r.integers(-rows, rows)))


def batch_norm(r):
    x = normal(r, 4, 3, *shape(r, 1, 3)[1:]) * 2 + 1
    running = normal(r, 3), positive(r, 3)
    training = flag(r)
    running = (None, None) if training and flag(r) else running
    affine = pick(r, (), (normal(r, 3), normal(r, 3)), (normal(r, 3),))
    return (x, *running, *affine), {"training": training, **some(r, momentum=number(r, 0, 1), eps=1e-3)}


def instance_norm(r):
    x = pick(r, images(r, 3), sequences(r, 3))
    running = pick(r, (None, None), (normal(r, 3), positive(r, 3)))
    options = some(r, use_input_stats=running[0] is None or flag(r), momentum=number(r, 0, 1), eps=1e-3)
    return (x, *running, *pick(r, (), (normal(r, 3), normal(r, 3)))), options


def group_norm(r):
    groups = int(r.integers(1, 4))
    c = groups * int(r.integers(1, 3))
    x = normal(r, 3, c, *(int(k) for k in r.integers(2, 5, int(r.integers(1, 3)))))
    return (x, groups, *pick(r, (), (normal(r, c), normal(r, c)))), some(r, eps=1e-2)


def layer_norm(r):
    x = normal(r, *shape(r, 2), 4)
    last = x.shape[int(r.integers(1, x.ndim)) :]
    return (x, last, *pick(r, (), (normal(r, *last), normal(r, *last)))), some(r, eps=1e-2)


def rms_norm(r):
    (x, last, *weights), options = layer_norm(r)
    return (x, last, *weights[:1]), options


def local_response_norm(r):
    x = normal(r, 2, int(r.integers(1, 7)), 3, 3)
    return (x, int(r.integers(1, 5))), some(r, alpha=number(r, 0, 1), beta=number(r, 0, 1), k=number(r, 0.5, 2))


def normalize(r):
    x = normal(r, *shape(r, 2))
    return (x,), some(
        r, p=pick(r, 2.0, 1.0, 3.0, float("inf")), dim=int(r.integers(-x.ndim, x.ndim)), eps=pick(r, 1e-12, 0.7)
    )


def cosine_similarity(r):
    dims = shape(r, 2)
    other = tuple(pick(r, 1, n, n) for n in dims)[pick(r, 0, 0, 1) :]
    both = (normal(r, *dims), normal(r, *other))[:: pick(r, 1, -1)]
    return both, some(r, dim=int(r.integers(-len(dims), len(dims))), eps=pick(r, 1e-8, 0.5))


def pairwise_distance(r):
    dims = shape(r, 1, 3)
    other = (dims[:-1] and dims[pick(r, 0, 1) : -1]) + dims[-1:]
    return (normal(r, *dims), normal(r, *other)), some(
        r, p=pick(r, 1.0, 2.0, 3.0, float("inf")), eps=1e-3, keepdim=flag(r)
    )


def pad(r):
    kind = pick(r, "constant", "constant", "reflect", "replicate", "circular")
    if kind == "constant":
        x = pick(r, images(r), normal(r, *(int(k) for k in r.integers(3, 6, int(r.integers(1, 5))))))
        widths = tuple(int(k) for k in r.integers(-1, 3, 2 * int(r.integers(1, x.ndim + 1))))
        return (x, widths), some(r, value=number(r, -1, 1))
    x = pick(r, images(r), sequences(r))
    return (x, tuple(int(k) for k in r.integers(0, 4, 2 * (x.ndim - 2)))), {"mode": kind}


def interpolate(r):
    x = images(r, size=7)
    options = pick(r, {"size": pair(r, 1, 12)}, {"scale_factor": pick(r, 2, 0.5, 1.7)}, {"scale_factor": (2.0, 1.5)})
    if "scale_factor" in options and flag(r):
        options["recompute_scale_factor"] = True
    if flag(r):
        return (x,), options
    return (x,), {**options, "mode": "bilinear", **some(r, align_corners=flag(r))}


def upsample(r):
    (x,), options = interpolate(r)
    options.pop("recompute_scale_factor", None)
    return (x,), options


def pixel_shuffle(r):
    factor = int(r.integers(1, 4))
    return (normal(r, 2, 2 * factor**2, 3, 2), factor), {}


def unfold(r):
    return (images(r), pair(r, 1, 3)), some(r, dilation=pair(r, 1, 2), padding=pair(r, 0, 2), stride=pair(r, 1, 2))


def fold(r):
    return (normal(r, 2, 3 * 4, 5 * 4), (6, 5), 2), {}


def labels(r, x):
    return r.integers(0, x.shape[1], (x.shape[0], *x.shape[2:]))


def attention(r):
    lead, (a, b, e, v) = shape(r, 0, 2), (int(k) for k in r.integers(1, 5, 4))
    query, key, value = normal(r, *lead, a, e), normal(r, *lead, b, e), normal(r, *lead, b, v)
    allowed = r.integers(0, 2, (a, b)).astype(bool)
    allowed[:, 0] = True  # of a query that may take nothing the result is NaN
    mask, options = pick(r, ((), {}), ((), {"is_causal": True}), ((allowed,), {}), ((normal(r, a, b),), {}))
    return (query, key, value, *mask), {**options, **some(r, scale=number(r, 0.1, 2))}


def reduction(r):
    return some(r, reduction=pick(r, "mean", "sum", "none"))


def cross_entropy(r):
    x = normal(r, *shape(r, 2)) * 3
    options = reduction(r) | some(r, label_smoothing=number(r, 0, 0.5))
    weight = pick(r, (), (positive(r, x.shape[1]),))
    if flag(r):
        t = np.exp(normal(r, *x.shape))
        return (x, t / t.sum(1, keepdims=True), *weight), options
    y = labels(r, x)
    if y.size > 1:
        y.flat[0] = -100
    return (x, y, *weight), options


def nll_loss(r):
    x = normal(r, *shape(r, 2))
    y = labels(r, x)
    ignored = some(r, ignore_index=int(y.flat[0])) if np.any(y != y.flat[0]) else {}
    return (x, y, *pick(r, (), (positive(r, x.shape[1]),))), reduction(r) | ignored


def multi_margin_loss(r):
    x = normal(r, *shape(r, 2, 2))
    options = some(r, p=pick(r, 1, 2), margin=number(r, -1, 2), weight=positive(r, x.shape[1]))
    return (x, labels(r, x)), reduction(r) | options


def difference(**options):
    def draw(r):
        dims = shape(r)
        return (normal(r, *dims), normal(r, *dims)), reduction(r) | some(r, **{k: v(r) for k, v in options.items()})

    return draw


def constant(value):
    """Mark an array whose gradient is not asked for."""
    value = np.array(value)
    value.flags.writeable = False
    return value


def binary_cross_entropy(r):
    dims = shape(r)
    x, t = r.uniform(0.01, 0.99, dims), constant(r.uniform(0, 1, dims))
    return (x, t), reduction(r) | some(r, weight=constant(positive(r, *dims)))


def binary_cross_entropy_with_logits(r):
    dims = shape(r)
    options = some(r, weight=constant(positive(r, *dims)), pos_weight=constant(positive(r, dims[-1])))
    return (normal(r, *dims) * 5, constant(r.uniform(0, 1, dims))), reduction(r) | options


def kl_div(r):
    dims = shape(r)
    logs = flag(r)
    t = constant(normal(r, *dims) if logs else positive(r, *dims))
    options = {"log_target": True} if logs else {}
    return (normal(r, *dims), t), {**options, **some(r, reduction=pick(r, "mean", "batchmean", "sum", "none"))}


def one_hot(r):
    y = r.integers(0, 4, shape(r))
    return (y,), some(r, num_classes=4)


def indexed(draw):
    def both(r):
        args, options = draw(r)
        return args, {**options, **some(r, return_indices=flag(r))}

    return both


CASES = {
    "relu": unary(inplace=inplace),
    "relu6": unary(inplace=inplace),
    "leaky_relu": unary(negative_slope=lambda r: number(r, 0, 1)),
    "elu": unary(alpha=lambda r: number(r, 0.1, 2)),
    "selu": unary(),
    "celu": unary(alpha=lambda r: pick(r, 0.25, 0.5, 2.0)),  # PyTorch computes 1/alpha in float32
    "gelu": unary(approximate=lambda r: pick(r, "none", "tanh")),
    "silu": unary(),
    "mish": unary(),
    "sigmoid": unary(),
    "tanh": unary(),
    "tanhshrink": unary(),
    "softplus": unary(beta=lambda r: number(r, 0.1, 3), threshold=lambda r: number(r, 1, 20)),
    "softsign": unary(),
    "hardtanh": unary(min_val=lambda r: number(r, -2, -1), max_val=lambda r: number(r, -0.5, 2)),
    "hardswish": unary(),
    "hardsigmoid": unary(),
    "hardshrink": unary(lambd=lambda r: number(r, 0, 2)),
    "softshrink": unary(lambd=lambda r: number(r, 0, 2)),
    "logsigmoid": unary(),
    "threshold": lambda r: ((normal(r, *shape(r)), number(r, -1, 1), number(r, -1, 1)), {}),
    "glu": glu,
    "softmax": softmax,
    "log_softmax": softmax,
    "softmin": softmax,
    "prelu": prelu,
    "dropout": dropout,
    "dropout1d": dropout1d,
    "dropout2d": dropout2d,
    "alpha_dropout": dropout,
    "max_pool2d": indexed(lambda r: pick(r, max_pool, dilated_pool)(r)),
    "max_pool1d": indexed(max_pool1d),
    "avg_pool2d": avg_pool,
    "avg_pool1d": avg_pool1d,
    "lp_pool2d": lp_pool,
    "adaptive_avg_pool2d": adaptive,
    "adaptive_max_pool2d": indexed(adaptive),
    "linear": linear,
    "bilinear": bilinear,
    "conv2d": conv2d,
    "conv1d": conv1d,
    "conv_transpose2d": conv_transpose2d,
    "embedding": embedding,
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "local_response_norm": local_response_norm,
    "normalize": normalize,
    "cosine_similarity": cosine_similarity,
    "pairwise_distance": pairwise_distance,
    "scaled_dot_product_attention": attention,
    "pad": pad,
    "interpolate": interpolate,
    "upsample": upsample,
    "pixel_shuffle": pixel_shuffle,
    "unfold": unfold,
    "fold": fold,
    "one_hot": one_hot,
    "cross_entropy": cross_entropy,
    "nll_loss": nll_loss,
    "multi_margin_loss": multi_margin_loss,
    "mse_loss": difference(),
    "l1_loss": difference(),
    "smooth_l1_loss": difference(beta=lambda r: number(r, 0, 2)),
    "huber_loss": difference(delta=lambda r: number(r, 0.1, 2)),
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "kl_div": kl_div,
}
