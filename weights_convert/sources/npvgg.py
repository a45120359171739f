"""npvgg itself: conv1_1/weight, bn1_1/mean, …, fc8/bias, as in its weights files; also the keys of a plain .npz."""
from weights_convert.sources.naming import Source

CONVOLUTIONS = r"conv([1-5])_(\d)/weight"


def modules(net):
    return {layer.name: layer.name for layer in net.layers}


NPVGG = Source("npvgg", CONVOLUTIONS, CONVOLUTIONS, (r"fc(\d{1,2})/weight",), modules,
               fields={kind: f"/{kind}" for kind in ("weight", "bias", "mean", "var")})
