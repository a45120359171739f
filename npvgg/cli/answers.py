"""How predictions are printed: for people, as JSON lines, as CSV."""
import csv
import io
import json
from contextlib import contextmanager

from npvgg.cli.progress import say
from npvgg.errors import PARTIAL_SUCCESS
from npvgg.storage import atomic_file

COLUMNS = ("image", "rank", "label", "index", "probability", "logit", "error")

# Below three times the probability of guessing, over many classes, the picture was most likely prepared in another way
# than the network was trained for, or the weights are not what they claim to be.
GUESSING, MANY_CLASSES = 3, 100


def deliver(stream, total, classes, write):
    """Write every Answer, report what went wrong, and return the exit status."""
    failures = []
    for answer in stream:
        write(answer)
        if answer.error:
            failures.append(answer.error)
            say(f"{answer.error}")
        elif classes >= MANY_CLASSES and answer.predictions[0].probability < GUESSING / classes:
            say(f"{answer.image}: the best of {classes} classes has {answer.predictions[0].probability:.4f}, hardly more than "
                "a guess; `npvgg verify` checks the weights, `npvgg inspect` shows how they want pictures prepared")
    if not failures:
        return 0
    if total > 1:
        say(f"{len(failures)} of {total} pictures could not be classified")
    return failures[0].exit_code if len(failures) == total else PARTIAL_SUCCESS


@contextmanager
def writer(form, output, force):
    """A function that writes one Answer, to standard output, or to a file that appears only when all is written."""
    render = {None: for_people, "json": as_json, "csv": as_csv}[form]
    if output is None:
        if form == "csv":
            print(csv_line(COLUMNS))
        yield lambda answer: print(render(answer), flush=True)
        return
    with atomic_file.writing(output, force=force) as stream:
        def write(answer):
            stream.write((render(answer) + "\n").encode())

        if form == "csv":
            stream.write((csv_line(COLUMNS) + "\n").encode())
        yield write


def for_people(answer):
    if answer.error:
        return f"{answer.image}\n     not classified"
    lines = [f"{100 * p.probability:8.2f} %  {p.label}" for p in answer.predictions]
    return "\n".join([answer.image, *lines])


def as_json(answer):
    if answer.error:
        return json.dumps({"image": answer.image, "error": str(answer.error)}, ensure_ascii=False)
    predictions = [{"label": p.label, "index": p.index, "probability": p.probability, "logit": p.logit}
                   for p in answer.predictions]
    return json.dumps({"image": answer.image, "predictions": predictions}, ensure_ascii=False)


def as_csv(answer):
    if answer.error:
        return csv_line([answer.image, "", "", "", "", "", str(answer.error)])
    return "\n".join(csv_line([answer.image, rank, p.label, p.index, p.probability, p.logit, ""])
                     for rank, p in enumerate(answer.predictions, start=1))


def csv_line(cells):
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
