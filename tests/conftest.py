"""What all tests share: small models of pairwise different sizes, and random tunes."""

import ctypes
import gc
import math
import os
import shutil
import signal
import sys
import tempfile

import numpy as np
import pytest

# A shell that starts tests in the background lets them ignore Ctrl-C, which some are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_COMPILED = "RNN4MUSIC_CODE_CACHE"


def pytest_configure(config):
    """Let all processes of a run share what is compiled: half of the time would go there."""
    if _COMPILED not in os.environ:
        config.made_for_this_run = os.environ[_COMPILED] = tempfile.mkdtemp()


def pytest_unconfigure(config):
    shutil.rmtree(getattr(config, "made_for_this_run", ""), ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def give_memory_back():
    """Forget what a module compiled, which no other module uses."""
    yield
    gc.collect()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser without a window; `downloads` is its folder."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, chromedriver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not chromedriver:
        pytest.skip("needs the programs chromium and chromedriver")
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --mute-audio "
        "--autoplay-policy=no-user-gesture-required"
    ).split():
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "down")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=chromedriver)
    )
    driver.set_script_timeout(30)
    driver.downloads = folder / "down"
    yield driver
    driver.quit()


SIZES = {"h1_length": 3, "h2_length": 5, "h3_length": 4, "io_length": 7}


OF_TINY_MODELS = [
    pytest.mark.filterwarnings(f"default:{message}")
    for message in (
        "the best validation",
        ".* notes sound at a time",
        ".* fewer than --start-steps",
        ".* of the struck notes do not sound",
        ".* is now trained further",
    )
]
"""Marks for tests of the command line, whose models are trained for a moment."""


def small_model(**changes):
    """A float64 model with large weights and states, so that every term matters."""
    from rnn4music import RNN4Music

    return RNN4Music(**{**SIZES, "dtype": "float64", "sigRand": 0.6, "muRand": 0.9,
                        "seed": 1, **changes})  # fmt: skip


def chord_model(chord_units, **changes):
    """A small model without the zeros that chords begin with; None for one without chords."""
    model, rng = small_model(chord_units=chord_units, **changes), np.random.default_rng(6)
    drawn = {
        name: array if array.any() else rng.normal(0, 0.6, array.shape)
        for name, array in model.get_parameters().items()
    }
    model.set_parameters(drawn)
    return model


def every_row(n_pitches):
    """All rows of zeros and ones, (2^P, P)."""
    return (np.arange(2**n_pitches)[:, None] >> np.arange(n_pitches) & 1).astype(float)


def random_roll(rng, *shape):
    return (rng.random(shape) < 0.3).astype(float)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def tunes(rng):
    """Seven tunes of different lengths, one of a single row."""
    return [random_roll(rng, length, SIZES["io_length"]) for length in (9, 4, 12, 1, 7, 15, 6)]


def markov_nats_per_step(training, tunes):
    """Return the score of each pitch's Markov chain, counted cell by cell."""
    n_pitches = len(training[0][0])
    on_after = [{0: [], 1: []} for _ in range(n_pitches)]  # by what came before
    for tune in training:
        for before, now in zip(tune[:-1], tune[1:]):
            for pitch in range(n_pitches):
                on_after[pitch][int(before[pitch])].append(int(now[pitch]))
    nats, n_steps = 0.0, 0
    for tune in tunes:
        for before, now in zip(tune[:-1], tune[1:]):
            n_steps += 1
            for pitch in range(n_pitches):
                seen = on_after[pitch][int(before[pitch])]
                share = (sum(seen) + 1) / (len(seen) + 2)
                nats -= math.log(share if now[pitch] else 1 - share)
    return nats / n_steps


def initial_states(model):
    """The states at t = −1, as the model saves them."""
    arrays = model._store.arrays()
    return {k.removeprefix("initial/"): v for k, v in arrays.items() if k.startswith("initial/")}
