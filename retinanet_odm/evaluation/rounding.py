"""Numbers of an evaluation, as eval.json has them and as text for people."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_DIGITS = 5


def rounded_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values for JSON: arrays to lists, numbers rounded to 5 digits, nan to None.

    Example:
      >>> rounded_json({"AP": 0.123456, "AR": float("nan")})
      {'AP': 0.12346, 'AR': None}
    """
    return {key: _json_value(value) for key, value in values.items()}


def format_metric(value: float | None) -> str:
    """Return a metric with three digits; a dash if it has no value.

    Example:
      >>> format_metric(0.5), format_metric(None)
      ('0.500', '-')
    """
    return "-" if value is None else f"{value:.3f}"


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return rounded_json(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_json_value(item) for item in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, float):  # includes numpy's float64
        return None if np.isnan(value) else round(float(value), _DIGITS)
    return value
