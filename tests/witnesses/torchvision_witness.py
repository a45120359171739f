"""torchvision as a witness, also beside a torch without CUDA."""
import pytest

OPERATORS = []                  # torch forgets the operators of a Library that nobody holds


def torchvision():
    """The module; the test is skipped where torch or torchvision is not installed.

    torchvision's wheel is built against torch with CUDA.  Beside another torch its compiled operators do not load, and
    the import stops at two that nothing here calls; their schemas are enough.
    """
    torch = pytest.importorskip("torch")
    try:
        return pytest.importorskip("torchvision", exc_type=ModuleNotFoundError)
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        OPERATORS.append(library)
        import torchvision

        return torchvision
