"""Progress on standard error: a bar in a terminal, few lines elsewhere."""

import pytest

from rnn4music._utils.console import Bar, log


def lines(capsys):
    err = capsys.readouterr().err
    assert "\r" not in err
    return [line.split(";")[0] for line in err.splitlines()]


def test_without_a_terminal_there_is_a_line_at_each_tenth(capsys):
    for _ in Bar(range(697), "reading", unit="file", mininterval=0):
        pass
    assert lines(capsys) == [f"reading: {n} of 697 files" for n in [*range(70, 697, 70), 697]]


def test_a_share_of_zero_gives_a_line_for_each_item(capsys):
    with Bar(None, "search", 4, unit="trial", share=0) as bar:
        for n in (1, 1, 3):
            bar.n = n
            bar.set_postfix(best=n)
            log("something else")
    first, other, *_, last, _ = lines(capsys)
    assert (first, other, last) == (
        "search: 1 of 4 trials",
        "something else",
        "search: 3 of 4 trials",
    )


@pytest.mark.parametrize("options, shown", [
    ({}, ["reading: 3 of 5 files"]), ({"disable": True}, []), ({"delay": 9}, []),
])  # fmt: skip
def test_what_was_done_before_an_error_is_shown(options, shown, capsys):
    with pytest.raises(OSError), Bar(None, "reading", 5, unit="file", share=0.9, **options) as bar:
        bar.update(3)
        raise OSError
    assert lines(capsys) == shown


def test_a_terminal_shows_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for _ in Bar(range(7), "reading", unit="file", mininterval=0):
        pass
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.count("\r") > 7 and "7/7" in err


@pytest.mark.parametrize("stream", (None, "closed"))
def test_without_a_standard_error_nothing_is_shown(stream, tmp_path, monkeypatch):
    if stream:
        with open(tmp_path / "closed", "w") as stream:
            pass
    monkeypatch.setattr("sys.stderr", stream)
    assert list(Bar(range(3), "reading", mininterval=0)) == [0, 1, 2]
