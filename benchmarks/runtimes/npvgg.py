"""npvgg itself, its weights mapped into memory."""
from benchmarks import subject
from npvgg import classify


def write(vgg, folder):
    """Nothing to do: the others' files are made from npvgg's."""


def load(folder, shape, threads, tier):
    # Not verified, as a file that has been verified before would not be.
    return classify.load(folder / subject.FILE, tier=tier, threads=threads, verify=False).forward
