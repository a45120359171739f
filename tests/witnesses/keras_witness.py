"""Keras as a witness, on JAX where that is installed: its other backend without a framework, NumPy, is slow and borrows JAX."""
import importlib.util
import os

import pytest


def keras():
    """The module; the test is skipped where Keras is not installed."""
    os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "numpy")
    return pytest.importorskip("keras")
