"""The house: imports point down the floors, the public surface is documented, nothing is stubbed."""

import ast
import inspect
import pkgutil
from pathlib import Path

import pytest

import minidl
from minidl import data, functional, interop, models, nn, optim, plotting, testing, training

PACKAGE = Path(minidl.__file__).parent

# From the ground up; a module may import from its own floor and those below. Within nn and training files import
# each other freely, as long as Python can (no cycles).
FLOORS = [
    ["_version", "_core"],
    ["functional"],
    ["nn"],
    ["testing", "_gradcheck"],
    ["optim"],
    ["data"],
    ["interop"],
    ["models"],
    ["training"],
    ["plotting"],
    ["cli", "__main__", "__init__"],
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def floor(path):
    """The name on a floor that a file belongs to: its folder, or itself at the top."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path):
    """The floors a file imports from, by name, wherever in the file the import stands."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    package = ["minidl", *parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [*base, *(node.module.split(".") if node.module else [])]
            for target in [names] if len(names) > 1 else [[*names, alias.name] for alias in node.names]:
                if target[0] == "minidl":
                    yield target[1] if target[1] in LEVEL else "__init__"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                target = alias.name.split(".")
                if target[0] == "minidl":
                    yield target[1] if len(target) > 1 else "__init__"


def test_every_file_stands_on_a_floor():
    assert {floor(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = LEVEL[floor(path)]
    above = {name for name in imported(path) if LEVEL[name] > own}
    assert not above, f"{path.name} on floor {own} imports from above: {above}"


def test_nothing_is_imported_behind_the_checks_back():
    users = [path.name for path in FILES if "import_module" in path.read_text() or "__import__" in path.read_text()]
    assert sorted(users) == ["__init__.py", "recipe.py"]  # names of ours, and --model MODULE:FUNCTION


def test_the_check_of_imports_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr("test_architecture.PACKAGE", tmp_path, raising=False)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "functional").mkdir()
    path = tmp_path / "functional" / "conv.py"
    path.write_text("from ..nn import Module\nfrom .. import training\nimport minidl.data\nfrom .checks import Array\n")
    assert set(imported(path)) == {"nn", "training", "data", "functional"}


def test_the_arithmetic_knows_no_state_and_layers_no_arithmetic():
    # _threads.py keeps what the process has: its threads
    for path in {*(PACKAGE / "functional").glob("*.py")} - {PACKAGE / "_core" / "threads.py"}:
        tree = ast.parse(path.read_text())
        classes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
        assert all([base.id for base in n.bases] == ["NamedTuple"] for n in classes), path
    for path in (PACKAGE / "nn").glob("*.py"):
        calls = [
            n.func.attr
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and hasattr(n.func, "attr")
        ]
        assert not {"matmul", "dot", "einsum", "exp", "maximum"} & set(calls), path


PUBLIC = [
    (module.__name__, name)
    for module in (
        minidl,
        data,
        functional,
        functional.reference,
        interop,
        models,
        nn,
        nn.init,
        optim,
        plotting,
        testing,
        training,
        training.callbacks,
        training.metrics,
        data.transforms,
    )
    for name in module.__all__
]


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_every_public_name_is_documented(module, name):
    value = getattr(__import__(module, fromlist=[name]), name)
    if not callable(value) or (isinstance(value, type) and name == "Summary"):
        return
    doc = inspect.getdoc(value)
    assert doc, f"{module}.{name} has no docstring"
    named = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    parameters = [n for n, p in inspect.signature(value).parameters.items() if n != "self" and p.kind in named]
    described = doc
    missing = [p for p in parameters if p not in described]
    assert not missing, f"{module}.{name} does not describe {missing}"


def test_every_file_says_what_it_is_for():
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_all_lists_are_true():
    for info in pkgutil.walk_packages([str(PACKAGE)], "minidl."):
        if info.name.endswith("__main__"):
            continue
        module = __import__(info.name, fromlist=["_"])
        for name in getattr(module, "__all__", []):
            assert hasattr(module, name), f"{info.name}.__all__ lists {name}"
