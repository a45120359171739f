"""Where in the picture the evidence lies: the maps of a late layer, weighed by how much each matters."""
import numpy as np

from npvgg.checks import check_flags
from npvgg.errors import ShapeError, UsageError
from npvgg.explorer.attributions.slopes import gradient
from npvgg.explorer.targets import Target, row_of


def gradcam(vgg, x: np.ndarray, target: Target, *, layer: str | None = None, relu: bool = True) -> np.ndarray:
    """(N, C, H, W) → (N, h, w), in the size of the layer's maps A (C, h, w).

        L = max(0, Σ_c w_c · A_c),  w_c = mean over y, x of ∂S/∂A_c

    Without `relu` negative sums stay.  `layer` is by default the last ReLU of the features before the target: relu5_3 in
    VGG-16, where conv5_3 gives another answer.  Selvaraju et al., arXiv 1610.02391.
    """
    check_flags(relu=relu)
    name = last_map(vgg, target) if layer is None else row_of(vgg.architecture, layer, x.shape[2:]).layer.name
    maps = vgg.forward(x, name)
    if maps.ndim != 4:
        raise ShapeError(f"{name} gives no maps but {maps.shape[1]} numbers; give a layer before the flattening, such as "
                         f"{last_map(vgg, target)}")
    weights = gradient(vgg, x, target, of=name).mean((2, 3), keepdims=True, dtype=np.float64)
    found = (weights * maps).sum(1)
    return (np.maximum(found, 0) if relu else found).astype(x.dtype)


def last_map(vgg, target: Target) -> str:
    """The last ReLU of the features before the target; UsageError where there is none."""
    found = None
    for layer in vgg.architecture.layers:
        if layer.name == target.layer:
            break
        found = layer.name if layer.op == "relu" and "_" in layer.name else found
    if found is None:
        raise UsageError(f"there is no ReLU before {target.layer} whose maps could be weighed; explain a unit of a later layer")
    return found
