"""What a recorder hands back."""
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Recording:
    """Every layer of one run, and what made it."""

    arrays: dict                          # {"input": (N, C, H, W), "features.0": …}, float32 or float64
    model_name: str
    made_by: str                          # "PyTorch 2.13.0, float32"
    dtype: str                            # of the arithmetic: "bfloat16" though the arrays are float32
    architecture_json: str = ""
    algorithm: str | None = None          # of the convolutions, where it is known
