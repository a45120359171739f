"""What goes wrong with batch norm: ε, its four parameters, its statistics, its place."""
import numpy as np

from npvgg.parity.catalogue.estimates import gains, snapped
from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.exact import Rounded, affine, excess, relu
from npvgg.parity.stages import computed

NORM = ("batchnorm2d", "batchnorm1d")
KINDS = ("weight", "bias", "mean", "var")
LOAD = "load all four: weight (γ), bias (β), running_mean and running_var"
MODE = "call eval() before the run, so that the stored statistics are used"


def changed(name: str, change, remedy: str = LOAD) -> Mistake:
    """A mistake in the parameters: change(γ, β, mean, var) → those that it makes others."""
    def alters(case: Case):
        return change(*(case.own[kind] for kind in KINDS))

    return Mistake(name, NORM, lambda case: case.again(**alters(case)), remedy, alters=alters)


def scaled(name: str, scale, remedy: str) -> Mistake:
    """A mistake in the scale: scale(γ, var, ε)."""
    def reproduce(case: Case):
        own, eps = case.own, case.options["eps"]
        with np.errstate(all="ignore"):
            return affine(case.x, own["mean"], scale(own["weight"], own["var"], eps), own["bias"], case.unit)
    return Mistake(name, NORM, reproduce, remedy)


def statistics(case: Case, var_of=np.var, axes=None):
    """The statistics of what is normalised now, of the batch's pictures or of each."""
    axes = axes or (0, *range(2, case.x.value.ndim))
    x = case.x.value
    mean, var = x.mean(axis=axes, keepdims=True), var_of(x, axis=axes, keepdims=True)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    gamma, beta = case.own["weight"].reshape(shape), case.own["bias"].reshape(shape)
    scale = gamma / np.sqrt(var + case.options["eps"])
    ones, zeros = np.ones(x.shape[1]), np.zeros(x.shape[1])
    plain = affine(case.x, zeros, ones, zeros, 4 * case.unit)        # the statistics carry roundings of their own
    return type(plain)((x - mean) * scale + beta,
                       (plain.bound + 8 * case.unit * np.abs(mean)) * np.abs(scale) + 8 * case.unit * np.abs(beta))


def unbiased(x, axis, keepdims):
    """The variance of a sample, with n − 1."""
    count = np.prod([x.shape[place] for place in axis])
    return x.var(axis=axis, keepdims=keepdims) * count / max(1, count - 1)


def other_eps(case: Case):
    """ε from the gain of each channel: (γ ÷ gain)² − var, most of it from channels with little variance."""
    fitted = gains(case)
    if fitted is None:
        return
    gamma, var = case.own["weight"], case.own["var"]
    with np.errstate(all="ignore"):
        each, weight = (gamma / fitted[0]) ** 2 - var, (gamma / (np.abs(var) + case.options["eps"])) ** 2
    good = np.isfinite(each) & np.isfinite(weight)
    if good.any() and weight[good].sum() > 0:
        eps = float((each * weight)[good].sum() / weight[good].sum())
        for value in snapped(eps, also=(0.0,)):
            if value >= 0 and value != case.options["eps"]:
                yield case.again(options={"eps": value}), {"eps": f"{value:.4g}", "right": f"{case.options['eps']:.4g}"}


def relu_first(case: Case):
    """ReLU before batch norm, where it follows; its array stands under either name."""
    after = case.layers[case.place + 1:case.place + 2]
    if after and after[0].op == "relu" and case.layer in case.layers:
        yield case.again(x=relu(case.x))
        if not case.following:
            yield relu(case.x)


def folded(case: Case):
    """A convolution whose array is that of the batch norm behind it; the run's own array of that tells what came next."""
    after = case.layers[case.place + 1:case.place + 2]
    if case.following or not after or after[0].op not in NORM or after[0].name not in case.run:
        return
    answer = computed(after, case.again(), case.parameters, case.unit)
    if answer is not None and excess(case.y, answer) <= 1:
        later = np.asarray(case.run[after[0].name][case.pictures], np.float64)
        twice = computed(after, Rounded.of(case.y), case.parameters, case.unit)
        if excess(later, twice) <= 1:
            yield answer, {"how": f"with {after[0].name} folded into its weights, and computed again behind it (applied twice)"}
        elif np.array_equal(later, case.y):
            yield answer, {"how": f"with {after[0].name} folded into its weights, or overwritten by it in place"}


BATCH_NORMS = (
    Mistake("with ε = {eps} instead of {right}", NORM, other_eps, "make the layer with the ε that it was trained with",
            is_estimated=True),
    Mistake("after the ReLU instead of before it", NORM, relu_first, "convolution, batch norm, ReLU is the order", covers=3),
    changed("with the parameters of a new layer (nothing loaded)", lambda w, b, m, v: {
        "weight": np.ones_like(w), "bias": np.zeros_like(b), "mean": np.zeros_like(m), "var": np.ones_like(v)}),
    changed("with statistics that were never loaded (mean 0, variance 1)", lambda w, b, m, v: {
        "mean": np.zeros_like(m), "var": np.ones_like(v)}, "load running_mean and running_var as well"),
    changed("with the variance of a new layer (1)", lambda w, b, m, v: {"var": np.ones_like(v)}),
    changed("with the mean of a new layer (0)", lambda w, b, m, v: {"mean": np.zeros_like(m)}),
    changed("with γ = 1", lambda w, b, m, v: {"weight": np.ones_like(w)}),
    changed("without β", lambda w, b, m, v: {"bias": np.zeros_like(b)}),
    changed("with γ = 1 and without β (affine=False)", lambda w, b, m, v: {
        "weight": np.ones_like(w), "bias": np.zeros_like(b)}),
    changed("with γ and β exchanged", lambda w, b, m, v: {"weight": b, "bias": w}),
    changed("with mean and variance exchanged", lambda w, b, m, v: {"mean": v, "var": m}),
    changed("with γ and mean exchanged", lambda w, b, m, v: {"weight": m, "mean": w}),
    changed("with γ and variance exchanged", lambda w, b, m, v: {"weight": v, "var": w}),
    changed("with β and mean exchanged", lambda w, b, m, v: {"bias": m, "mean": b}),
    changed("with β and variance exchanged", lambda w, b, m, v: {"bias": v, "var": b}),
    changed("with its parameters in the order mean, variance, γ, β", lambda w, b, m, v: {
        "weight": m, "bias": v, "mean": w, "var": b}),
    changed("with its parameters in alphabetical order (bias, mean, variance, weight)", lambda w, b, m, v: {
        "weight": b, "bias": m, "mean": v, "var": w}),
    changed("with its parameters in the order β, γ, mean, variance shifted by one", lambda w, b, m, v: {
        "weight": v, "bias": w, "mean": b, "var": m}),
    scaled("divided by the variance instead of its root", lambda w, v, eps: w / (v + eps), "divide by √(variance + ε)"),
    scaled("with the stored variance read as a standard deviation", lambda w, v, eps: w / np.sqrt(v**2 + eps),
           "store the variance, not its root"),
    scaled("with a standard deviation in the place of the variance", lambda w, v, eps: w / np.sqrt(np.sqrt(v) + eps),
           "store the variance, not its root"),
    scaled("with ε outside the root", lambda w, v, eps: w / (np.sqrt(v) + eps), "divide by √(variance + ε)"),
    scaled("multiplied by the root of the variance instead of divided", lambda w, v, eps: w * np.sqrt(v + eps),
           "divide by √(variance + ε)"),
    Mistake("{how}", ("conv2d",), folded, "fold batch norm or compute it, not both; compare a folded run behind it"),
    Mistake("with the batch's own statistics", NORM, statistics, MODE),
    Mistake("with the batch's own statistics (variance with n − 1)", NORM, lambda case: statistics(case, unbiased), MODE),
    Mistake("with each picture's own statistics", ("batchnorm2d",), lambda case: statistics(case, axes=(2, 3)), MODE),
    Mistake("applied twice (folded into the convolution and computed again)", NORM, lambda case: case.again(x=case.again()),
            "fold it or compute it, not both"),
)
