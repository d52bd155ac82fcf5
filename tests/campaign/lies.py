"""Files that are whole but lie: right checksums, wrong headers, names, shapes, attributes and values."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl.interop.onnx_builders import BUILDERS
from minidl.training import NonFiniteLossError
from minidl.training.checkpoint import read_checkpoint, write_checkpoint

from .frame import attack
from .samples import LIMIT, checkpoint, command, exported, finished_run, flat, into_a_model, read, saved, trainer


@attack(limit=LIMIT)
def npz(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Archives with right checksums whose members lie: headers, names, compression, texts."""
    path = Path("lie.npz")
    for _ in range(10):
        path.write_bytes(_archive(rng))
        counts["files"] += 1
        state = into_a_model(path, counts)
        right = saved(".npz")[1]
        assert state is None or all(state[n].dtype == v.dtype and state[n].shape == v.shape for n, v in right.items())
        read(counts, lambda: minidl.load(path))
        read(counts, lambda: read_checkpoint(path))


def _archive(rng: np.random.Generator) -> bytes:
    """An archive that is that of a model, or a checkpoint's, but for a few members."""
    with zipfile.ZipFile(io.BytesIO((saved(".npz")[0], checkpoint()[0])[rng.integers(2)])) as whole:
        members = [(name, whole.read(name)) for name in whole.namelist()]
    names = [*(name for name, _ in members), "a\x1b[2J.npy", "../up.npy", "x/y.npy", "\u202e.npy", ".npy", "none"]
    for _ in range(int(rng.choice([0, 1, 1, 2, 9]))):
        place, name = int(rng.integers(len(members))), names[rng.integers(len(names))]
        old, content = members[place]
        what = rng.integers(6)
        if what == 0 and len(members) > 1:
            members.pop(place)
        elif what == 1:
            members[place] = name, content
        elif what == 2:
            members.insert(place, (name, _npy(rng)))
        elif old.endswith(".npy"):
            members[place] = old, _npy(rng, content) if what < 5 else _array(rng)
        else:
            members[place] = old, _text(rng)
    if rng.random() < 0.2:
        members.append((str(rng.choice(["tree.json", "state.json"])), _text(rng)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", int(rng.choice([0, 8, 8, 12, 14]))) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of one name
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
    return stream.getvalue()


def _array(rng: np.random.Generator) -> bytes:
    """A whole .npy file of something."""
    arrays = [
        np.zeros(3, "<f2"),
        np.array(["text"]),
        np.array(1e300),
        np.full((2, 1, 3, 3), np.nan, ">f4"),
        np.ones(2) * 1j,
    ]
    arrays += [np.zeros((2,), np.uint8), np.zeros((0, 5), np.float32), np.array("2020", "M8[D]"), np.zeros(2, "i4,f4")]
    stream = io.BytesIO()
    np.save(stream, arrays[rng.integers(len(arrays))])
    return stream.getvalue()


def _npy(rng: np.random.Generator, content: bytes = b"") -> bytes:
    """A .npy file whose header may lie; what it holds is that of another file, or nothing in particular."""
    shapes = [
        "()",
        "(3,)",
        "(2, 1, 3, 3)",
        "(-1,)",
        "(4294967296, 4294967296)",
        "(0, 99999999999)",
        "(2.5,)",
        "3",
        "[3]",
    ]
    kinds = ["<f4", "<f8", "<f2", "|O", "<i8", "|b1", "<U9", "<c8", "|V4", "<M8[s]", "f4", "nonsense", "<f4,<i4"]
    header = (
        f"{{'descr': '{rng.choice(kinds)}', 'fortran_order': {rng.choice(['True', 'False', '1'])}, "
        f"'shape': {rng.choice(shapes)}}}"
    ).encode()
    if rng.random() < 0.1:
        header = [b"(" * 5000, b"{" + b"'a': [" * 300, b"x" * 70_000, b"\xff\xfe", b"None"][rng.integers(5)]
    version = int(rng.choice([1, 1, 1, 2, 3, 9]))
    size = struct.pack("<H" if version == 1 else "<I", min(len(header) + 1, 65535))
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + size
        + header
        + b"\n"
        + (content[128:] or rng.bytes(int(rng.choice([0, 4, 12, 72]))))
    )


def _text(rng: np.random.Generator) -> bytes:
    """What a JSON file may hold."""
    texts = [
        '{"array": 0}',
        '{"array": -1}',
        '{"array": "0"}',
        '{"array": 1e9}',
        '{"dict": 3}',
        '{"dict": [["a"]]}',
        '{"dict": [[{"dict": []}, 1]]}',
        '{"dict": [[["a"], 1]]}',
        '{"format": 1, "state": {"array": 99}}',
        '{"format": 1, "state": 1}',
        '{"format": "\\u001b[2J"}',
        '{"format": 1}',
        "[" * 100_000,
        "9" * 5000,
        "NaN",
        "",
        '{"dict": [["\\ud800\\u001b[2J", {"array": 0}]]}',
        '{"array": [[[[]]]]}',
    ]
    return texts[rng.integers(len(texts))].encode()


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in [(*path, name), *_leaves(item, (*path, name))]]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, (*path, number))]
    return [path] if path else []


def _tampered(state: Any, rng: np.random.Generator, more: Sequence[Any] = ()) -> Any:
    """A copy of a state in which something is another thing."""
    state = pickle.loads(pickle.dumps(state))
    leaves = _leaves(state)
    *path, last = leaves[rng.integers(len(leaves))]
    place = functools.reduce(lambda inner, key: inner[key], path, state)
    new: list[Any] = [*more, None, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "x", "", [], {}, [[]], True]
    new += [np.zeros(3), np.full((2, 2), np.nan), np.zeros(0, np.int64), np.array(["a"]), np.float32(1.5).reshape(())]
    if rng.random() < 0.2 and isinstance(place, dict):
        del place[last]
    else:
        place[last] = new[rng.integers(len(new))]
    return state


FAILED = (ValueError, TypeError, NonFiniteLossError)  # of a fit that resumes with weights that are NaN


@attack(limit=LIMIT)
def resumes(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Well-formed checkpoints in which something was changed: a fit resumes, or refuses and leaves all as it was."""
    path = Path("tampered.ckpt")
    for number in range(5):
        write_checkpoint(path, _tampered(checkpoint()[1], rng))
        counts["files"] += 1
        made, loader = trainer(Path(f"run{number}"))
        parts = (made.model, made.optimizer, made.scheduler, loader)
        before = flat([part.state_dict() for part in parts])
        history = read(counts, lambda made=made, loader=loader: made.fit(loader, loader, epochs=3, resume=path), FAILED)
        after = flat([part.state_dict() for part in parts])
        assert history is not None or made.epoch > 2 or after == before, "a refused checkpoint has changed the training"


@attack(limit=LIMIT, needs=("onnx",))
def onnx(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Well-formed ONNX graphs in which operators, attributes, names, sizes or inputs are others."""
    from onnx import ModelProto

    path = Path("lie.onnx")
    for _ in range(5):
        model = ModelProto.FromString(exported(bool(rng.random() < 0.5)))
        for _ in range(int(rng.choice([1, 1, 2, 4]))):
            _lie(model.graph, rng)
        path.write_bytes(model.SerializeToString())
        counts["files"] += 1
        read(counts, lambda: minidl.from_onnx(path), (ValueError, TypeError, FileNotFoundError))


def _lie(graph: Any, rng: np.random.Generator) -> None:
    nodes, tensors = list(graph.node), list(graph.initializer)
    node, tensor = nodes[rng.integers(len(nodes))], tensors[rng.integers(len(tensors))]
    number = int(rng.choice([-1, 0, 1, 2, 3, 7, 2**31 - 1, 2**40, -(2**62)]))
    what = rng.integers(9)
    if what == 0:
        node.op_type = str(rng.choice([*BUILDERS, "Nonsense\x1b[2J", ""]))
    elif what == 1 and node.attribute:
        attribute = node.attribute[rng.integers(len(node.attribute))]
        attribute.i = number
        attribute.ints[:] = [number] * int(rng.choice([0, 1, 2, 4]))
        attribute.f = float(rng.choice([np.nan, np.inf, -1, 0]))
    elif what == 2 and node.attribute:
        node.attribute[rng.integers(len(node.attribute))].name = str(rng.choice(["axis", "pads", "value", "", "x"]))
    elif what == 3 and node.input:
        node.input[rng.integers(len(node.input))] = str(rng.choice(["", "none", tensor.name, *node.output]))
    elif what == 4:
        tensor.dims[:] = [number] * int(rng.choice([0, 1, 2, 5]))
    elif what == 5:
        tensor.data_type = int(rng.integers(0, 30))
    elif what == 6:
        tensor.raw_data = rng.bytes(int(rng.choice([0, 1, 4, 64])))
    elif what == 7:
        graph.node.append(node)
    else:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.integers(len(dims))].dim_value = number


@attack(limit=20.0)
def runs(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Run folders whose files are whole but say something else: a result, or one line and exit code 2."""
    folder = Path("lie")
    folder.mkdir()
    for name, content in finished_run().items():
        (folder / name).write_bytes(content)
    for _ in range(int(rng.choice([1, 1, 2]))):
        name = str(rng.choice(["environment.json", "config.toml", "history.csv"]))
        content = (folder / name).read_bytes().decode()
        if name == "environment.json":
            facts = _tampered(
                json.loads(content), rng, ["\x1b[2J", ["a"] * 10, [8, 8], [1, 8, 8], [1, 2**20, 2**20], -5]
            )
            content = json.dumps(facts, default=str)
        else:
            lines = content.splitlines()
            place = int(rng.integers(len(lines)))
            begin, mark, _ = lines[place].rpartition(" = " if name == "config.toml" else ",")
            values = [
                "-1",
                "1e999",
                "nan",
                '"\\u001b[2J"',
                "[]",
                "{}",
                "true",
                "9" * 40,
                "",
                "'x:y'",
                "\x1b[2J",
                "99999999",
            ]
            lines[place] = begin + mark + values[rng.integers(len(values))]
            content = "\n".join(lines)
        (folder / name).write_bytes(content.encode())
        counts["files"] += 1
    words = [["compare", "lie", "lie"], ["predict", "lie", "lie/images.npy"], ["export", "lie", "lie.onnx"]]
    words += [["evaluate", "lie"]] * (rng.random() < 0.2)
    for one in words:
        command(one, counts)
