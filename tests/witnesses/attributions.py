"""Attributions by PyTorch's autograd, in float64: a twin of a network, and rules for the way back in a few lines each."""
import torch
from torch.nn import functional
from witnesses.torch_twin import Twin

from npvgg.explorer.folding import folded


def twin_of(vgg):
    return Twin(vgg.architecture, vgg.parameters).double()


class GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g.clamp(min=0) * (ctx.saved_tensors[0] > 0)


class DeconvolvedReLU(GuidedReLU):
    @staticmethod
    def backward(ctx, g):
        return g.clamp(min=0)


def run(twin, x, relu=functional.relu):
    """{"input": x, layer: output} with a graph behind it."""
    outputs = {"input": x.requires_grad_()}
    for name, module in twin.steps.items():
        x = relu(x) if isinstance(module, torch.nn.ReLU) else module(x)
        outputs[name] = x
    return outputs


def gradient(vgg, x, layer, index, relu=functional.relu, of="input"):
    outputs = run(twin_of(vgg), torch.tensor(x).double(), relu)
    return torch.autograd.grad(outputs[layer][(slice(None), *index)].sum(), outputs[of])[0].numpy()


def relevance(vgg, x, index, rule, epsilon=1e-6):
    """Of one logit, by the rules of the composite, of ε or of z⁺."""
    net, parameters = folded(vgg.architecture, vgg.parameters)
    twin = Twin(net, parameters).double()
    outputs, block, blocks = run(twin, torch.tensor(x).double()), 1, {}
    for name in twin.steps:
        blocks[name] = block
        block += name == f"pool{block}"
    names = list(outputs)
    r = torch.zeros_like(outputs[names[-1]])
    r[(0, *index)] = outputs[names[-1]][(0, *index)]
    r = r.detach()
    for before, name in reversed(list(zip(names, names[1:]))):
        module, a = twin.steps[name], outputs[before].detach()
        r = back(module, a, r, rule, epsilon, blocks[name], vgg.preset, before == "input").detach()
    return r.numpy()


def back(module, a, r, rule, epsilon, block, preset, is_first):
    """Relevance of a module's output → of its input a."""
    kind = type(module).__name__
    if kind in ("ReLU", "Dropout", "LocalResponseNorm"):
        return r
    if kind == "Flatten":
        return r.reshape(a.shape)
    if kind == "MaxPool2d" and rule == "composite":
        module = torch.nn.AvgPool2d(2, 2)
    elif "MaxPool" in kind:
        a.requires_grad_()
        return torch.autograd.grad((module(a) * r).sum(), a)[0]
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)

    def apply(values, w, b):
        if kind == "Conv2d":
            return functional.conv2d(values, w, b, padding=module.padding)
        return functional.linear(values, w, b) if kind == "Linear" else module(values)

    def share(a, z_of, increased):
        a = a.clone().requires_grad_()
        s = (r / increased(z_of(a))).detach()
        return a * torch.autograd.grad((z_of(a) * s).sum(), a)[0]

    def stable(z):
        return z + torch.where(z < 0, -1.0, 1.0) * epsilon

    if rule == "epsilon":
        return share(a, lambda a: apply(a, weight, bias), stable)
    if rule == "zplus":
        if weight is None:
            z = module(a)
            return share(a, module, lambda _: torch.where(z > 0, z, torch.inf))
        up, down, lift = weight.clamp(min=0), weight.clamp(max=0), None if bias is None else bias.clamp(min=0)
        z = apply(a.clamp(min=0), up, lift) + apply(a.clamp(max=0), down, None)
        limit = torch.where(z > 0, z, torch.inf)
        return (share(a.clamp(min=0), lambda a: apply(a, up, lift), lambda _: limit)
                + share(a.clamp(max=0), lambda a: apply(a, down, None), lambda _: limit))
    if is_first:
        mean, std = (torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1) for values in (preset.mean, preset.std))
        low, high = (((level / preset.divisor - mean) / std).expand(a.shape).clone().requires_grad_() for level in (0, 255))
        a = a.clone().requires_grad_()
        positive, negative = ([None if p is None else p.clamp(**side) for p in (weight, bias)]
                              for side in ({"min": 0}, {"max": 0}))
        z = apply(a, weight, bias) - apply(low, *positive) - apply(high, *negative) + 1e-9
        grads = torch.autograd.grad((z * (r / z).detach()).sum(), (a, low, high))
        return sum(value * grad for value, grad in zip((a, low, high), grads))
    if block > 5:
        return share(a, lambda a: apply(a, weight, bias), lambda z: z + 1e-9)
    if block <= 3:
        raised = [None if p is None else p + 0.25 * p.clamp(min=0) for p in (weight, bias)]
        return share(a, lambda a: apply(a, *raised), lambda z: z + 1e-9)
    return share(a, lambda a: apply(a, weight, bias), lambda z: z + 1e-9 + 0.25 * (z**2).mean()**0.5)
