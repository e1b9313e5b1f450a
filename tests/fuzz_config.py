"""Fuzz the readers of TOML files, guided by coverage (needs atheris; not part of the suite).

    python tests/fuzz_config.py -max_total_time=3600 -timeout=20 -rss_limit_mb=0 CORPUS

A file raises a ValueError, or gives settings of the types in the table of options. These settings
survive being written and read again, and flags override them. Read as a search space, the file
raises a ValueError or gives a space whose fixed settings have these types.
"""

import random

import atheris

with atheris.instrument_imports(include=["rnn4music", "tomllib"]):
    import tomllib  # noqa: F401

    from rnn4music.experiment import config
    from rnn4music.tuning import space as search_space

import fuzz_shared

PATH = fuzz_shared.FOLDER / "run.toml"
OPTIONS = config.EVERYTHING
VALUES = (
    "1", "-1", "0.5", "1e999", "nan", "inf", "true", '""', '"a"', "[]", "[1, 2]", "[1, 2, 3]",
    "[0.1, 0.2, 0.3, 0.4]", "[true]", "{}", "{a = 1}", "1979-05-27", "9" * 400, "9" * 5000,
    "0x" + "f" * 400, "[" * 900 + "]" * 900, "[[1]]", "'''", '"\\ud800"',
    "{low = 1, high = 9, step = 4}", "{low = 0.5, high = 4.5, log = true}", "{choices = [1, 2]}",
    "{low = 1e308, high = -1e308}", "{choices = []}", "{a." + "a." * 900 + "a=1}",
)  # fmt: skip


def read_anything(data):
    PATH.write_bytes(data)
    with fuzz_shared.guarded():
        check_space()
        try:
            settings = config.read(PATH)
        except ValueError as error:
            fuzz_shared.refused(error)
            return
        for name, value in settings.items():
            check_value(OPTIONS[name], value)
        PATH.write_text(config.as_toml(settings), encoding="utf-8")
        assert config.read(PATH) == settings
        merged = config.merged({"epochs": 7, "dt": 0.5}, PATH)
        assert merged.epochs == 7 and merged.dt == 0.5
        assert merged.given == {*settings, "epochs", "dt"} - {"steps_per_beat"}
        assert vars(merged).keys() == {*OPTIONS, "given"}


def check_space():
    try:
        space = search_space.read(PATH)
    except ValueError as error:
        fuzz_shared.refused(error)
        return
    assert space.searched
    for name, value in space.fixed.items():
        check_value(OPTIONS[name], value)


def check_value(option, value):
    values = value if option.n else [value]
    assert type(values) is list and values
    assert all(type(each) is option.kind for each in values), (option.name, value)
    assert not isinstance(option.n, int) or len(values) == option.n
    assert option.choices is None or value in option.choices
    for each in values:
        assert option.kind not in (int, float) or option.low <= each <= option.high
        assert option.kind is not float or option.above < each < option.below


def mutate(data, most, seed):
    """Replace a line by a setting with some value, or mutate bytes."""
    rng = random.Random(seed)
    lines = data.split(b"\n")
    if rng.random() < 0.5:
        return fuzz_shared.mutated(data, most)
    option = rng.choice(list(OPTIONS.values()))
    name = rng.choice((option.name, option.flag.lstrip("-"), option.name + "x"))
    line = f"{name} = {rng.choice(VALUES)}".encode()
    where = rng.randrange(len(lines))
    lines[where : where + rng.randrange(2)] = [line]
    result = b"\n".join(lines)
    return result if len(result) <= most else fuzz_shared.mutated(data, most)


def seeds():
    texts = {str: '"text"', int: "3", float: "0.25", bool: "true"}
    lines = []
    for option in OPTIONS.values():
        text = f'"{option.choices[-1]}"' if option.choices else texts[option.kind]
        count = {None: 0, "+": 1}.get(option.n, option.n)
        value = f"[{', '.join([text] * count)}]" if count else text
        lines.append(f"{option.name} = {value}")
    yield "\n".join(lines).encode()
    yield from (line.encode() for line in lines)
    yield b"learning_rates = {low = 1e-4, high = 0.1, log = true}\nbatch_size = {low = 4, high = 9}"
    yield b"units = {choices = [[1, 2, 3], [4, 5, 6]]}\nclip = {low = 1.5, high = 4, step = 0.5}"


if __name__ == "__main__":
    fuzz_shared.fuzz(read_anything, mutate, seeds())
