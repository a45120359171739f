"""PyTorch, eagerly, as torchvision's VGG runs; the state dict is mapped into memory."""
import torch

from npvgg.parity import recording

FILE = "pytorch.pt"


def write(vgg, folder):
    state = {path: torch.from_numpy(array.copy()) for path, array in vgg.parameters.items()}
    torch.save({"architecture": vgg.architecture.to_json(), "state": state}, folder / FILE)


def load(folder, shape, threads):
    from npvgg.architecture import Architecture

    torch.set_num_threads(threads)
    file = torch.load(folder / FILE, mmap=True, weights_only=True)
    net = Architecture.from_json(file["architecture"])
    parameters = {path: tensor.numpy() for path, tensor in file["state"].items()}

    def run(x):
        *_, (_, logits) = recording.outputs(torch, net, parameters, x)
        return logits

    return run
