"""The page in which a network composes: its scripts in Node, and the page in a browser."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import mido
import numpy as np
import pytest
from conftest import SIZES, chord_model, random_roll
from test_html import contrasts, js, pixels, until, wait

from midi import (
    Beats,
    MidiWarning,
    canonical_onsets,
    midiread,
    midiwrite,
    onset_notes,
    split_onsets,
)
from rnn4music import NumpyNetwork, cli
from rnn4music.data.accents import Accents, velocities
from rnn4music.data.keys import find_key, key_signature
from rnn4music.data.notation import BAR_COLUMNS, bar_columns
from rnn4music.experiment import notation
from rnn4music.experiment.music import ReadingOptions
from rnn4music.render import live
from rnn4music.saving import model_file

P = SIZES["io_length"]
SCRIPTS = Path(live.__file__).parent
DRIVER = """
const { Network, Composer, unpacked } = require(process.argv[1] + "/network.js");
const music = require(process.argv[1] + "/music.js");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const entries = (rows) => rows.map((row) => [...row]);
const does = {
  compose({ names, sizes, values, bits, start, steps, uniforms, conditions, ...options }) {
    let k = 0;
    const network = new Network(names, sizes, unpacked(values, bits));
    const known = { random: () => uniforms[k++], conditions: (row) => conditions[row] };
    const composer = new Composer(network, start, { ...options, ...known });
    return Array.from({ length: steps }, () => Array.from(composer.next()));
  },
  unpack: (text) => Array.from(unpacked(text, 16)),
  write({ roll, grid, beats, accents, seconds, name }) {
    const notes = music.notesOf(roll, grid);
    const velocities = music.velocitiesOf(notes, roll, grid, beats, accents);
    const key = music.signatureOf(music.findKey(roll, grid));
    const file = music.writeMidi(name, notes, velocities, roll.length, grid, beats, seconds);
    return { notes, velocities, key, file: Buffer.from(file).toString("base64") };
  },
  read({ file, grid, most }) {
    try {
      const start = music.startOf(music.readMidi(bytes(file)), grid, most);
      return { ...start, velocities: entries(start.velocities) };
    } catch (error) {
      if (error instanceof music.MidiError) return error.message;
      throw error;
    }
  },
};
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map(([name, request]) => does[name](request))));
"""


def in_node(name, requests):
    """Return what a function of the driver returns for each of some requests."""
    if not shutil.which("node"):
        pytest.skip("needs the program node")
    asked = json.dumps([[name, request] for request in requests])
    done = subprocess.run(
        ["node", "-e", DRIVER, str(SCRIPTS)],
        input=asked,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not done.stderr
    return json.loads(done.stdout)


def rounded(network, bits):
    """Return a network with the weights that a page has."""
    for group in (*network.layers, network.output, network.chords):
        for name, array in group.items():
            group[name] = array.astype(f"f{bits // 8}").astype(float)
    return network


# ---- the network


@pytest.fixture(scope="module")
def trained():
    """A model with chords and onsets, trained for a few updates."""
    rng, model = np.random.default_rng(2), chord_model(8, io_length=2 * P, seed=3)
    model.train([random_roll(rng, 12, 2 * P) for _ in range(3)], 1, 2, 2, 6)
    return model


def test_the_network_in_javascript_composes_the_tunes_of_numpy(trained, rng):
    requests, tunes = [], []
    models = [chord_model(chord_units, seed=6) for chord_units in (None, 0, 3, 8)]
    models += [trained, chord_model(None, conditions=3), chord_model(8, conditions=2)]
    for model, bits in zip(models, (16, 32, 16, 32, 16, 16, 32)):
        network = rounded(model.to_numpy(), bits)
        names, sizes, values, bits = live.packed(network, bits)
        packed = {"names": names, "sizes": sizes, "values": values, "bits": bits}
        P = network.n_pitches
        for n_given in (0, 5):
            start = random_roll(rng, n_given, P + network.conditions) if n_given else None
            known = random_roll(rng, 80, network.conditions)
            every = known if start is None else np.vstack([start[:, P:], known])
            for sampling in ("independent", "systematic")[: 1 + (model.chord_units is None)]:
                for temperature, threshold in ((1.3, 0.4), (0.8, 0.0)):
                    how = {"temperature": temperature, "threshold": threshold}
                    how |= {"around": -0.7 * n_given, "density": 1 + n_given / 20}
                    tune, _ = network.gen_music(
                        start, 80, sampling=sampling, seed=5, conditions=known, **how
                    )
                    is_systematic = sampling == "systematic"
                    uniforms = np.random.default_rng(5).random((80, 1 if is_systematic else P))
                    rows = [] if start is None else start[:, :P].tolist()
                    how |= {
                        "conditions": every.tolist(),
                        "start": rows,
                        "uniforms": uniforms.ravel().tolist(),
                        "steps": 80,
                    }
                    requests.append({**packed, **how, "isSystematic": is_systematic})
                    tunes.append(tune)
    for ours, theirs in zip(in_node("compose", requests), tunes):
        assert theirs.any() and not theirs.all()
        np.testing.assert_array_equal(ours, theirs)


def test_half_precision_is_unpacked():
    values = np.array([0, 1, -1.5, 65504, 2**-14, 2**-24, -(2**-20), 0.1], "<f2")
    assert in_node("unpack", [encoded(values.tobytes())]) == [values.astype(float).tolist()]


def test_weights_that_half_precision_cannot_hold_are_packed_in_single_precision():
    network = chord_model(None).to_numpy()
    assert live.packed(network)[-1] == 16
    network.output["bias"][0] = 70000
    assert live.packed(network)[-1] == 32


# ---- MIDI files

READINGS = [
    ReadingOptions((21, 109), 0.15, 4, None, False, False, False, True, False, False),
    ReadingOptions((21, 109), 0.3, None, None, True, True, False, True, False, True),
    ReadingOptions((40, 90), 0.2, 3, None, True, False, True, False, False, True),
    ReadingOptions((21, 109), 0.05, None, 100, False, False, False, False, False, False),
]


def columns(roll):
    return [np.flatnonzero(row).tolist() for row in roll]


def encoded(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("onsets", (True, False))
def test_files_have_the_bytes_that_midiwrite_writes(tmp_path, rng, onsets):
    requests, expected = [], []
    accents = Accents(80.25, [4.5, -2.0] * 8, [-3.0, 0.5, 6.25], [4, 4])
    for steps_per_beat, tempo, meter, first_step, key in (
        (4, 100.0, (4, 4), 0, None),
        (4, 97.3, (3, 4), 9, (-3, True)),
        (3, 140.0, (6, 8), 2, (2, False)),
        (0.5, 60.0, (5, 4), 0, None),
        (2, 60.0, (5, 4), 1, None),
        (7, 88.0, (7, 8), 0, None),
        (None, None, None, None, None),
    ):
        n_steps = 1 if first_step == 1 else 50  # 1: it ends before the first bar line
        roll = np.hstack([random_roll(rng, n_steps, 88) for _ in range(1 + onsets)])
        reading = READINGS[0]._replace(steps_per_beat=steps_per_beat, time_step=0.3, onsets=onsets)
        beats = steps_per_beat and Beats(steps_per_beat, tempo, meter, first_step, key)
        velocity = velocities(roll, beats, accents, onsets=onsets)
        grid = {"beats": beats} if beats else {"dt": 0.3}
        path = tmp_path / "tune.mid"
        midiwrite(path, roll, velocity=velocity, name="Für Élise ♪", onsets=onsets, **grid)
        notes = onset_notes(roll[:, :88], roll[:, 88:] if onsets else None)
        key = key_signature(find_key(roll, onsets=onsets))
        expected.append((notes, velocity[notes[:, 1], notes[:, 0]], key, path.read_bytes()))
        data = {"roll": columns(roll), "name": "Für Élise ♪", "accents": accents._asdict()}
        data |= {"grid": live._grid(reading._asdict()), "beats": live._beats(beats or None)}
        requests.append({**data, "seconds": live._seconds_grid(reading._asdict())})
    for ours, (notes, velocity, key, file) in zip(in_node("write", requests), expected):
        np.testing.assert_array_equal(ours["notes"], notes)
        assert ours["velocities"] == velocity.tolist()
        assert tuple(ours["key"]) == key
        assert base64.b64decode(ours["file"]) == file


def random_file(path, rng):
    """Write a file with overlapping and unended notes, pedals, drums, and changes of all kinds."""
    file = mido.MidiFile(type=int(rng.integers(2)), ticks_per_beat=int(rng.choice([96, 120, 480])))
    for number in range(1 + 2 * (file.type == 1)):
        track = mido.MidiTrack()
        for _ in range(rng.integers(40, 120)):
            how = {"time": int(rng.choice([0, 0, 30, 60, 61, 120]))}
            channel = {"channel": int(rng.choice([number, number, number, 9]))}
            kind = rng.integers(20)
            if kind < 17:
                name = "note_on" if kind < 10 else "note_off"
                pitch, velocity = int(rng.integers(45, 60)), int(rng.integers(1, 128))
                message = mido.Message(name, note=pitch, velocity=velocity, **channel, **how)
            elif kind == 17:
                message = mido.Message(
                    "control_change", control=64, value=int(rng.choice([0, 127])), **channel, **how
                )
            elif kind == 18:
                tempo = int(rng.choice([300_000, 666_667, 800_000]))
                message = mido.MetaMessage("set_tempo", tempo=tempo, **how)
            else:
                message = mido.Message("sysex", data=[1, 2, 3], **how)
            track.append(message)
        meters = [(3, 4), (1, 4), (6, 8), (4, 4)]
        if number == 0 or rng.integers(2):
            for k in rng.integers(0, len(track), rng.integers(3)):
                above, below = meters[rng.integers(4)]
                signature = {"numerator": above, "denominator": below}
                track.insert(0 if k % 2 else k, mido.MetaMessage("time_signature", **signature))
            if rng.integers(2):
                key = mido.MetaMessage("key_signature", key=str(rng.choice(["C", "Eb", "F#m"])))
                track.insert(0, key)
        file.tracks.append(track)
    file.save(path)


def assert_read_alike(ours, start):
    """Assert that a start that the script has read is that of `ReadingOptions.read_tune`."""
    assert len(ours["roll"]) == len(start.roll)
    roll, velocity = np.zeros_like(start.roll), np.zeros_like(start.velocity)
    for t, row in enumerate(ours["roll"]):
        roll[t, row] = 1
        for column, loudness in ours["velocities"][t]:
            velocity[t, column] = loudness
    np.testing.assert_array_equal(roll, start.roll)
    np.testing.assert_array_equal(velocity, start.velocity)
    assert ours["semitones"] == start.semitones
    assert ours["beats"] == json.loads(json.dumps(live._beats(start.beats)))


def test_files_are_read_as_python_reads_them(tmp_path, rng):
    requests, starts = [], []
    for number in range(40):
        path = tmp_path / f"{number}.mid"
        if number < 30:
            random_file(path, rng)
        else:
            beats = Beats(4, 100.0 + number, (3, 4), number % 12, (number % 5, False))
            midiwrite(path, random_roll(rng, 60, 88), beats=beats, format=number % 2)
        for reading in READINGS:
            grid = live._grid(reading._asdict())
            requests.append({"file": encoded(path.read_bytes()), "grid": grid, "most": 40})
            starts.append(reading.read_tune(path, 40))
    for ours, start in zip(in_node("read", requests), starts):
        assert_read_alike(ours, start)


def test_a_tempo_of_zero_is_ignored(tmp_path):
    path, requests = tmp_path / "tune.mid", []
    tempos = [mido.MetaMessage("set_tempo", tempo=tempo) for tempo in (700_000, 0)]
    notes = [mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=960)]
    mido.MidiFile(tracks=[mido.MidiTrack(tempos + notes)]).save(path)
    for reading in READINGS:
        grid = live._grid(reading._asdict())
        requests.append({"file": encoded(path.read_bytes()), "grid": grid, "most": 40})
    for ours, reading in zip(in_node("read", requests), READINGS):
        with pytest.warns(MidiWarning, match="tempo"):
            assert_read_alike(ours, reading.read_tune(path, 40))


def test_files_that_cannot_be_read_are_refused_with_a_sentence(tmp_path, rng):
    path = tmp_path / "tune.mid"
    midiwrite(path, random_roll(rng, 20, 88))
    whole = path.read_bytes()
    silent = tmp_path / "silent.mid"
    midiwrite(silent, np.zeros((9, 88)))
    high = tmp_path / "high.mid"
    midiwrite(high, np.ones((9, 88)), (40, 128))
    long, notes = tmp_path / "long.mid", [mido.Message("note_on", note=60)]
    notes.append(mido.Message("note_off", note=60, time=2**27))
    mido.MidiFile(tracks=[mido.MidiTrack(notes)]).save(long)
    cases = {
        "It is not a MIDI file.": b"MThx" + whole[4:],
        "It is damaged: a track ends too early.": whole[:-10],
        "(format 2)": whole[:9] + b"\x02" + whole[10:],
        "(SMPTE)": whole[:12] + b"\xe8" + whole[13:],
        "a beat has no ticks": whole[:12] + b"\0\0" + whole[14:],
        "It has no notes.": silent.read_bytes(),
        "no notes that the network reads": high.read_bytes(),
        "too long": long.read_bytes(),
    }
    grid = live._grid(READINGS[0]._replace(pitch_range=(21, 40))._asdict())
    requests = [{"file": encoded(data), "grid": grid, "most": 9} for data in cases.values()]
    for answer, expected in zip(in_node("read", requests), cases):
        assert isinstance(answer, str) and expected in answer


# ---- the page

HOSTILE = '</script><img src=x onerror="hacked=2">\'&amp;{{data}}'


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Models of few notes with their pages, and MIDI files."""
    folder, rng = tmp_path_factory.mktemp("live"), np.random.default_rng(4)
    bars = {"steps_per_beat": 2, "onsets": True, "bars": True}
    bars["beats"] = {"tempo": 240, "meter": [3, 4], "first_step": 2}
    accents = Accents(80.25, [4.5, -2.0, 7, 1, 0, 0], [-3.0, 0.5, 6.25], [3, 4])
    bars["accents"] = accents._asdict()
    for name, chord_units, width, conditions, metadata in (
        ("beats", 9, 176, BAR_COLUMNS, bars),
        ("seconds", None, 88, 0, {"time_step": 0.1, "licence": "CC BY"}),
    ):
        model = chord_model(chord_units, io_length=width, conditions=conditions, seed=3)
        model.set_parameters({**model.get_parameters(), "output/bias": rng.normal(-4, 1, width)})
        model.metadata = {**metadata, "lowest_pitch": 21}
        model.saveParameters(folder / name)
    for number in range(2):
        signature = Beats(4, 90.0 + number, (3, 4), 3 * number, (number, False))
        midiwrite(folder / f"{number}.mid", random_roll(rng, 40, 88), beats=signature)
    midiwrite(folder / f"{HOSTILE.replace('/', '')}.mid", random_roll(rng, 9, 88))
    starts = [
        str(path) for path in sorted(folder.glob("*.mid"), key=lambda path: (len(path.name), path))
    ]
    names = ["--title", HOSTILE, "--by", HOSTILE, "--licence", HOSTILE]
    pages = {"beats": [*names, "--bars", "4", "--start-steps", "20", "--start", *starts]}
    pages["seconds"] = ["--steps", "40", "--sampling", "independent"]
    for name, options in pages.items():
        arguments = [str(folder / f"{name}.npz"), "-o", str(folder / f"{name}.html"), *options]
        assert cli.main(["page", *arguments]) == 0
    return folder


@pytest.fixture
def opened(browser, files):
    """Open a page; afterwards, assert that it logged and fetched nothing."""

    def open_(name="beats", width=1000, scheme="light"):
        screen = {"width": width, "height": 1200, "deviceScaleFactor": 2, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get((files / f"{name}.html").as_uri())
        return browser

    browser.get_log("browser")
    yield open_
    assert browser.get_log("browser") == []
    fetched = js(browser, "performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in fetched if not name.startswith(("data:", "blob:"))] == []


def click(browser, name):
    browser.find_element("id", name).click()


def choose(browser, value):
    """Choose what the music begins with."""
    menu = browser.find_element("id", "begin")
    browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
        menu,
        value,
    )


def composed(browser):
    """Return the rows when all are composed."""
    until(browser, "!live.isComposing && live.rows.length")
    return js(browser, "live.rows")


def status(browser):
    return browser.find_element("css selector", ".status[role]").text


@pytest.mark.parametrize("name, sampling", [("beats", "independent"), ("seconds", "independent"),
                                            ("seconds", "systematic")])  # fmt: skip
def test_the_page_composes_the_tunes_of_numpy(opened, files, name, sampling):
    browser = opened(name)
    network = rounded(NumpyNetwork.from_file(files / name), 16)
    how = {"sampling": sampling, "threshold": 0, "temperature": 0.9, "seed": 7}
    if name == "seconds":
        how |= {"threshold": 0.02, "temperature": 1}
        browser.execute_script("document.getElementById('sampling').value = arguments[0]", sampling)
        browser.execute_script("document.getElementById('threshold').value = 0.02")
    metadata = model_file.read(files / name)["metadata"]
    reading = ReadingOptions.of_model(metadata, network.n_pitches)
    for begin in (None, reading.read_tune(files / "1.mid", 20)):
        start, known = begin and begin.roll, None
        if begin and name == "seconds":
            return  # that page has no openings
        if begin:
            choose(browser, "1")
            assert js(browser, "live.start.roll") == columns(start)
        n_steps = js(browser, "live.planned")
        assert n_steps == (40 if name == "seconds" else 28 if start is None else 27)
        uniforms = np.random.default_rng(7).random(
            (n_steps, network.n_pitches if sampling == "independent" else 1)
        )
        browser.execute_script("live.compose(arguments[0])", uniforms.ravel().tolist())
        if name == "beats":
            beats = notation.beats_of(metadata, reading, begin)
            known = bar_columns(beats, n_steps)
            if begin:
                start, known = notation.with_bars(start, beats, n_steps)
        tune, _ = network.gen_music(start, n_steps, conditions=known, **how)
        assert composed(browser) == columns(tune) and tune.any()


def test_it_plays_while_it_composes_pauses_stops_and_goes_on(opened):
    browser = opened()
    assert js(browser, "['play', 'stop', 'continue', 'download'].every((id) => byId(id).disabled)")
    click(browser, "compose")
    assert js(browser, "live.isPlaying")
    until(browser, "live.now > 0.5")
    first = composed(browser)
    until(browser, "live.sound.voices.size")
    wait(browser, lambda: (pixels(browser, "sounding", (20, 300)) < 38).any())  # its keys are lit
    browser.find_element("id", "another").send_keys(" ")  # plays and pauses wherever the focus is
    assert not js(browser, "live.isPlaying") and composed(browser) == first
    at = js(browser, "live.now")
    assert at > 0.5 and js(browser, "live.now") == at
    browser.find_element("css selector", "canvas").send_keys(" ")
    assert js(browser, "live.isPlaying") and js(browser, "live.now") >= at
    browser.find_element("css selector", "details summary").click()
    browser.find_element("id", "seed").send_keys(" ")  # a field for text
    assert js(browser, "live.isPlaying")
    click(browser, "stop")
    assert not js(browser, "live.isPlaying") and js(browser, "live.now") == 0

    click(browser, "continue")
    longer = composed(browser)
    assert longer[: len(first)] == first and len(longer) == len(first) + 24
    click(browser, "another")
    other = composed(browser)
    assert other != first and js(browser, "document.getElementById('seed').value") != "1"
    seed = js(browser, "byId('seed').value")
    browser.execute_script("byId('seed').value = 77")  # of the next piece
    click(browser, "continue")
    composed(browser)
    assert status(browser).startswith(f"Piece {seed}: ")
    browser.execute_script("byId('seed').value = 1; byId('length').value = 8")
    click(browser, "compose")
    assert composed(browser)[: len(longer)] == longer  # of the same seed

    browser.execute_script("byId('length').value = 3000")
    click(browser, "compose")
    until(browser, "live.rows.length > 20")
    click(browser, "stop")
    assert "Stopped after" in status(browser)
    assert 20 < js(browser, "live.rows.length") < 18000
    browser.execute_script("byId('length').value = 2")
    click(browser, "continue")
    whole = composed(browser)
    browser.execute_script("byId('length').value = Math.ceil(live.rows.length / 6) + 1")
    click(browser, "compose")
    assert composed(browser)[: len(whole)] == whole  # none was lost


def test_fields_show_the_values_that_are_used(opened):
    browser = opened()
    for name, written, used in (
        ("length", "1e12", 9999), ("length", "", 4), ("length", "-3", 1), ("length", "2.7", 2),
        ("start-length", "0", 1), ("seed", "-5", 0), ("seed", "", 1), ("threshold", "7", 1),
        ("tempo", "1e9", 1000), ("tempo", "0", 4),
    ):  # fmt: skip
        assert written != js(browser, f"byId('{name}').value")
        field = f"byId('{name}')"
        browser.execute_script(
            f"{field}.value = '{written}'; {field}.dispatchEvent(new Event('change'))"
        )
        assert js(browser, f"{field}.value") == str(used)
    assert js(browser, "live.beats.tempo") == 4
    assert js(browser, "live.planned") == 4 + 2 * 6  # an upbeat and two bars


def test_a_part_is_repeated_until_the_loop_is_ended(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    browser = opened()
    browser.execute_script("live.compose()")
    composed(browser)
    browser.execute_script("live.pause(); live.seek(1)")
    click(browser, "loop")
    browser.execute_script("live.seek(1.5)")
    click(browser, "loop")
    assert js(browser, "[live.region.begin, live.region.end]") == [8, 12]
    browser.execute_script("live.play()")
    begin = js(browser, "live.sound.now")
    positions = set()
    while js(browser, "live.sound.now") < begin + 1.5:
        positions.add(js(browser, "live.now"))
    assert 0.9 <= min(positions) < 1.2 < max(positions) <= 1.6
    click(browser, "loop")
    until(browser, "live.now > 1.7 || !live.isPlaying")  # it may have ended on a busy machine

    browser.execute_script("live.pause()")
    canvas = browser.find_element("css selector", "canvas")
    begin, end = (js(browser, f"live.x({step}) - live.canvas.clientWidth / 2") for step in (4, 8))
    drag = ActionChains(browser).move_to_element_with_offset(canvas, round(begin), 0)
    below = canvas.size["height"] // 2 + 20  # outside the canvas
    drag.click_and_hold().move_by_offset(round(end - begin), below).release().perform()
    assert js(browser, "[live.region.begin, live.region.end, live.at]") == [4, 8, 0.5]


def test_the_file_is_what_midiwrite_writes(opened, browser, files):
    opened()
    choose(browser, "1")
    browser.execute_script("live.compose()")
    rows = js(browser, "live.start.roll") + composed(browser)
    click(browser, "download")
    name = browser.find_element("id", "download").get_attribute("data-file")
    path = browser.downloads / name.replace(".mid", "-1.mid")  # of seed 1
    wait(browser, lambda: path.exists() and path.stat().st_size)
    content = midiread(path, steps_per_beat=2)
    roll = np.zeros((len(rows), 176))
    for t, row in enumerate(rows):
        roll[t, row] = 1
    np.testing.assert_array_equal(content.piano_roll, roll[:, :88])
    np.testing.assert_array_equal(content.onset_roll, canonical_onsets(*split_onsets(roll)))
    metadata = model_file.read(files / "beats")["metadata"]
    reading = ReadingOptions.of_model(metadata, 176)
    start = reading.read_tune(files / "1.mid", 20)
    beats = notation.beats_of(metadata, reading, start)
    assert content.beats == beats and beats.tempo == 91
    expected = files / "expected.mid"
    velocity = notation.velocities_of(metadata, reading, beats, roll[len(start.roll) :], start)
    how = {"velocity": velocity, "onsets": True, "beats": beats, "name": HOSTILE}
    midiwrite(expected, roll, **how)
    assert path.read_bytes() == expected.read_bytes()


def test_a_dropped_file_is_continued_or_refused(opened, browser, files):
    opened("seconds")
    drop = """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], arguments[1]));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
    """
    reading = ReadingOptions(
        (21, 109), 0.1, *(None, None, False, False, False, False, False, False)
    )
    for number in (0, 1):
        path = files / f"{number}.mid"
        browser.execute_script(drop, encoded(path.read_bytes()), path.name)
        until(browser, f"live.fileName === '{path.name}'")
        assert js(browser, "live.start.roll") == columns(reading.read_tune(path, 16).roll)
        assert path.name in status(browser)
    browser.execute_script(drop, encoded(path.read_bytes()[:99]), HOSTILE)
    wait(browser, lambda: "cannot be used" in status(browser))
    assert status(browser) == f"{HOSTILE} cannot be used. It is damaged: a track ends too early."
    browser.find_element("id", "file").send_keys(str(files / "0.mid"))
    until(browser, "live.fileName === '0.mid'")


def test_notes_are_typed_on_the_keys_and_on_the_roll(opened, browser):
    from selenium.webdriver.common.action_chains import ActionChains

    opened()
    choose(browser, "notes")
    for name in ("C4", "E4", "F♯4"):
        browser.find_element("css selector", f'.piano [aria-label="{name}"]').click()
    assert js(browser, "live.typed.map((note) => [note.pitch, note.step, note.length])") == [
        [60, 0, 2], [64, 2, 2], [66, 4, 2],
    ]  # fmt: skip
    canvas = browser.find_element("css selector", "canvas")
    x, y = js(browser, "[live.x(-live.given + 1.5), 16 + (live.high - 48 + 0.5) * live.row]")
    side, top = canvas.size["width"] / 2, canvas.size["height"] / 2
    move = ActionChains(browser).move_to_element_with_offset
    move(canvas, round(x - side), round(y - top)).click().perform()
    assert js(browser, "nameOf(live.hover.pitch)") == "C3"
    assert js(browser, "live.start.roll.slice(0, 4)") == [
        [39, 127],
        [27, 39, 115],
        [27, 43, 131],
        [43],
    ]
    move(canvas, round(x - side), round(y - top)).click().perform()
    assert js(browser, "live.start.roll.slice(0, 3)") == [[39, 127], [39], [43, 131]]
    click(browser, "compose")
    composed(browser)
    click(browser, "clear")
    assert js(browser, "live.start.roll.length + live.rows.length") == 0


def test_hostile_text_is_shown_as_text(opened, files):
    browser = opened()
    assert js(browser, "document.title") == HOSTILE
    assert js(browser, "document.querySelector('.by').textContent") == (
        f"by {HOSTILE} · licence: {HOSTILE}"
    )
    assert js(browser, "byId('begin').options[3].textContent") == HOSTILE.replace("/", "")
    assert js(browser, "typeof window.hacked") == "undefined"
    assert js(browser, "document.images.length") == 0
    document = (files / "beats.html").read_text("utf8")
    assert HOSTILE not in document and "<img" not in document


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_with_contrast_and_names(opened, scheme):
    browser = opened(width=360, scheme=scheme)
    choose(browser, "notes")
    browser.execute_script(
        "for (const part of document.querySelectorAll('details')) part.open = true"
    )
    click(browser, "compose")
    composed(browser)
    assert js(browser, "document.scrollingElement.scrollWidth") <= 360
    ratios = contrasts(browser)
    assert min(ratios["text"]) >= 4.5 and min(ratios["notes"]) >= 3
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if any(p["name"] == "focusable" for p in node.get("properties", ())) and not node["ignored"]
    ]
    assert len(names) > 30 and [role for role, name in names if not name] == []


def test_the_page_cannot_fetch_and_needs_workers(opened, browser, files):
    opened()
    script = (
        "const done = arguments[0]; fetch('data:,x').then(() => done('fetched'), () => done('no'))"
    )
    assert browser.execute_async_script(script) == "no"
    assert all(
        "Content Security Policy" in entry["message"] for entry in browser.get_log("browser")
    )
    (policy,) = re.findall(
        r'Content-Security-Policy" content="([^"]*)"', (files / "beats.html").read_text("utf8")
    )
    assert "default-src 'none'" in policy and "worker-src blob:" in policy
    without = {"source": "delete window.Worker"}
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", without)
    try:
        opened()
        assert "no Web Workers" in status(browser)
        assert js(browser, "byId('compose').disabled")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


# ---- the command


def test_the_command_refuses_what_it_cannot_use(files, capsys):
    model, page = str(files / "seconds"), str(files / "again.html")
    for options, expected in (
        (["missing.npz", "-o", page], "there is no file missing.npz"),
        ([model, "-o", "page.txt"], "page.txt must end in .html or .htm"),
        ([model, "-o", page, "--bars", "4"], "--bars has no effect without a model whose steps"),
        ([model, "-o", page, "--start", model + ".npz"], "--start needs a MIDI file"),
        ([str(files / "beats"), "-o", page, "--steps", "4"], "--steps has no effect without"),
        (
            [str(files / "beats"), "-o", page, "--sampling", "systematic"],
            "--sampling has no effect",
        ),
        ([str(files / "0.mid"), "-o", page], "page needs a model"),
    ):
        assert cli.main(["page", *options]) == 1
        assert expected in capsys.readouterr().err
    assert not Path(page).exists()


def test_the_command_refuses_metadata_that_compose_refuses(files, tmp_path, capsys):
    model, path = chord_model(None, io_length=88), str(tmp_path / "model")
    start = ["--start", str(files / "0.mid")]
    for facts, flags in (
        ({"lowest_pitch": 100}, []),
        ({"lowest_pitch": 21, "time_step": 1e-9}, []),
        ({"lowest_pitch": 21, "time_step": 0.1, "tempo": "fast"}, start),
        ({"lowest_pitch": 21, "time_step": 0.1, "tempo": -5}, start),
    ):
        model.metadata = facts
        model.saveParameters(path)
        tune, page = tmp_path / "tune.mid", tmp_path / "page.html"
        assert cli.main(["compose", path, "--steps", "1", "-o", str(tune), *flags]) == 1
        expected = capsys.readouterr().err.splitlines()[-1]
        assert cli.main(["page", path, "-o", str(page)]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == expected
        assert not page.exists()


def test_a_page_is_written_to_the_home_folder(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["page", str(files / "seconds"), "-o", "~/page.html"]) == 0
    assert (tmp_path / "page.html").exists()


def test_the_command_says_what_it_wrote(files, capsys):
    arguments = ["page", str(files / "seconds"), "-o", str(files / "again.html")]
    assert cli.main(arguments) == 0
    assert re.search(
        r"wrote .*again.html, 0\.\d MB; open it in a browser\n$", capsys.readouterr().out
    )
    assert cli.main([*arguments, "--json", "--seed", "5", "--temperature", "1.25"]) == 0
    values = json.loads(capsys.readouterr().out)
    document = (files / "again.html").read_text("utf8")
    assert values["replaced"] and values["bytes"] == len(document.encode())
    assert values["title"] == "seconds" and "<title>seconds</title>" in document
    assert cli.main([*arguments, "--temperature", "5", "--density", "0.93"]) == 0
    sliders = (files / "again.html").read_text("utf8")
    assert 'min="0.1" max="5" step="0.05" value="5"' in sliders
    assert 'min="0.25" max="4" step="0.01" value="0.93"' in sliders
    assert 'value="5"' in document and 'value="1.25"' in document and "licence: CC BY" in document
