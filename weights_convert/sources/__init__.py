"""Whose names a set of tensors carries."""
import re

from npvgg.errors import BadFileError, UsageError
from weights_convert.refusals import quoted
from weights_convert.sources.caffe import CAFFE
from weights_convert.sources.keras import KERAS, KERAS_BY_CLASS
from weights_convert.sources.mmpretrain import MMPRETRAIN
from weights_convert.sources.npvgg import NPVGG
from weights_convert.sources.onnx import ONNX
from weights_convert.sources.pytorchvggnet import PYTORCHVGGNET
from weights_convert.sources.timm import TIMM
from weights_convert.sources.torchvision import TORCHVISION, TORCHVISION_TO_2017

# The first whose mark is found: timm's and the older torchvision's keys contain today's torchvision's.
SOURCES = {source.name: source for source in (
    NPVGG, ONNX, CAFFE, KERAS, KERAS_BY_CLASS, PYTORCHVGGNET, MMPRETRAIN, TIMM, TORCHVISION_TO_2017, TORCHVISION)}


def find(name):
    """'timm' → Source; UsageError with the list for any other."""
    if name not in SOURCES:
        raise UsageError(f"there is no source {name!r}; npvgg knows {', '.join(SOURCES)}")
    return SOURCES[name]


def recognise(tensors):
    """{source key: array} → the Source that names its tensors so; BadFileError where none does."""
    for source in SOURCES.values():
        if any(re.fullmatch(source.mark, key) for key in tensors):
            return source
    raise BadFileError(f"its tensors ({quoted(list(tensors))}) are named as those of no VGG that npvgg "
                       f"knows ({', '.join(SOURCES)}); give a checkpoint of one of these")
