"""A network that begins with what another one has learned."""
from dataclasses import replace

from npvgg import network
from npvgg.architecture import Architecture
from npvgg.errors import UsageError
from npvgg.network import VGG
from npvgg.parameters import sealed

TAKEN = ("conv1", "conv2", "conv3", "bn1", "bn2", "bn3", "fc")


def from_shallower(net: Architecture, source: VGG, *, seed: int = 0, how: str = "torchvision") -> VGG:
    """Fresh parameters, but for the layers that `source` has under the same name in the same shape: these begin as its.

    Of the convolutions those of blocks 1 to 3 are taken, and all dense layers: from network A these are the first four
    convolutions and the last three layers, as in the paper's section 3.1.  UsageError where no layer can be taken.
    """
    names = source.class_names if source.architecture.label_count == net.label_count else None
    fresh = network.create(net, seed=seed, how=how, preset=source.preset, class_names=names)
    taken = {path: sealed(array.copy()) for path, array in source.parameters.items()
             if path.startswith(TAKEN) and net.parameters.get(path) == array.shape}
    if not any(path.startswith("conv") for path in taken):
        raise UsageError(f"no convolution of {source.architecture.name} has a place of its shape in {net.name}; give networks "
                         "of the same width")
    return fresh.with_parameters(taken)


def with_classes(vgg: VGG, class_names: tuple[str, ...], *, head: str = "", output: str = "softmax", seed: int = 0) -> VGG:
    """A trained network for other classes: a fresh last layer, and everything before it as it was.

    With `head` everything behind pool5 is fresh.  A network that has these very classes already stays as it is.
    """
    if not head and vgg.class_names == class_names and vgg.architecture.output == output:
        return vgg
    words = head.split() if head else vgg.architecture.head.split()
    if not head:
        places = [place for place, word in enumerate(words) if word.isdigit()]
        words = words[:places[-1]] if places else [*words, "flatten"] if "flatten" not in words else words
        words.append(str(len(class_names)))
    fresh = vgg.with_head(" ".join(words), output=output, class_names=class_names, seed=seed)
    if head:
        return fresh
    last = fresh.architecture.layers[-1].name
    kept = {path: array for path, array in vgg.parameters.items()
            if fresh.architecture.parameters.get(path) == array.shape and path.partition("/")[0] != last}
    return replace(fresh.with_parameters(kept), source=f"{vgg.source or vgg.architecture.name} with a new last layer")
