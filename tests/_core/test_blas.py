"""NumPy's BLAS is found once, whatever library it is; of several loaded ones it is NumPy's own."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minidl._core import blas, threads

BUNDLED = str(Path(np.__file__).parent.parent / "numpy.libs" / "libopenblas.so")


class Library:
    """Two functions of a BLAS that remember the number of threads."""

    def __init__(self, names, count=4):
        self.count = count
        get, put = names
        setattr(self, get, lambda: self.count)
        setattr(self, put, lambda n: setattr(self, "count", n))


def controller(api, names, path, **attributes):
    return SimpleNamespace(internal_api=api, filepath=path, dynlib=Library(names), **attributes)


@pytest.fixture
def loaded(monkeypatch):
    """Have threadpoolctl find these libraries."""
    import threadpoolctl

    found = []
    fake = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=found))
    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", lambda: fake)
    blas.find_blas.cache_clear()
    yield found
    blas.find_blas.cache_clear()


@pytest.mark.parametrize(
    ("api", "names"),
    [
        ("openblas", ("openblas_get_num_threads", "openblas_set_num_threads")),
        ("openblas", ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_")),
        ("mkl", ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")),
        ("blis", ("bli_thread_get_num_threads", "bli_thread_set_num_threads")),
    ],
)
def test_every_library_can_be_held_to_one_thread(api, names, loaded):
    loaded.append(controller(api, names, "/lib/blas.so"))
    with threads.one_blas_thread:
        assert loaded[0].dynlib.count == 1
        assert threads.blas_threads() == 4
    assert loaded[0].dynlib.count == 4
    assert not blas.find_blas().by_thread


def test_with_openmp_each_thread_has_a_setting_of_its_own(loaded):
    names = "omp_get_max_threads", "omp_set_num_threads"
    loaded.append(controller("openblas", names, "/lib/blas.so", threading_layer="openmp"))
    assert blas.find_blas().by_thread
    with threads.one_blas_thread:
        assert loaded[0].dynlib.count == 1
        assert threads.blas_threads() == 4
    assert loaded[0].dynlib.count == 4


def test_of_several_libraries_it_is_the_one_beside_numpy(loaded):
    names = "openblas_get_num_threads", "openblas_set_num_threads"
    loaded.append(controller("mkl", ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"), "/torch/lib/libmkl.so"))
    loaded.append(controller("openblas", names, BUNDLED))
    with threads.one_blas_thread:
        assert [library.dynlib.count for library in loaded] == [4, 1]


def test_without_a_library_that_can_be_held_there_is_one_thread(loaded, monkeypatch):
    loaded.append(controller("accelerate", ("a", "b"), "/lib/Accelerate"))
    assert blas.find_blas() is None
    assert threads.blas_threads() is None
    monkeypatch.setattr(threads._state, "threads", None)
    assert threads.get_num_threads() == 1


def test_the_real_one_is_found_once():
    assert blas.find_blas() is blas.find_blas()
