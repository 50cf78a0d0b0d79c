"""What the kernels are measured against, where it is installed. One file a peer; none is needed.

Only cases (`kernels/<name>/bars.py`) import these, inside the function that needs them.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("onnxruntime", "executorch", "faiss-cpu", "scipy", "torch")


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
