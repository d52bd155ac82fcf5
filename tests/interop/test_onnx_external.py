"""ONNX models whose weights are in files beside them: read from the model's folder only, and only what fits."""

import os

import numpy as np
import pytest

import minidl

onnx = pytest.importorskip("onnx")
X = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)


def save(folder, name="net", factor=1.0):
    """A model whose weights are in NAME.onnx.data."""
    from onnx import TensorProto, helper, numpy_helper

    weight = (factor * np.arange(12).reshape(4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.ones(3, np.float32), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save_model(
        model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=f"{name}.onnx.data",
        size_threshold=0,
    )  # fmt: skip
    return path


def change(path, **fields):
    """Change where the first weight is said to be."""
    model = onnx.load(path, load_external_data=False)
    entries = model.graph.initializer[0].external_data
    known = {entry.key: entry.value for entry in entries} | {name: str(value) for name, value in fields.items()}
    del entries[:]
    for key, value in known.items():
        entries.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_weights_are_read_from_the_models_folder(tmp_path, monkeypatch):
    path = save(tmp_path / "A")
    save(tmp_path / "B", factor=100.0)  # another model of the same name, in the current directory
    monkeypatch.chdir(tmp_path / "B")
    expected = X @ np.arange(12, dtype=np.float32).reshape(4, 3) + 1
    np.testing.assert_allclose(minidl.from_onnx(path)(X), expected, rtol=1e-6)
    np.testing.assert_allclose(minidl.from_onnx("../A/net.onnx")(X), expected, rtol=1e-6)
    (tmp_path / "A" / "net.onnx.data").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"net.onnx: the weight 'w' is kept in the file 'net.onnx.data' .* but "
    ):
        minidl.from_onnx(path)


def test_weights_in_a_folder_below(tmp_path):
    path = save(tmp_path / "A")
    (tmp_path / "A" / "weights").mkdir()
    (tmp_path / "A" / "net.onnx.data").rename(tmp_path / "A" / "weights" / "w")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "weights/w"
    path.write_bytes(model.SerializeToString())
    assert minidl.from_onnx(path)(X).shape == (2, 3)


@pytest.mark.parametrize(
    "place", ["../secret", "/etc/passwd", "a/../../secret", "C:\\secret", "..\\secret", "\\\\h\\s", ""]
)
def test_what_leads_out_of_the_folder_is_refused(place, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(100))
    path = save(tmp_path / "A")
    change(path, location=place)
    with pytest.raises(ValueError, match=r"net.onnx: the weight 'w' is kept in .* no file in the folder of the model"):
        minidl.from_onnx(path)


def test_a_link_that_leads_out_is_refused(tmp_path):
    path = save(tmp_path / "A")
    data = tmp_path / "A" / "net.onnx.data"
    data.rename(tmp_path / "secret")
    try:
        data.symlink_to(tmp_path / "secret")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(ValueError, match=r"a link that leads out of the model's folder to .*secret; it is not read"):
        minidl.from_onnx(path)
    data.unlink()
    (tmp_path / "A" / "real").write_bytes((tmp_path / "secret").read_bytes())
    data.symlink_to("real")
    assert minidl.from_onnx(path)(X).shape == (2, 3)
    # a folder that is a link, too
    (tmp_path / "A" / "out").symlink_to(tmp_path)
    change(path, location="out/secret")
    with pytest.raises(ValueError, match="a link that leads out"):
        minidl.from_onnx(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 10}, "needs 48 bytes, and its length is said to be 10"),
        ({"length": 10**12}, "needs 48 bytes, and its length is said to be 1000000000000"),
        ({"offset": 10**12}, r"net.onnx.data is too short: the weight 'w' is said to be in bytes 1000000000000 to"),
        ({"offset": -1}, "its offset in the file must be a number of bytes, got '-1'"),
        ({"offset": "1e3"}, "its offset in the file must be a number of bytes"),
        ({"location": "."}, r"but .*A is no file"),
    ],
)
def test_lies_are_refused(fields, message, tmp_path):
    path = save(tmp_path / "A")
    change(path, **fields)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        minidl.from_onnx(path)


def test_a_file_that_is_too_short(tmp_path):
    path = save(tmp_path / "A")
    os.truncate(tmp_path / "A" / "net.onnx.data", 20)
    with pytest.raises(
        ValueError, match=r"net.onnx.data is too short: the weight 'w' is said to be in bytes 0 to 48 of 20"
    ):
        minidl.from_onnx(path)


def test_a_huge_shape_reads_nothing(tmp_path):
    path = save(tmp_path / "A")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [2**40, 2**20]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="length is said to be 48"):
        minidl.from_onnx(path)


def test_models_that_are_no_files_are_told(tmp_path):
    path = save(tmp_path / "A")
    for given in (path.read_bytes(), onnx.load(path, load_external_data=False)):
        with pytest.raises(TypeError, match=r"from_onnx: expected the path of an .onnx file, got (bytes|ModelProto)"):
            minidl.from_onnx(given)


@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter uses what its other parts call deprecated
def test_what_pytorch_writes(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    net = torch.nn.Sequential(torch.nn.Linear(4, 800), torch.nn.ReLU(), torch.nn.Linear(800, 3)).eval()
    x = torch.from_numpy(X)
    (tmp_path / "A").mkdir()
    torch.onnx.export(net, (x,), str(tmp_path / "A" / "net.onnx"), external_data=True)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(minidl.from_onnx("A/net.onnx")(X), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
