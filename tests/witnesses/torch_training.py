"""A twin in PyTorch that learns: the oracle of whole-network gradients and of steps of an optimiser."""
import torch
from witnesses.torch_twin import Twin


class LearningTwin(Twin):
    """A Twin whose parameters have gradients; in training, or at inference with training=False."""

    def __init__(self, net, parameters, training=True):
        super().__init__(net, parameters)
        self.requires_grad_(True).train(training)

    def logits(self, x, masks=None):
        """(N, C, H, W) → logits; dropout by the masks alone."""
        for name, module in self.steps.items():
            if isinstance(module, torch.nn.Dropout):
                mask = (masks or {}).get(name)
                x = x if mask is None else x * torch.tensor(mask) / (1 - module.p)
            else:
                x = module(x)
        return x

    def learned(self):
        """{"conv1_1/weight": Parameter, …}."""
        return {f"{name}/{kind}": parameter for name, module in self.steps.items()
                for kind, parameter in module.named_parameters()}

    def statistics(self):
        """{"bn1_1": (running mean, running variance)}."""
        return {name: (module.running_mean.numpy(), module.running_var.numpy()) for name, module in self.steps.items()
                if hasattr(module, "running_mean")}
