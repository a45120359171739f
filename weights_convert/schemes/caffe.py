"""The authors' own models: Caffe's layers have the paper's names, its blobs our layout; pictures are BGR.

    caffe               conv1_1.blobs[0] (64, 3, 3, 3), conv1_1.blobs[1] (64,), …, fc8.blobs[1] (1000,)
    caffe-in-pytorch    conv1_1.weight (64, 3, 3, 3), …, fc8.bias, or no dense layer at all: the authors' weights as style
                        transfer and others have them, converted long ago

The deployed networks end with a soft-max, "prob"; without fc8 they end behind the ReLU of the last dense layer.  Many programs
call PyTorch's modules so, and keys do not tell them apart.  Zero padding and Caffe's preparation are what the authors' weights
were trained with; whoever trained others says so with --padding and --preset.
Source: VGG_ILSVRC_16_layers_deploy.prototxt, VGG_ILSVRC_19_layers_deploy.prototxt; leongatys/PytorchNeuralStyleTransfer
(vgg_conv.pth).
"""
from npvgg.architecture import CONFIGURATIONS
from weights_convert.schemes import heads
from weights_convert.schemes.naming import Scheme, matching, sizes

CONVOLUTIONS, CONVOLUTIONS_IN_PYTORCH = r"conv([1-5])_(\d)\.blobs\[0\]", r"conv([1-5])_(\d)\.weight"
CLASSIFIER = 8                            # the number of the dense layer that gives the classes


def modules(net):
    """{paper's name: Caffe's}, which are the same, of the layers that have parameters."""
    return {layer.name: layer.name for layer in net.layers if layer.op in ("conv2d", "dense")}


def head(tensors):
    """The head that the shapes of fc6, fc7, … show."""
    dense = [(match, array) for match, array in matching(tensors, r"fc(\d{1,2})\.(?:blobs\[0\]|weight)") if array.ndim == 2]
    return heads.in_turn([heads.part(match[0], sizes(array)) for match, array in dense],
                         is_classifier=bool(dense) and int(dense[-1][0][1]) >= CLASSIFIER)


def lacks(net):
    """What the scheme cannot name of this network, in words; "" where it names all."""
    behind = [op for op, _ in heads.without_dropout(net)]
    is_classifier, last = behind[-1:] == ["dense"], 5 + len(net.dense_sizes)
    if behind and is_classifier != (last >= CLASSIFIER):
        return f"no network that ends with {net.layers[-1].name}: fc{CLASSIFIER} gives the classes, and nothing before it"
    return heads.lacks_in_turn(net)


CAFFE = Scheme("caffe", CONVOLUTIONS, CONVOLUTIONS, head, modules, fields={"weight": ".blobs[0]", "bias": ".blobs[1]"},
               preset="caffe", source_output="probabilities",
               networks=tuple(name for name in CONFIGURATIONS if name != "a_lrn"), lacks=lacks)
CAFFE_IN_PYTORCH = Scheme("caffe-in-pytorch", CONVOLUTIONS_IN_PYTORCH, CONVOLUTIONS_IN_PYTORCH, head, modules, preset="caffe",
                          networks=tuple(CONFIGURATIONS), lacks=lacks)
