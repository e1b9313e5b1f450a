"""``rnn4music demo``: from MIDI files to a page."""

from pathlib import Path

from rnn4music import data, experiment
from rnn4music._utils.options import Option
from rnn4music.cli import compose, train
from rnn4music.cli._common import Result
from rnn4music.experiment import config

SUMMARY = "train on Bach's chorales, compose, and write a web page"
EXAMPLES = """\
  rnn4music demo
  rnn4music demo --data "my music" --epochs 20 -o mine
"""
ARGUMENTS = ()
OPTIONS = (
    Option("output", str, "demo", "folder for all files", "DIR"),
    Option("epochs", int, 5, "number of passes over the tunes", "N", low=1),
    Option("data", str, None, "folder of MIDI files to learn from, instead of the chorales",
           "FOLDER"),
)  # fmt: skip


def run(args):
    """Train on Bach's chorales, or other music, compose, and write a page."""
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    music = str(args.data or data.write_chorales(folder / "chorales"))
    settings = {"epochs": args.epochs, "keys": "all", "validation": 0.06, "seed": 1, "force": True}
    settings |= {"data": music, "output": str(folder / "demo.npz")}
    trained = experiment.run.train(config.complete(settings))
    result = train.result(trained)
    if result.status:
        return result

    files = {kind: str(folder / f"demo.{kind}") for kind in ("wav", "png", "html")}
    files |= {"model": trained.output, "output": str(folder / "demo.mid")}
    names = trained.music.parts["validation"].names
    if names and (Path(music) / names[0]).is_file():  # a tune that was not learned is continued
        files["start"] = str(Path(music) / names[0])
    composed = compose.run(config.complete({**files, "seed": 1}, compose.OPTIONS))

    page = (folder / "demo.html").resolve()
    return Result(
        {"train": result.values, "compose": composed.values, "page": str(page)},
        f"{result.text}\n{composed.text}\nopen {page.as_uri()} in a browser",
    )
