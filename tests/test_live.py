"""The page in which a network composes: the network and the MIDI files of its script, in Node."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import mido
import numpy as np
import pytest
from conftest import SIZES, chord_model, random_roll

from midi import Beats, midiwrite, onset_notes
from rnn4music.data.accents import Accents, velocities
from rnn4music.data.keys import find_key, key_signature
from rnn4music.experiment.music import ReadingOptions
from rnn4music.render import live

P = SIZES["io_length"]
SCRIPTS = Path(live.__file__).parent
DRIVER = """
const { Network, Composer, unpacked } = require(process.argv[1] + "/network.js");
const music = require(process.argv[1] + "/music.js");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const entries = (rows) => rows.map((row) => [...row]);
const does = {
  compose({ names, sizes, values, bits, start, steps, uniforms, ...options }) {
    let k = 0;
    const network = new Network(names, sizes, unpacked(values, bits));
    const composer = new Composer(network, start, { ...options, random: () => uniforms[k++] });
    return Array.from({ length: steps }, () => Array.from(composer.next()));
  },
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
        ["node", "-e", DRIVER, str(SCRIPTS)], input=asked, capture_output=True, text=True
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
    for model, bits in zip([*models, trained], (16, 32, 16, 32, 16)):
        for start in (None, random_roll(rng, 5, model.io_length)):
            network = model.to_numpy()
            names, sizes, values, bits = live.packed(network, bits)
            packed = {"names": names, "sizes": sizes, "values": values, "bits": bits}
            rounded(network, bits)
            for sampling in ("independent", "systematic")[: 1 + (model.chord_units is None)]:
                for temperature, threshold in ((1.3, 0.4), (0.8, 0.0)):
                    how = {"temperature": temperature, "threshold": threshold}
                    tune, _ = network.gen_music(start, 80, sampling=sampling, seed=5, **how)
                    is_systematic = sampling == "systematic"
                    n_random = 1 if is_systematic else network.n_pitches
                    uniforms = np.random.default_rng(5).random((80, n_random))
                    rows = [] if start is None else start.tolist()
                    how |= {"start": rows, "uniforms": uniforms.ravel().tolist(), "steps": 80}
                    requests.append({**packed, **how, "isSystematic": is_systematic})
                    tunes.append(tune)
    for ours, theirs in zip(in_node("compose", requests), tunes):
        assert theirs.any() and not theirs.all()
        np.testing.assert_array_equal(ours, theirs)


def test_weights_that_half_precision_cannot_hold_are_packed_in_single_precision():
    network = chord_model(None).to_numpy()
    assert live.packed(network)[-1] == 16
    network.output["bias"][0] = 70000
    assert live.packed(network)[-1] == 32


# ---- MIDI files

READINGS = [
    ReadingOptions((21, 109), 0.15, 4, None, False, False, False, True, False),
    ReadingOptions((21, 109), 0.3, None, None, True, True, False, True, True),
    ReadingOptions((40, 90), 0.2, 3, None, True, False, True, False, True),
    ReadingOptions((21, 109), 0.05, None, 100, False, False, False, False, False),
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
        (0.5, 60.0, (5, 4), 1, None),
        (7, 88.0, (7, 8), 0, None),
        (None, None, None, None, None),
    ):
        roll = np.hstack([random_roll(rng, 50, 88), random_roll(rng, 50, 88)])[
            :, : 88 * (1 + onsets)
        ]
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
        if number == 0:
            meters = [(3, 4), (1, 4), (6, 8), (4, 4)]
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
