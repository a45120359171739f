"""Whose names a set of tensors carries."""
from npvgg.errors import BadFileError, UsageError
from npvgg.text import meant
from weights_convert.refusals import quoted
from weights_convert.schemes.caffe import CAFFE, CAFFE_IN_PYTORCH
from weights_convert.schemes.keras import KERAS, KERAS_BY_CLASS, KERAS_MODEL
from weights_convert.schemes.mmpretrain import MMPRETRAIN
from weights_convert.schemes.naming import Scheme
from weights_convert.schemes.npvgg import NPVGG
from weights_convert.schemes.onnx import ONNX
from weights_convert.schemes.pytorchvggnet import PYTORCHVGGNET
from weights_convert.schemes.timm import TIMM
from weights_convert.schemes.torchvision import TORCHVISION

# The first whose mark is there: timm's keys contain torchvision's.
SCHEMES = {scheme.name: scheme for scheme in (
    NPVGG, ONNX, KERAS_MODEL, CAFFE, KERAS, KERAS_BY_CLASS, PYTORCHVGGNET, CAFFE_IN_PYTORCH, MMPRETRAIN, TIMM, TORCHVISION)}


def find(name: str) -> Scheme:
    """'timm' → Scheme; UsageError with the list for any other."""
    if name not in SCHEMES:
        raise UsageError(f"there is no scheme {name!r}{meant(name, SCHEMES)}; npvgg knows {', '.join(SCHEMES)}")
    return SCHEMES[name]


def recognise(tensors: dict) -> Scheme:
    """{key: array} → the Scheme that names its tensors so; BadFileError where none does."""
    for scheme in SCHEMES.values():
        if "" in scheme.prefixes(tensors):
            return scheme
    raise unknown(tensors)


def unknown(tensors: dict) -> BadFileError:
    """The refusal of tensors that no Scheme names so."""
    return BadFileError(f"its tensors ({quoted(list(tensors))}) are named as those of no VGG that npvgg "
                        f"knows ({', '.join(SCHEMES)}); give a checkpoint of one of these")
