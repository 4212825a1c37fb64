"""The one type that the numeric modules share."""

from typing import Any

# A tensor of TensorFlow or, while a model is built, a KerasTensor. Any, since neither library publishes types.
# Docstrings and comments give dtype and shape, with the letters that each module's docstring explains.
Tensor = Any
