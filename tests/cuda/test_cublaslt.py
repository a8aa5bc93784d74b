"""The bindings of cuBLASLt: how the library is found, and, where it is installed, whether it and its header agree."""

from __future__ import annotations

import ctypes
import importlib
import re
from ctypes import c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_cublaslt import SIZES, FakeLibrary

from nnkit.backends.cuda import cublaslt
from nnkit.backends.cuda.cublaslt import (
    PARAMETERS,
    ComputeType,
    CublasError,
    DataType,
    DescriptorAttribute,
    Epilogue,
    LayoutAttribute,
    Object,
    PreferenceAttribute,
    Status,
)
from nnkit.backends.errors import DeviceUnavailable

# ---- how the library is found ----------------------------------------------------------------------------------


def machine(monkeypatch: pytest.MonkeyPatch, pathfinder: Any, files: dict[str, Any]) -> list[str]:
    """A machine with this cuda-pathfinder (an error, or the path that it finds) and these libraries; what is opened."""
    opened: list[str] = []

    def load_nvidia_dynamic_lib(name: str) -> SimpleNamespace:
        assert name == "cublasLt"
        if isinstance(pathfinder, RuntimeError):
            raise pathfinder
        return SimpleNamespace(abs_path=pathfinder)

    def import_module(name: str) -> SimpleNamespace:
        assert name == "cuda.pathfinder"
        if isinstance(pathfinder, ImportError):
            raise pathfinder
        return SimpleNamespace(load_nvidia_dynamic_lib=load_nvidia_dynamic_lib)

    def open_library(name: str) -> Any:
        opened.append(name)
        if name not in files:
            raise OSError(f"{name}: cannot open shared object file")
        return files[name]

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(ctypes, "CDLL", open_library)
    return opened


#: What cuda-pathfinder answers, the libraries there are, and those that are opened, the last of which is taken.
MACHINES: dict[str, tuple[Any, list[str], list[str]]] = {
    "pathfinder": ("/nvidia/cu13/lib/libcublasLt.so.13", ["/nvidia/cu13/lib/libcublasLt.so.13"],
                   ["/nvidia/cu13/lib/libcublasLt.so.13"]),
    "already loaded": (None, ["libcublasLt.so.13"], ["libcublasLt.so.13"]),
    "no pathfinder": (ImportError("No module named 'cuda'"), ["libcublasLt.so.13"], ["libcublasLt.so.13"]),
    "CUDA 12": (RuntimeError("not found"), ["libcublasLt.so.12"], ["libcublasLt.so.13", "libcublasLt.so.12"]),
    "a broken file": ("/broken.so", ["libcublasLt.so.13"], ["/broken.so", "libcublasLt.so.13"]),
}  # fmt: skip


@pytest.mark.parametrize("pathfinder, files, opened", MACHINES.values(), ids=MACHINES)
def test_the_library_is_found(
    monkeypatch: pytest.MonkeyPatch, pathfinder: Any, files: list[str], opened: list[str]
) -> None:
    fakes: dict[str, Any] = {name: FakeLibrary() for name in files}
    tried = machine(monkeypatch, pathfinder, fakes)
    assert cublaslt.load() is fakes[opened[-1]]
    assert tried == opened


def test_without_the_library_the_error_names_the_remedy_and_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, ImportError("No module named 'cuda'"), {"libcublasLt.so.13": SimpleNamespace()})
    with pytest.raises(DeviceUnavailable) as caught:
        cublaslt.load()
    for text in (
        "pip install nvidia-cublas",
        "No module named 'cuda'",
        "no attribute",
        "libcublasLt.so.12: cannot open",
    ):
        assert text in str(caught.value)


# ---- the real library ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library() -> Any:
    try:
        return cublaslt.load()
    except DeviceUnavailable:
        pytest.skip("cuBLASLt is not installed (pip install nvidia-cublas)")


@pytest.fixture(scope="module")
def header(library: Any) -> str:
    """The text of cublasLt.h and of the headers that hold the enumerations of cuBLAS and CUDA."""
    folder = Path(library._name).parent.parent / "include"
    missing = [name for name in HEADERS if not (folder / name).exists()]
    if missing:
        pytest.skip(f"{folder} has no {', '.join(missing)} (pip install nvidia-cublas nvidia-cuda-runtime)")
    return "\n".join((folder / name).read_text() for name in HEADERS)


HEADERS = ("cublasLt.h", "cublas_api.h", "library_types.h")
ENUMERATIONS: dict[str, type[IntEnum]] = {
    "CUDA_": DataType,
    "CUBLAS_STATUS_": Status, "CUBLAS_": ComputeType, "CUBLASLT_EPILOGUE_": Epilogue,
    "CUBLASLT_MATMUL_DESC_": DescriptorAttribute, "CUBLASLT_MATRIX_LAYOUT_": LayoutAttribute,
    "CUBLASLT_MATMUL_PREF_": PreferenceAttribute,
}  # fmt: skip


@pytest.mark.parametrize("prefix", ENUMERATIONS)
def test_enumerations_are_those_of_the_header(header: str, prefix: str) -> None:
    for member in ENUMERATIONS[prefix]:
        assert enumerator(header, f"{prefix}{member.name}") == member.value


def enumerator(header: str, name: str) -> int:
    """The value of an enumerator, which may be given by others."""
    (text,) = re.findall(rf"\b{name} *= *([^,/\n]+)", header)
    return eval(re.sub(r"\bCUBLAS\w+", lambda other: str(enumerator(header, other[0])), text))


def test_the_mask_of_reductions_is_that_of_the_header(header: str) -> None:
    assert enumerator(header, "CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE") == cublaslt.REDUCTION_IN_COMPUTE_TYPE


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_header(header: str, name: str) -> None:
    (declared,) = re.findall(rf"CUBLASWINAPI {name}\(([^;]*)\);", header)
    texts = [re.sub(r"/\*.*?\*/", "", text).strip() for text in declared.replace("//", "").split(",")]
    expected = [parameter_type(text) for text in texts if text != "void"]
    assert [stands_for(parameter) for parameter in PARAMETERS[name]] == expected


def parameter_type(text: str) -> Any:
    """How a C parameter is passed; objects of the library are pointers, enumerations ints."""
    integers = {"size_t": c_size_t, "uint64_t": c_uint64, "int64_t": c_int64, "int": c_int}
    kind = text.removeprefix("const ").split()[0]
    if "*" in text or "[" in text or kind in OBJECTS:
        return c_void_p
    return integers.get(kind, c_int if kind in ENUMS else None)


OBJECTS = {"cublasLtHandle_t", "cublasLtMatmulDesc_t", "cublasLtMatrixLayout_t", "cublasLtMatmulPreference_t",
           "cudaStream_t"}  # fmt: skip
ENUMS = {"cublasComputeType_t", "cudaDataType_t", "cudaDataType", "cublasLtMatmulDescAttributes_t",
         "cublasLtMatrixLayoutAttribute_t", "cublasLtMatmulPreferenceAttributes_t"}  # fmt: skip


def stands_for(parameter: Any) -> Any:
    return c_void_p if issubclass(parameter, ctypes._Pointer) else parameter


def test_structures_have_the_sizes_of_the_header() -> None:
    assert ctypes.sizeof(cublaslt.Algorithm) == 64
    assert ctypes.sizeof(cublaslt.HeuristicResult) == 64 + 8 + 4 + 4 + 16


TYPES = {
    DescriptorAttribute.EPILOGUE: c_uint32, DescriptorAttribute.BIAS_POINTER: c_void_p,
    DescriptorAttribute.EPILOGUE_AUX_POINTER: c_void_p, DescriptorAttribute.EPILOGUE_AUX_LD: c_int64,
}  # fmt: skip


@pytest.mark.parametrize("compute", ComputeType)
def test_descriptors_keep_what_is_set(library: Any, compute: ComputeType) -> None:
    scale = DataType.R_64F if compute == ComputeType.COMPUTE_64F else DataType.R_32F
    descriptor = Object(library, "MatmulDesc", compute, scale)
    values = [c_uint32(epilogue) for epilogue in Epilogue]
    settings = [(DescriptorAttribute.EPILOGUE, value) for value in values]
    settings += [(a, TYPES.get(a, c_int32)(1)) for a in DescriptorAttribute if a != DescriptorAttribute.EPILOGUE]
    for attribute, value in settings:
        assert descriptor.set(attribute, value) == Status.SUCCESS
        assert got(library, "MatmulDesc", descriptor, attribute, value) == value.value
        assert ctypes.sizeof(value) == SIZES["MatmulDesc"][attribute]
    assert descriptor.set(DescriptorAttribute.EPILOGUE, c_uint64(1)) == Status.INVALID_VALUE


@pytest.mark.parametrize("dtype", DataType)
def test_layouts_keep_what_is_set(library: Any, dtype: DataType) -> None:
    layout = Object(library, "MatrixLayout", dtype, 33, 5, 2**33)
    for attribute, value in (
        (LayoutAttribute.BATCH_COUNT, c_int32(7)),
        (LayoutAttribute.STRIDED_BATCH_OFFSET, c_int64(0)),
    ):
        assert layout.set(attribute, value) == Status.SUCCESS
        assert got(library, "MatrixLayout", layout, attribute, value) == value.value
    for attribute, value, expected in (
        (0, c_uint32(), dtype),
        (2, c_uint64(), 33),
        (3, c_uint64(), 5),
        (4, c_int64(), 2**33),
    ):
        assert got(library, "MatrixLayout", layout, attribute, value) == expected


@pytest.mark.parametrize("attribute", PreferenceAttribute)
def test_preferences_keep_what_is_set(library: Any, attribute: PreferenceAttribute) -> None:
    preference = Object(library, "MatmulPreference")
    value = c_uint64(1 << 25) if attribute == PreferenceAttribute.MAX_WORKSPACE_BYTES else c_uint32(2)
    assert preference.set(attribute, value) == Status.SUCCESS
    assert got(library, "MatmulPreference", preference, attribute, value) == value.value
    assert ctypes.sizeof(value) == SIZES["MatmulPreference"][attribute]


def got(library: Any, kind: str, made: Object, attribute: int, like: Any) -> Any:
    """What the library says that the attribute is."""
    function = getattr(library, f"cublasLt{kind}GetAttribute")
    function.argtypes = (c_void_p, c_int, c_void_p, c_size_t, c_void_p)
    value, written = type(like)(), c_size_t()
    status = function(made.pointer, attribute, ctypes.byref(value), ctypes.sizeof(value), ctypes.byref(written))
    assert status == Status.SUCCESS and written.value == ctypes.sizeof(value)
    return value.value


def test_without_a_driver_a_handle_is_refused_with_a_reason(library: Any) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(CublasError, match="cublasLtCreate failed with CUBLAS_STATUS_NOT_INITIALIZED: no"):
            Object(library, "")
    else:
        pytest.skip("this machine has a driver")
