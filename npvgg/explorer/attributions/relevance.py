"""Layer-wise relevance: the number handed back from layer to layer, to each input its share of the sum.

    R_j = a_j · Σ_k  ρ(w_jk) · R_k / incr(z_k)          z_k = Σ_j a_j · ρ(w_jk) + ρ(b_k)

Bach et al., PLOS ONE 2015; the rules differ in ρ and incr (Montavon et al., Layer-wise relevance propagation: an overview,
2019).  Relevance begins as S at the target.  ReLU, dropout and response normalisation pass it on, and biases keep their share.
Batch norm is folded into the layer before it first.
"""
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npvgg.architecture import BLOCKS
from npvgg.checks import check_choice, is_number
from npvgg.counting import describe
from npvgg.differentiation import Backward
from npvgg.errors import UsageError
from npvgg.explorer.folding import folded
from npvgg.explorer.targets import Target

RULES = ("composite", "epsilon", "zplus")
TINY = 1e-9                     # beside a denominator of the composite
GAMMA, SHARE = 0.25, 0.25       # of the positive weights that are added; of the rms of z that is added
GAMMA_BLOCKS = 3                # the blocks of the composite with γ; ε behind them


@dataclass(frozen=True)
class Products:
    """A linear operation of a tier, forwards and back to its input."""

    kernels: dict
    gradients: dict
    op: str
    options: dict[str, Any]

    def forward(self, a, *arrays):
        """a (N, …) and its weight and bias → z."""
        return self.kernels[self.op](a, *arrays, **self.options)

    def back(self, s, a, *arrays):
        """s in the shape of z → in the shape of a: through the transposed weight."""
        wanted = {"wanted": ("x",)} if arrays else {}
        return self.gradients[self.op](s, a, *arrays, **self.options, **wanted)["x"]


def relevance(vgg, x: np.ndarray, target: Target, *, rule: str = "composite", epsilon: float = 1e-6) -> np.ndarray:
    """One picture (1, C, H, W) → the relevance of each of its numbers, the same shape.

        composite   conv1_1: z^B, between black and white;  to pool3: γ, ρ(w) = w + ¼·w⁺;  to pool5: incr(z) = z + ¼·rms(z);
                    head: ρ(w) = w;  10⁻⁹ is added to every denominator, and max-pooling hands back as average pooling
                    would: the rules of Montavon's tutorial for VGG-16
        epsilon     incr(z) = z + ε·sign(z), sign(0) = 1; max-pooling hands all to the winner, as in Captum
        zplus       z = Σ a⁺·w⁺ + a⁻·w⁻ + b⁺ (α = 1, β = 0); max-pooling hands all to the winner

    UsageError for another rule or ε; UnsupportedError for a batch norm that cannot be folded.
    """
    check_choice("rule", rule, RULES)
    if not is_number(epsilon) or epsilon < 0:
        raise UsageError(f"epsilon is {epsilon!r:.80}; give a number of at least 0, such as 1e-6")
    if x.shape[0] != 1:
        raise UsageError(f"{len(x)} pictures were given; hand the relevance of one at a time back")
    net, parameters = folded(vgg.architecture, vgg.parameters)
    backward = Backward(net, vgg.options.tier, vgg.options.threads)
    layer = target.layer
    if all(other.name != layer for other in net.layers):            # a batch norm that was folded
        names = [other.name for other in vgg.architecture.layers]
        layer = names[names.index(layer) - 1]
    position = backward.position[layer]
    row = describe(net, x.shape[2:])[position]
    rules = rules_of(backward, rule, epsilon, vgg.preset)
    output = output_of(backward, parameters, x, position, row.output_shape)
    start = target.gradient(output) * output
    return backward(parameters, x, {layer: start}, training=False, of="input", rules=rules).gradients["input"]


def output_of(backward: Backward, parameters: dict, x: np.ndarray, position: int, shape: tuple) -> np.ndarray:
    """What the layer at this position gives, computed by the kernels that go backwards."""
    name = backward.layers[position].name
    nothing = np.zeros((len(x), *shape), x.dtype)
    return backward(parameters, x, {name: nothing}, training=False, of=name).output


def rules_of(backward: Backward, rule: str, epsilon: float, preset) -> dict:
    """{layer: function} that hand relevance back, for `Backward`."""
    rules, block = {}, 1
    first = next(layer for layer in backward.layers if layer.op == "conv2d")
    for layer in backward.layers:
        products = Products(backward.kernels, backward.gradients, layer.op, dict(layer.options))
        is_head = block > BLOCKS
        if layer.op in ("relu", "dropout", "local_response_norm"):
            rules[layer.name] = lambda r, *_, **__: {"x": r}
        elif layer.op in ("conv2d", "dense", "avgpool2d", "adaptive_avgpool2d", "maxpool2d"):
            rules[layer.name] = layer_rule(products, rule, epsilon, block, layer is first, preset, is_head)
        block += layer.name == f"pool{block}"
    return {name: function for name, function in rules.items() if function is not None}


def layer_rule(products: Products, rule: str, epsilon: float, block: int, is_first: bool, preset, is_head: bool):
    """The function of one linear layer; None where its gradient does: the winner takes all."""
    if products.op == "maxpool2d":
        if rule != "composite":
            return None
        options = {name: value for name, value in products.options.items() if name != "ceil_mode"}
        products = replace(products, op="avgpool2d", options=options)
    if rule == "epsilon":
        return shared(products, same, lambda z: z + np.where(z < 0, -1, 1).astype(z.dtype) * z.dtype.type(epsilon))
    if rule == "zplus":
        return positive(products)
    if is_first:
        return box(products, preset)
    if is_head:
        return shared(products, same, lambda z: z + z.dtype.type(TINY))
    if block <= GAMMA_BLOCKS:
        return shared(products, lambda array: array + array.dtype.type(GAMMA) * np.maximum(array, 0),
                      lambda z: z + z.dtype.type(TINY))
    return shared(products, same, lambda z: z + z.dtype.type(TINY + SHARE * np.sqrt(np.mean(z.astype(np.float64)**2))))


def same(array: np.ndarray) -> np.ndarray:
    """ρ of the plain rules."""
    return array


def shared(products: Products, rho, increased):
    """R_j = a_j · Σ_k ρ(w_jk) · R_k / incr(z_k)."""
    def hand_back(r, a, *arrays, **_):
        arrays = [rho(array) for array in arrays]
        return {"x": a * products.back(quotient(r, increased(products.forward(a, *arrays))), a, *arrays)}
    return hand_back


def positive(products: Products):
    """R_j by the shares of what is positive: a⁺·w⁺, a⁻·w⁻ and b⁺; nothing where there is none."""
    def hand_back(r, a, *arrays, **_):
        above, below = np.maximum(a, 0), np.minimum(a, 0)
        weights = [np.maximum(array, 0) for array in arrays]
        others = [np.minimum(arrays[0], 0), *(np.zeros_like(array) for array in arrays[1:])] if arrays else None
        z = products.forward(above, *weights)
        if arrays:
            z = z + products.forward(below, *others)
        s = quotient(r, z)
        handed = above * products.back(s, a, *weights)
        return {"x": handed + below * products.back(s, a, *others) if arrays else handed}
    return hand_back


def quotient(r: np.ndarray, z: np.ndarray) -> np.ndarray:
    """r / z, and 0 where z is 0: what nothing was added up to has nothing to share."""
    return np.divide(r, z, out=np.zeros_like(r), where=z != 0)


def box(products: Products, preset):
    """z^B of the picture's own layer, whose numbers lie between l, black, and h, white.

        z = x·w − l·w⁺ − h·w⁻,  R_j = Σ_k (x_j·w_jk − l_j·w⁺_jk − h_j·w⁻_jk) · R_k / (z_k + 10⁻⁹)
    """
    ends = (np.array([[0], [255]]) / preset.divisor - preset.mean) / preset.std                 # (2, C)

    def hand_back(r, x, *arrays, **_):
        low, high = (np.broadcast_to(end.astype(x.dtype)[:, np.newaxis, np.newaxis], x.shape).copy() for end in ends)
        above, below = [np.maximum(array, 0) for array in arrays], [np.minimum(array, 0) for array in arrays]
        z = products.forward(x, *arrays) - products.forward(low, *above) - products.forward(high, *below) + x.dtype.type(TINY)
        s = quotient(r, z)
        return {"x": x * products.back(s, x, *arrays) - low * products.back(s, x, *above) - high * products.back(s, x, *below)}
    return hand_back
