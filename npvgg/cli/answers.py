r"""How predictions are printed: for people, as JSON lines, as CSV; in UTF-8.

A byte of a picture's name that is no UTF-8 is written as \udcXX: in JSON a lone surrogate, in CSV these letters, which mean
nothing else there (`text.unambiguous`).  Control characters are escapes, JSON's own and in CSV of that kind.  People see every
character that does not print as an escape.
"""
import csv
import io
from contextlib import contextmanager

from npvgg import text
from npvgg.cli.progress import ERROR, say
from npvgg.cli.several import status_of
from npvgg.storage import atomic_file

COLUMNS = ("image", "rank", "label", "index", "probability", "logit", "error", "output")

# Below three times the probability of guessing, over many classes, the picture was most likely prepared in another way
# than the network was trained for, or the weights are not what they claim to be.
GUESSING, MANY_CLASSES = 3, 100


def deliver(stream, total, net, write):
    """Write every Answer of a network of this architecture, report what went wrong, and return the exit status."""
    failures, guesses = [], []
    for answer in stream:
        write(answer)
        if answer.error:
            failures.append(answer.error.exit_code)
            say(f"{answer.error}", ERROR)
        elif is_guess(answer, net):
            guesses.append((answer.predictions[0].probability, text.shown(answer.image)))
    if guesses:
        which = guesses[0][1] if len(guesses) == 1 else f"{len(guesses)} of {total} pictures"
        best = f"{'at most ' if len(guesses) > 1 else ''}{max(guesses)[0]:.4f}"
        say(f"{which}: the best of {net.num_classes} classes has {best}, hardly more than a guess; `npvgg verify` checks the "
            "weights, `npvgg inspect` shows how they want pictures prepared", ERROR)
    if failures and total > 1:
        say(f"{len(failures)} of {total} pictures could not be classified", ERROR)
    return status_of(failures, total)


def is_guess(answer, net):
    """Whether a soft-max over many classes has chosen none; independent labels may all be improbable."""
    return (net.output == "softmax" and net.num_classes >= MANY_CLASSES
            and answer.predictions[0].probability < GUESSING / net.num_classes)


@contextmanager
def writer(form, target, force, net):
    """A function that writes one Answer of a network of this architecture.

    `form`: "json", "csv" or None for people; `target`: a file (`atomic_file.growing`), or None or "-" for standard output.
    """
    render = {None: for_people, "json": as_json, "csv": as_csv}[form]
    if target in (None, "-"):
        if form == "csv":
            print(csv_line(COLUMNS))
        yield lambda answer: print(render(answer, net.output), flush=True)
        return
    header = text.encoded(csv_line(COLUMNS) + "\n") if form == "csv" else b""
    with atomic_file.growing(target, force=force, header=header) as write:
        yield lambda answer: write(text.encoded(render(answer, net.output) + "\n"))


def for_people(answer, _):
    """An Answer → the name of the picture and a line for each label with its probability in per cent."""
    name = text.shown(text.file_name(answer.image))
    if answer.error:
        return f"{name}\n     not classified"
    return "\n".join([name, *(f"{percent(p.probability):>8} %  {p.label}" for p in answer.predictions)])


def percent(probability):
    """Two decimals; what they would round to 0 or 100 is neither, for no logit gives these."""
    text = f"{100 * probability:.2f}"
    return {"0.00": "<0.01", "100.00": ">99.99"}.get(text, text)


def as_json(answer, output):
    """One line; `output` says what the probabilities are: "softmax" (they sum to 1) or "sigmoid" (each by itself)."""
    image = text.file_name(answer.image)
    if answer.error:
        return text.json_line({"image": image, "error": str(answer.error)})
    predictions = [{"label": p.label, "index": p.index, "probability": p.probability, "logit": p.logit}
                   for p in answer.predictions]
    return text.json_line({"image": image, "output": output, "predictions": predictions})


def as_csv(answer, output):
    """An Answer → a line of CSV for each label, or one with the error."""
    image = text.unambiguous(text.file_name(answer.image))
    if answer.error:
        return csv_line([image, "", "", "", "", "", str(answer.error), output])
    return "\n".join(csv_line([image, rank, p.label, p.index, p.probability, p.logit, "", output])
                     for rank, p in enumerate(answer.predictions, start=1))


def csv_line(cells):
    """The cells as a line without its end; csv quotes a cell that holds a character of the line's end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n")
