"""What the kernels are measured against, where it is installed. One file a peer; none is needed.

No extra names llama-cpp-python, which is built from source for a quarter of an hour, and DeepSparse
(pip install --no-deps deepsparse==1.8.0), whose dependencies want NumPy 1. Not here: FFHT, which is
no package.

Only cases (`kernels/<name>/bars.py`) import these, inside the function that needs them.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    *("onnxruntime", "executorch", "faiss-cpu", "llama-cpp-python", "deepsparse", "scipy"),
    "torch",
)


def versions() -> dict[str, str]:
    """Versions of the peers that are installed.

    >>> "torch" in versions()
    True
    """
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
