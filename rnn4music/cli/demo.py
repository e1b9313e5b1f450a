"""``rnn4music demo``: from MIDI files to a page."""

from pathlib import Path

from rnn4music import data, experiment
from rnn4music._utils.options import Option
from rnn4music._utils.paths import user_cache
from rnn4music.cli import compose, train
from rnn4music.cli._common import ABOVE_BASELINE, Result
from rnn4music.experiment import config

SUMMARY = "train on Bach's chorales, compose, and write a web page"
EXAMPLES = """\
  rnn4music demo
  rnn4music demo --data "my music" --minutes 10 -o mine

The chorales come with music21. They are converted to MIDI files once, in your cache directory.
The folder gets five files: demo.npz, demo.mid, demo.wav, demo.png and demo.html.
"""
ARGUMENTS = ()
OPTIONS = (
    Option("output", str, "demo", "folder for all files", "DIR"),
    Option("minutes", float, 1.0, "how long to train", "N", above=0),
    Option("data", str, None, "folder of MIDI files to learn from, instead of the chorales",
           "FOLDER"),
    Option("force", bool, False, "replace the files of an earlier demo in DIR"),
)  # fmt: skip
REST = 0.5  # minutes that everything except training takes


def run(args):
    """Train on Bach's chorales, or other music, compose, and write a page."""
    from midi.files import expanded
    from rnn4music._utils.console import log

    folder = expanded(args.output)
    files = {kind: folder / f"demo.{kind}" for kind in ("npz", "mid", "wav", "png", "html")}
    existing = [path for path in files.values() if path.exists()]
    if existing and not args.force:
        raise FileExistsError(
            f"{existing[0]} exists already: give another folder with -o, or --force to replace it"
        )
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; give a folder with -o")
    if args.data is not None:
        experiment.inputs.check_music(args.data, experiment.inputs.MUSIC, "demo needs music")
    music, plural = args.data or "Bach's chorales", "" if args.minutes == 1 else "s"
    log(
        f"the demo learns from {music} for {args.minutes:g} minute{plural}, composes a tune, and "
        f"writes a page: about {args.minutes + REST:g} minutes in all"
    )
    folder.mkdir(parents=True, exist_ok=True)
    music = args.data
    if music is None:
        music = str(data.write_chorales((user_cache() or folder) / "chorales"))
        log(f"Bach's chorales: MIDI files in {music}")
    experiment.inputs.check_outputs(files.values(), experiment.inputs.files_of(music))
    settings = {"minutes": args.minutes, "validation": 0.06, "seed": 1, "force": True}
    settings |= {"data": music, "output": str(files["npz"])}
    trained = experiment.run.train(config.complete(settings))
    result = train.result(trained)
    if result.status not in (0, ABOVE_BASELINE):
        return result

    options = {kind: str(files[kind]) for kind in ("wav", "png", "html")}
    options |= {"model": trained.output, "output": str(files["mid"])}
    names = trained.music.parts["validation"].names
    if names and (Path(music) / names[0]).is_file():  # continue a tune that was held out
        options["start"] = str(Path(music) / names[0])
    composed = compose.run(config.complete({**options, "seed": 1}, compose.OPTIONS))

    page = (folder / "demo.html").resolve()
    return Result(
        {"train": result.values, "compose": composed.values, "page": str(page)},
        f"{result.text}\n{composed.text}\nopen {page.as_uri()} in a browser",
        result.status,
    )
