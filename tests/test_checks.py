"""What makes no sense is one sentence, wherever it enters."""
import numpy as np
import pytest

import npvgg
from npvgg import images
from npvgg.checks import callers_level
from npvgg.counting import describe
from npvgg.errors import UsageError
from npvgg.gap import relative_gap
from npvgg.initialisation import initial
from npvgg.layer_names import canonical_layer
from weights_convert.convert import convert

ARRAY = np.zeros(3)
PREPARED = np.zeros((3, 32, 32), np.float32)


@pytest.mark.parametrize("call, words", [
    (lambda: npvgg.load(thread=2), "load takes no 'thread'; did you mean 'threads'"),
    (lambda: npvgg.load().using(teir="jit"), "using takes no 'teir'; did you mean 'tier'"),
    (lambda: npvgg.load(zzz=1), "load takes no 'zzz'; it takes tier, threads"),
    (lambda: npvgg.load(verify=ARRAY), "verify is array"),
    (lambda: npvgg.predict("cat.png", tp=1), "predict takes no 'tp'; did you mean 'top'.; it takes model, top, tier"),
    (lambda: npvgg.load(offline="0"), "offline is '0'; choose one of True, False"),
    (lambda: npvgg.hub.locate(offline="no"), "offline is 'no'"),
    (lambda: npvgg.hub.download("vgg16", force="no"), "force is 'no'"),
    (lambda: npvgg.classify.stream([], npvgg.load(), exif="no"), "exif is 'no'"),
    (lambda: images.read("cat.png", exif=1), "exif is 1"),
    (lambda: images.batch(PREPARED, images.preset("cifar10"), exif="no"), "exif is 'no'"),
    (lambda: images.batch(PREPARED, images.preset("cifar10"), background="clear"), "background 'clear' is not"),
    (lambda: images.find("cat.png", missing="no"), "missing is 'no'"),
    (lambda: convert("vgg.pth", "vgg.h5", dry_run="no"), "dry_run is 'no'"),
    (lambda: describe("vgg16"), "the network is of type str; give an Architecture"),
    (lambda: canonical_layer("vgg16", "fc8"), "the network is of type str; give an Architecture"),
    (lambda: canonical_layer(npvgg.load().architecture, ARRAY), "has no layer array"),
    (lambda: initial("vgg16"), "the network is of type str; give an Architecture"),
    (lambda: initial(npvgg.load().architecture, how=["he"]), "there is no initialisation"),
    (lambda: npvgg.create("vgg11", head="flatten 1048576 1048576"), "1,125,[0-9,]* parameters, 4,[0-9,.]* GiB in float32"),
    (lambda: images.Preset("mine", 256, 224, (0.0,) * 3, (1.0,) * 3, interpolation=ARRAY), "interpolation is array"),
    (lambda: images.batch("cat.png", images.preset("torchvision"), dtype=ARRAY), "dtype array.* is not possible"),
    (lambda: relative_gap("abc", "abd"), "give real numbers"),
    (lambda: relative_gap([[1], [1, 2]], ARRAY), "is no array"),
    (lambda: npvgg.load().save("never.h5", force=ARRAY), "force is array"),
])
def test_what_is_none_of_the_kind_is_one_sentence(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_warning_points_at_the_line_outside():
    assert callers_level() == 1                  # a test is outside
    scope = {"__name__": "npvgg.somewhere", "callers_level": callers_level}
    exec("def inner():\n    return callers_level()\ndef outer():\n    return inner()", scope)
    assert scope["outer"]() == 3                 # inner, outer, and this line
