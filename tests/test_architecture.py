"""The house: imports point down the floors, the public surface is documented, nothing is stubbed."""

import ast
import inspect
import pkgutil
from pathlib import Path

import pytest

import minidl
from minidl import _core, data, engine, functional, inference, interop, models, nn, optim, plotting, testing, training

PACKAGE = Path(minidl.__file__).parent

# From the ground up; a file may import from its own floor and those below.
FLOORS = [
    ["_version", "_core"],
    ["engine", "reference", "distributed"],
    ["nn", "functional"],
    ["testing", "_blame", "_gradcheck", "_losscheck"],
    ["optim"],
    ["data"],
    ["interop"],
    ["inference"],
    ["modelfile"],
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
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "engine").mkdir()
    path = tmp_path / "engine" / "pooling.py"
    path.write_text(
        "from ..nn import Module\nfrom .. import training\nimport minidl.data\nfrom .window import offsets\n"
    )
    assert set(imported(path)) == {"nn", "training", "data", "engine"}


def modules_imported(path):
    """The files of the package that a file imports when it runs, wherever the import stands; annotations aside."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    package = parts[:-1]
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in typing_only:
            base = package[: len(package) - node.level + 1]
            names = (*base, *(node.module.split(".") if node.module else ()))
            for target in ((*names, alias.name) for alias in node.names):
                for found in (PACKAGE.joinpath(*target), PACKAGE.joinpath(*target[:-1])):
                    file = found.with_suffix(".py") if found.with_suffix(".py").exists() else found / "__init__.py"
                    if file.exists() and file != path:
                        yield file
                        break


def circle(edges):
    """Return the names on a circle in a graph, or None."""
    state, trail = {}, []

    def visit(name):
        state[name] = "open"
        trail.append(name)
        for target in edges.get(name, ()):
            if state.get(target) == "open":
                return trail[trail.index(target) :]
            if target not in state and (found := visit(target)):
                return found
        state[name] = "done"
        trail.pop()
        return None

    return next((found for name in edges if name not in state and (found := visit(name))), None)


def test_no_imports_go_in_a_circle():
    # a file may import from a package it is in: by then Python has what stands above that import
    edges = {
        path: [p for p in modules_imported(path) if not (p.name == "__init__.py" and p.parent in path.parents)]
        for path in FILES
    }
    assert sum(map(len, edges.values())) > 300
    found = circle(edges)
    assert found is None, [str(p.relative_to(PACKAGE)) for p in found]


def test_the_check_of_circles_can_fail():
    assert circle({"a": ["b"], "b": ["c"], "c": []}) is None
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c"]


def from_below(path):
    """(package, names) of each import from _core or engine in a file outside of them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, inner = node.module.partition(".")
            if node.level and package in ("_core", "engine"):
                yield package, inner, [alias.name for alias in node.names]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_engine_and_core_are_used_through_what_they_publish(path):
    if floor(path) == "_core":
        return
    published = {"_core": set(_core.__all__), "engine": set(engine.__all__)}
    for package, inner, names in from_below(path):
        if floor(path) == "engine" and package == "_core":
            continue  # the engine is built on threads and recycled memory
        assert not inner, f"{path.name} imports from inside {package}"
        assert set(names) <= published[package], f"{path.name}: {set(names) - published[package]} of {package}"


def test_only_the_engine_knows_the_order_of_memory():
    for path in FILES:
        if floor(path) not in ("engine", "_core"):
            imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.Import, ast.ImportFrom))]
            assert not any("layout" in ast.unparse(node) for node in imports), path
            assert "(2, 1, 3, 0)" not in path.read_text(), path


def test_the_arithmetic_knows_no_state():
    for path in {*(PACKAGE / "engine").glob("*.py")}:
        classes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)]
        assert all([base.id for base in n.bases] == ["NamedTuple"] for n in classes), path


def test_no_file_is_longer_than_450_lines():
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 450} == {}


PUBLIC = [
    (module.__name__, name)
    for module in (
        minidl,
        data,
        functional,
        functional.reference,
        inference,
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
    if isinstance(value, type) and issubclass(value, Exception) and "__init__" not in vars(value):
        return  # made from a message
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
