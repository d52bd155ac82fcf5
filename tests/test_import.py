"""What importing minidl does: nothing that a user could notice."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import minidl


def run(code, *flags):
    result = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_it_starts_no_thread_and_prints_nothing():
    count = "(len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else threading.active_count())"
    code = f"import os, threading, numpy; before = {count}; import minidl; print({count} - before)"
    assert run(code) == "0"


def test_it_needs_nothing_but_numpy_and_does_not_load_tqdm_yet():
    code = (
        "import sys, numpy; before = set(sys.modules); import minidl; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    assert run(code) in ("['minidl']", "['minidl', 'numpy']")


def test_it_leaves_numpys_random_state_and_draws_nothing():
    code = (
        "import numpy as np; np.random.seed(0); before = np.random.get_state()[1].tolist(); import minidl; "
        "from minidl._core import random; print(np.random.get_state()[1].tolist() == before, random._generator)"
    )
    assert run(code) == "True None"


def test_it_works_with_warnings_as_errors_and_without_assertions():
    assert run("import minidl; print(minidl.__version__)", "-W", "error", "-O")


def test_every_public_name_is_there_though_loaded_late():
    code = (
        "import sys, minidl; loaded = 'minidl.training' in sys.modules; "
        "print(loaded, all(hasattr(minidl, name) for name in minidl.__all__), set(minidl.__all__) <= set(dir(minidl)))"
    )
    assert run(code) == "False True True"


def test_a_name_that_is_not_there_is_an_attribute_error():
    code = "import minidl\ntry:\n    minidl.train\nexcept AttributeError as error:\n    print(error)"
    assert run(code) == "module 'minidl' has no attribute 'train'"


def test_type_checkers_see_the_names_that_are_loaded_late():
    names = set()
    for node in ast.walk(ast.parse(Path(minidl.__file__).read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names}  # `as` exports a name that __all__ does not list
            if node.names[0].name == "*":
                names |= set(importlib.import_module(f"minidl.{node.module}").__all__)
    listed = next(n.value for n in ast.parse(Path(minidl.__file__).read_text()).body if isinstance(n, ast.Assign))
    assert set(minidl._LAZY) <= names | set(ast.literal_eval(listed))


def test_numba_is_imported_by_its_engine_only():
    code = (
        "import sys, numpy as np, minidl; from minidl import nn; nn.Conv2d(1, 1, 1)(np.zeros((1, 1, 2, 2), 'f')); "
        "from minidl import data, models, optim, training; import minidl.cli.parser; "
        "print([name for name in ('numba', 'llvmlite', 'scipy') if name in sys.modules])"
    )
    assert run(code) == "[]"
