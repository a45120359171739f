"""The authors' own models: Caffe's layers have the paper's names, its blobs our layout; pictures are BGR.

    conv1_1.blobs[0] (64, 3, 3, 3), conv1_1.blobs[1] (64,), …, fc8.blobs[1] (1000,)

The deployed networks end with a soft-max, "prob".
Source: VGG_ILSVRC_16_layers_deploy.prototxt, VGG_ILSVRC_19_layers_deploy.prototxt.
"""
from npvgg.architecture import CONFIGURATIONS
from weights_convert.sources import npvgg
from weights_convert.sources.naming import Source

CONVOLUTIONS = r"conv([1-5])_(\d)\.blobs\[0\]"
CAFFE = Source("caffe", CONVOLUTIONS, CONVOLUTIONS, (r"fc(\d{1,2})\.blobs\[0\]",), npvgg.modules,
               fields={"weight": ".blobs[0]", "bias": ".blobs[1]"}, preset="caffe", output="probabilities",
               networks=tuple(name for name in CONFIGURATIONS if name != "a_lrn"))
