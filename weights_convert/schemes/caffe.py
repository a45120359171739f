"""The authors' own models: Caffe's layers have the paper's names, its blobs our layout; pictures are BGR.

    conv1_1.blobs[0] (64, 3, 3, 3), conv1_1.blobs[1] (64,), …, fc8.blobs[1] (1000,)

The deployed networks end with a soft-max, "prob"; without fc8 they end behind the ReLU of the last dense layer.
Source: VGG_ILSVRC_16_layers_deploy.prototxt, VGG_ILSVRC_19_layers_deploy.prototxt.
"""
from npvgg.architecture import CONFIGURATIONS
from weights_convert.schemes import heads
from weights_convert.schemes.naming import Scheme, matching, sizes

CONVOLUTIONS = r"conv([1-5])_(\d)\.blobs\[0\]"
CLASSIFIER = 8                            # the number of the dense layer that gives the classes


def modules(net):
    """{paper's name: Caffe's}, which are the same, of the layers that have parameters."""
    return {layer.name: layer.name for layer in net.layers if layer.op in ("conv2d", "dense")}


def head(tensors):
    """The head that the shapes of the fc blobs show."""
    dense = [(match, array) for match, array in matching(tensors, r"fc(\d{1,2})\.blobs\[0\]") if array.ndim == 2]
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
