"""``rnn4music demo``: the whole way from MIDI files to a page."""

from pathlib import Path

from rnn4music import cli
from rnn4music._utils import checks
from rnn4music.cli import compose, learn
from rnn4music.cli._common import Result
from rnn4music.data.chorales import write_chorales
from rnn4music.experiment import config
from rnn4music.model import RNN4Music


def demo(asked):
    """Learn from Bach's chorales, or other music, compose, and make a page."""
    checks.integer("epochs", asked.epochs, low=1)
    folder = Path(asked.output)
    folder.mkdir(parents=True, exist_ok=True)
    music = asked.data or write_chorales(folder / "chorales")
    parser = cli.build_parser()

    model = str(folder / "demo.npz")
    flags = ["--epochs", str(asked.epochs), "--keys", "all", "--validation", "0.06"]
    flags += ["--seed", "1", "--force", "-o", model]
    settings = config.merged(parser.parse_args(["train", str(music), *flags]))
    trained = learn.train(settings)
    if trained.status:
        return trained

    flags = ["-o", str(folder / "demo.mid"), "--seed", "1"]
    for kind in ("wav", "png", "html"):
        flags += [f"--{kind}", str(folder / f"demo.{kind}")]
    read = learn.read_music(music, settings, RNN4Music.from_file(model))
    names = read.parts["validation"].names
    if names and (Path(music) / names[0]).is_file():  # a tune that was not learned is continued
        flags += ["--start", str(Path(music) / names[0])]
    composed = compose.compose(parser.parse_args(["compose", model, *flags]))

    page = (folder / "demo.html").resolve()
    return Result(
        {"train": trained.values, "compose": composed.values, "page": str(page)},
        f"{trained.text}\n{composed.text}\nopen {page.as_uri()} in a browser",
    )
