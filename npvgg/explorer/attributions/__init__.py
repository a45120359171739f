"""Where in the picture an answer comes from, by nine methods: heat maps, each a plain function of pictures and a target.

    attribute(vgg, "cat.png", "gradcam")                     of the class that the network names
    attribute(vgg, "cat.png", "saliency", "dog")             of another
    attribute(vgg, "cat.png", "occlusion", "conv4_3:17,5,9", window=8)      of one unit
"""
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from npvgg.checks import check_choice, refuse_unknown
from npvgg.errors import ShapeError
from npvgg.explorer.attributions import slopes
from npvgg.explorer.attributions.gradcam import gradcam
from npvgg.explorer.attributions.occlusion import occlusion
from npvgg.explorer.attributions.relevance import relevance
from npvgg.explorer.explanation import Box, finite
from npvgg.explorer.photograph import Photograph
from npvgg.explorer.resampling import upsampled
from npvgg.explorer.targets import target_of


class Method(NamedTuple):
    """One way to attribute."""

    function: Callable                    # (vgg, x (1, C, H, W), target, options) → an array (1, C, H, W) or (1, h, w), …
    is_signed: bool                       # whether its numbers may be negative
    words: str                            # what they are


METHODS: dict[str, Method] = {
    "gradcam": Method(gradcam, False, "the last maps, weighed by their mean gradients"),
    "saliency": Method(slopes.saliency, False, "the size of the gradient, the largest of the channels"),
    "smoothgrad": Method(slopes.smoothgrad, True, "the mean gradient of noisy pictures"),
    "integrated": Method(slopes.integrated_gradients, True, "the gradient along the way from the mean colour, times that way"),
    "input-gradient": Method(slopes.input_times_gradient, True, "the picture times the gradient"),
    "guided": Method(slopes.guided, True, "the gradient, positive through every ReLU"),
    "deconvolution": Method(slopes.deconvolution, True, "the gradient, positive behind every ReLU"),
    "occlusion": Method(occlusion, True, "what is lost where the picture is covered"),
    "relevance": Method(relevance, True, "the number handed back from layer to layer"),
}


@dataclass(frozen=True, eq=False)
class Attribution:
    """What one method says about one picture and one number S."""

    method: str
    target: str                           # a class or unit
    value: float                          # S
    values: np.ndarray                    # as the method gives them: (C, H, W), or (h, w) in the size of a layer's maps
    size: tuple[int, int]                 # (H, W) of the prepared picture
    on_photograph: Box | None             # where that lies in the picture that was given
    facts: Mapping[str, float]            # "gap" and "steps" of integrated gradients

    @property
    def is_signed(self) -> bool:
        """Whether negative numbers mean something."""
        return METHODS[self.method].is_signed

    @property
    def map(self) -> np.ndarray:
        """(H, W), one number a pixel: the sum over channels, of `saliency` the largest; a coarse map bilinearly enlarged."""
        if self.values.ndim == 3:
            return self.values.max(0) if self.method == "saliency" else self.values.sum(0)
        return self.values if self.values.shape == self.size else upsampled(self.values, self.size)

    def to_json(self) -> str:
        """One line of JSON with the map."""
        box = self.on_photograph and self.on_photograph._asdict()
        return json.dumps(finite({"method": self.method, "target": self.target, "value": self.value, "size": list(self.size),
                                  "on_photograph": box, **self.facts, "map": self.map.astype(float).tolist()}),
                          allow_nan=False)


def options_of(method: str) -> list[str]:
    """The names of a method's options."""
    parameters = inspect.signature(METHODS[method].function).parameters
    return [name for name, parameter in parameters.items() if parameter.kind == parameter.KEYWORD_ONLY]


def attribute(vgg, image, method: str = "gradcam", target=None, **options: Any) -> Attribution:
    """One picture → an Attribution: how much each pixel has to do with a class or a unit.

    `method` is one of METHODS, `target` as in `targets`, None for the class that the network names; the options are those of
    the method.  UsageError for what there is not, ShapeError for several pictures, and the errors of `images.batch`.
    """
    check_choice("method", method, tuple(METHODS))
    function = METHODS[method].function
    known = options_of(method)
    refuse_unknown(method, [name for name in options if name not in known], known or ["no options"])
    photograph = Photograph.of(image, vgg.preset)
    x = vgg.prepare(photograph.picture)
    if len(x) != 1:
        raise ShapeError(f"{len(x)} pictures were given; explain one at a time")
    size = x.shape[2:]
    chosen = target_of(vgg, target, size, vgg.forward(x) if target is None else None)
    found, facts = function(vgg, x, chosen, **options), {}
    if isinstance(found, tuple):
        found, facts["gap"], facts["steps"] = found
    box = photograph.box((0, 0, *size))
    return Attribution(method, chosen.name, float(slopes.value(vgg, x, chosen)[0]), found[0], size, box and Box(*box), facts)
