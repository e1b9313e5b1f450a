/* Music for the page that composes: rolls, keys and accents, and MIDI files read and written.

The rules are those of the packages midi and rnn4music.data, where they are explained. A file that
is written here has the bytes that midiwrite writes.

Conventions
-----------
A roll is a list of rows, and a row the list of its columns that are on: first the P sounding
columns, then, with onsets, the P struck ones. Column 0 is the pitch `lowest`. A fraction is a list
of two whole numbers. `grid` describes a model's rolls: pitches (P), lowest, onsets, step (a
fraction of a quarter note, or of a second), inBeats, tempo (of all files, or null), sustain, keepShort,
keepSilence, toC, and bars, whether the model is told the place of each step in its bar. `beats`
are { tempo, meter, firstStep, key }, or null for a model that reads in seconds. */
"use strict";

const PROFILES = [  // the share of each pitch class above the tonic, in major and in minor
  [0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081],
  [0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052],
];
const USUAL_VELOCITY = 90, MOST_SHARPS = 7, LONGEST_FILE = 200000;  // steps

class MidiError extends Error {}

const modulo = (a, n) => (a % n + n) % n;
const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const greatest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const commonDivisor = (a, b) => b ? commonDivisor(b, a % b) : a;
const commonMultiple = (a, b) => a / commonDivisor(a, b) * b;

/* ---- rolls */

/* The quarter notes of a bar. */
function barLength([number, unit]) {
  return 4 * number / unit;
}

/* The steps of a bar, as a fraction and as a number. */
function barFraction({ meter: [number, unit] }, { step: [above, below] }) {
  return [4 * number * below, unit * above];
}

function barSteps(beats, grid) {
  const [above, below] = barFraction(beats, grid);
  return above / below;
}

/* The notes of a roll as (column, first step, end), by column; sustained notes struck again are two. */
function notesOf(roll, grid) {
  const open = new Map(), notes = Array.from({ length: grid.pitches }, () => []);
  roll.forEach((row, t) => {
    const on = new Set(row);
    for (const [column, first] of [...open]) {
      if (on.has(column) && !on.has(column + grid.pitches)) continue;
      notes[column].push([column, first, t]);
      open.delete(column);
    }
    for (const column of row) if (column < grid.pitches && !open.has(column)) open.set(column, t);
  });
  for (const [column, first] of open) notes[column].push([column, first, roll.length]);
  return notes.flat();
}

/* A roll shifted upwards; what leaves the range of pitches is dropped. */
function transposed(roll, semitones, { pitches }) {
  const shifted = (column) => column % pitches + semitones;
  const stays = (column) => shifted(column) >= 0 && shifted(column) < pitches;
  return roll.map((row) => row.filter(stays).map((column) => column + semitones));
}

/* The velocity of each note: its place in the bar and in the chord decide it (data/accents.py). */
function velocitiesOf(notes, roll, grid, beats, accents) {
  if (!accents) return notes.map(() => USUAL_VELOCITY);
  const steps = beats ? barSteps(beats, grid) : 1;
  const period = Number.isInteger(steps) && steps <= 500 ? steps : 1;
  const isOther = beats && period > 1 && accents.meter && String(beats.meter) !== String(accents.meter);
  const { positions, heights, mean } = accents, hasPositions = !isOther && positions.length === period;
  return notes.map(([column, first]) => {
    const chord = roll[first].filter((column) => column < grid.pitches);
    const position = ((beats ? beats.firstStep : 0) + first) % period;
    const height = column === Math.max(...chord) ? 2 : column === Math.min(...chord) ? 0 : 1;
    const value = mean + (hasPositions ? positions[position] : 0) + heights[height];
    return Math.max(1, Math.min(127, rounded(value)));
  });
}

/* The nearest whole number, of two the even one. */
function rounded(value) {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? 2 * Math.round(value / 2) : Math.round(value);
}

/* The key of a roll as tonic and whether it is minor, or null for silence (data/keys.py). */
function findKey(roll, grid) {
  const share = new Array(12).fill(0);
  let n = 0, best = null, nearest = Infinity;
  for (const column of roll.flat()) {
    if (column >= grid.pitches) continue;
    share[(column + grid.lowest) % 12]++;
    n++;
  }
  PROFILES.forEach((profile, isMinor) => {
    for (let tonic = 0; n && tonic < 12; tonic++) {
      const distance = Math.hypot(...share.map((s, k) => s / n - profile[modulo(k - tonic, 12)]));
      if (distance < nearest) [nearest, best] = [distance, { tonic, isMinor: Boolean(isMinor) }];
    }
  });
  return best;
}

/* The key signature of a key: the number of sharps, or below 0 of flats, and whether it is minor. */
function signatureOf(key) {
  return key && [modulo(7 * (key.tonic + (key.isMinor ? 3 : 0)) + 5, 12) - 5, key.isMinor];
}

/* ---- writing */

/* A Standard MIDI File of notes (column, first, end); `seconds` is the grid if there are no beats. */
function writeMidi(name, notes, velocities, steps, grid, beats, seconds) {
  const tempo = beats ? Math.round(60e6 / beats.tempo) : seconds.tempo;
  const division = beats ? divisionOf(grid, beats) : seconds.division;
  const [above, below] = beats ? grid.step.map((n, k) => k ? n : n * division) : seconds.ticks;
  const tick = (k) => Math.floor(beats ? (2 * k * above + below) / (2 * below) : k * above / below);
  const text = [...new TextEncoder().encode(name)];
  const events = text.length ? [[0, 0, meta(0x03, text)]] : [];
  events.push([0, 0, meta(0x51, bigEndian(tempo, 3))]);
  if (beats) events.push(...signatures(beats, grid, division, tick(steps)));
  events.push([0, 1, [0xc0, 0]]);
  notes.forEach(([column, first, end], k) => {
    events.push([tick(end), 2, [0x80, column + grid.lowest, 0]]);
    events.push([tick(first), 3, [0x90, column + grid.lowest, velocities[k]]]);
  });
  events.sort((a, b) => a[0] - b[0] || a[1] - b[1]);  // ends first at each tick
  events.push([tick(steps), 4, [0xff, 0x2f, 0]]);
  let now = 0;
  const track = [];
  for (const [at, , message] of events) {
    track.push(...variableLength(at - now), ...message);
    now = at;
  }
  const header = [...letters("MThd"), ...bigEndian(6, 4), 0, 0, 0, 1, ...bigEndian(division, 2)];
  return new Uint8Array([...header, ...letters("MTrk"), ...bigEndian(track.length, 4), ...track]);
}

/* Ticks per quarter note, of which a step, and a bar where that is possible, is a whole number. */
function divisionOf(grid, beats) {
  const [number, unit] = beats.meter;
  let parts = grid.step[1];
  const withBars = commonMultiple(parts, unit / commonDivisor(4 * number, unit));
  if (withBars < 2 ** 15) parts = withBars;
  const division = commonMultiple(480, parts);
  if (division < 2 ** 15) return division;
  return parts < 2 ** 15 ? parts * Math.max(Math.floor(480 / parts), 1) : 32000;
}

function signatures({ meter, firstStep, key }, grid, division, end) {
  const upbeat = (barSteps({ meter }, grid) - firstStep) * grid.step[0] / grid.step[1];
  const bar = Math.floor(upbeat * division + 0.5), events = [[0, 0, timeSignature(meter)]];
  if (firstStep && bar <= end) {
    events.push([bar, 0, events[0][2]]);
    let unit = meter[1];
    while (unit < 64 && upbeat / 4 * unit % 1) unit *= 2;
    const number = upbeat / 4 * unit;  // not whole in triplets, which no time signature has
    if (number % 1 === 0 && number >= 1 && number < 256) events[0] = [0, 0, timeSignature([number, unit])];
  }
  if (key) events.splice(1, 0, [0, 0, meta(0x59, [(key[0] + 256) % 256, Number(key[1])])]);
  return events;
}

function timeSignature([number, unit]) {
  const isCompound = unit >= 8 && number > 3 && number % 3 === 0;
  const click = Math.max(Math.floor(96 / unit) * (isCompound ? 3 : 1), 1);
  return meta(0x58, [number, Math.log2(unit), click, 8]);
}

function meta(kind, data) {
  return [0xff, kind, ...variableLength(data.length), ...data];
}

function variableLength(value) {
  const bytes = [value & 0x7f];
  while ((value = Math.floor(value / 128))) bytes.unshift(value & 0x7f | 0x80);
  return bytes;
}

function bigEndian(value, n) {
  return Array.from({ length: n }, (_, k) => Math.floor(value / 256 ** (n - 1 - k)) % 256);
}

function letters(text) {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

/* ---- reading */

/* The events of a file of format 0 or 1: { division, notes, pedals, tempos, meters, keys, end }, in ticks. */
function readMidi(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isAt = (place, text) => letters(text).every((letter, k) => bytes[place + k] === letter);
  let at = isAt(0, "RIFF") && isAt(8, "RMID") ? 20 : 0;
  if (!isAt(at, "MThd") || bytes.length < at + 14) throw new MidiError("It is not a MIDI file.");
  const format = view.getUint16(at + 8), division = view.getUint16(at + 12);
  const unread = "which this page does not read.";
  if (format > 1) throw new MidiError(`Its tracks are independent pieces (format 2), ${unread}`);
  if (division & 0x8000) throw new MidiError(`It counts frames of film (SMPTE), not beats, ${unread}`);
  if (!division) throw new MidiError("It is damaged: a beat has no ticks.");
  const file = { division, notes: [], pedals: [], tempos: [], meters: [], keys: [], end: 0, sent: 0 };
  at += 8 + view.getUint32(at + 4);
  for (let track = 0; at + 8 <= bytes.length;) {
    const begin = at + 8, length = view.getUint32(at + 4);
    if (isAt(at, "MTrk")) readTrack(bytes.subarray(begin, begin + length), track++, file);
    at = begin + length;
  }
  file.tempos.sort((a, b) => a.tick - b.tick);
  for (const list of [file.meters, file.keys]) {
    list.sort((a, b) => a.tick - b.tick || b.track - a.track);  // at one tick the first track counts
  }
  return file;
}

function readTrack(bytes, track, file) {
  let at = 0, tick = 0, status = 0;
  const events = new Map();  // starts and ends by channel and pitch
  const byte = () => {
    if (at >= bytes.length) throw new MidiError("It is damaged: a track ends too early.");
    return bytes[at++];
  };
  const place = () => tick * 2 ** 22 + file.sent++;  // in the order of the file at each tick
  const quantity = () => {
    let value = 0, next;
    do value = value * 128 + ((next = byte()) & 0x7f); while (next & 0x80);
    return value;
  };
  const data = () => {
    const n = quantity();
    at += n;
    if (at > bytes.length) throw new MidiError("It is damaged: a track ends too early.");
    return bytes.subarray(at - n, at);
  };
  while (at < bytes.length) {
    tick += quantity();
    const next = byte();
    if (next === 0xff) {
      const kind = byte(), [a, b, c] = data();
      if (kind === 0x2f) break;
      const tempo = a * 65536 + b * 256 + c;
      if (kind === 0x51 && tempo) file.tempos.push({ tick, value: tempo });
      if (kind === 0x58 && a && b < 7) file.meters.push({ tick, track, value: [a, 2 ** b] });
      if (kind === 0x59 && b < 2 && (a <= MOST_SHARPS || a >= 256 - MOST_SHARPS)) {
        file.keys.push({ tick, track, value: [a > 127 ? a - 256 : a, b === 1] });
      }
    } else if (next === 0xf0 || next === 0xf7) data();
    else {
      if (next & 0x80) status = next;
      else at--;  // running status
      const kind = status & 0xf0, channel = status & 0x0f;
      if (kind < 0x80 || kind === 0xf0) throw new MidiError("It is damaged: an event has no kind.");
      const first = byte(), second = kind === 0xc0 || kind === 0xd0 ? 0 : byte();
      if (kind === 0xb0 && first === 64) {
        file.pedals.push({ tick, place: place(), channel, isDown: second >= 64 });
      }
      if ((kind === 0x80 || kind === 0x90) && channel !== 9) {  // channel 10 is drums
        const voice = 128 * channel + first;
        if (!events.has(voice)) events.set(voice, []);
        events.get(voice).push({ tick, place: place(), velocity: kind === 0x90 ? second : 0 });
      }
    }
  }
  file.end = Math.max(file.end, tick);
  for (const [voice, list] of events) file.notes.push(...paired(list, voice % 128, voice >> 7));
}

/* Pair the starts and ends of a voice: the first start that sounds ends first. A start above whose
   level the number of sounding notes stays has lost its end; it ends where its pitch is struck next. */
function paired(events, pitch, channel) {
  const open = [], ends = [], starts = [];
  for (const event of events) {
    if (event.velocity) {
      starts.push(event);
      open.push(event);
    } else if (open.length) {
      open.pop();
      ends.push(event);
    }
  }
  const lost = new Set(open);
  return starts.flatMap((start, k) => {
    const end = lost.has(start) ? starts[k + 1] : ends.shift();
    return end ? [{ ...start, pitch, channel, end: end.tick, endPlace: end.place }] : [];
  });
}

/* The beginning of a file as a model reads it: { roll, velocities, semitones, beats }. */
function startOf(file, grid, most) {
  const { division } = file, notes = file.notes.map((note) => ({ ...note }));
  if (grid.sustain) holdNotes(notes, file);
  const firstTick = least(notes.map((note) => note.tick));
  const lastTick = Math.max(firstTick + 1, greatest(notes.map((note) => note.end)));
  if (!notes.length) throw new MidiError("It has no notes.");
  const [above, below] = grid.step, units = secondsClock(file, grid.tempo);
  const seconds = (tick) => units(tick) * below / (above * division * 1e6);  // in steps
  const frame = grid.inBeats
    ? (tick, parts = 1) => Math.floor((2 * tick * below * parts + above * division) / (2 * above * division))
    : (tick) => Math.ceil(seconds(tick));
  for (const note of notes) {
    note.first = frame(note.tick);
    note.last = frame(note.end);
    if (note.first < note.last || note.tick >= note.end) continue;
    const isKept = grid.keepShort || (grid.inBeats && frame(note.tick, 4) === 4 * note.first);
    if (isKept && grid.inBeats) note.last++;
    else if (isKept) note.first--;
  }
  const silence = grid.keepSilence ? Infinity : Math.ceil((grid.inBeats ? 2 : 1) * below / above);
  const isWhole = grid.inBeats || !grid.keepShort;  // steps before the first note
  const first = isWhole ? least(notes.map((note) => note.first)) : Math.floor(seconds(firstTick));
  const last = greatest(notes.map((note) => note.last));
  const begin = first > silence ? first : 0;
  const length = Math.min(Math.max(frame(file.end), last), last + silence) - begin;
  if (length > LONGEST_FILE) throw new MidiError("It is too long for this page.");
  const cells = Array.from({ length }, () => new Map());  // pitch to velocity, 0 where it is held
  for (const { pitch, velocity, first, last } of notes) {
    for (let t = Math.max(first - begin, 0); t < Math.min(last - begin, length); t++) {
      const loudness = t === first - begin ? velocity : 0;
      cells[t].set(pitch, Math.max(loudness, cells[t].get(pitch) || 0));
    }
  }
  const beats = grid.inBeats ? beatsOf(file, grid, begin, firstTick, lastTick) : null;
  return { ...asStart(cells, grid, most), beats };
}

/* The first steps of a tune, given as the velocities of its pitches (0 where a note is held) at each
   step: { roll, velocities, semitones }, transposed for a model of C major and A minor alone. */
function asStart(cells, grid, most) {
  const every = { pitches: 128, lowest: 0 };
  const key = grid.toC ? findKey(cells.map((row) => [...row.keys()]), every) : null;
  const semitones = key ? modulo((key.isMinor ? 9 : 0) - key.tonic + 6, 12) - 6 : 0;
  const velocities = cells.slice(0, most).map((row) => new Map(
    [...row].map(([pitch, velocity]) => [pitch + semitones - grid.lowest, velocity])
      .filter(([column]) => column >= 0 && column < grid.pitches)
      .sort(([a], [b]) => a - b)));
  const roll = velocities.map((row) => {
    const struck = [...row].filter(([, velocity]) => velocity).map(([column]) => column + grid.pitches);
    return [...row.keys(), ...(grid.onsets ? struck : [])];
  });
  if (!roll.flat().length) throw new MidiError("Its beginning has no notes that the network reads.");
  return { roll, velocities, semitones };
}

/* Lengthen notes that end while the sustain pedal is down until it is lifted. */
function holdNotes(notes, { pedals, end }) {
  const held = new Map();  // channels whose pedal is down, to their notes that have ended since
  const release = (channel, tick) => {
    for (const note of held.get(channel) || []) note.end = tick;
    held.delete(channel);
  };
  const ends = notes.map((note) => ({ note, place: note.endPlace, channel: note.channel }));
  const events = [...pedals, ...ends].sort((a, b) => a.place - b.place);
  for (const { note, channel, tick, isDown } of events) {
    if (note) held.get(channel)?.push(note);
    else if (!isDown) release(channel, tick);
    else if (!held.has(channel)) held.set(channel, []);
  }
  for (const channel of [...held.keys()]) release(channel, end);
}

/* A function from a tick to millionths of a second, times the ticks of a quarter note. */
function secondsClock({ tempos }, tempo) {
  let passed = 0, last = { tick: 0, value: 500000 };
  const segments = [{ ...last, passed }];
  for (const change of tempo ? [{ tick: 0, value: 60e6 / tempo }] : tempos) {
    passed += (change.tick - last.tick) * last.value;
    segments.push({ ...change, passed });
    last = change;
  }
  return (tick) => {
    const { tick: begin, value, passed } = segments.findLast((each) => each.tick <= tick);
    return passed + (tick - begin) * value;
  };
}

/* Tempo, metre and key of most of the music, and the place in its bar of the first step. */
function beatsOf({ division, tempos, meters, keys }, grid, begin, firstTick, lastTick) {
  const spans = (changes) => changes.map(({ tick, value }, k) => {
    const end = Math.min(changes[k + 1] ? changes[k + 1].tick : lastTick, lastTick);
    return { tick, value, end, length: Math.max(0, end - Math.max(tick, firstTick)) };
  });
  const most = (changes) => {
    const lengths = new Map();
    for (const { value, length } of spans(changes)) {
      lengths.set(String(value), (lengths.get(String(value)) || 0) + length);
    }
    const longest = Math.max(...lengths.values());
    return changes.find(({ value }) => lengths.get(String(value)) === longest).value;
  };
  const counted = meters.filter(({ tick }, k) => !meters[k + 1] || meters[k + 1].tick > tick);
  if (!counted.length || counted[0].tick > 0) counted.unshift({ tick: 0, value: [4, 4] });
  if (counted.length > 1) {
    const [own, following] = counted.map(({ value }) => barLength(value) * division);
    if (counted[1].tick <= own && counted[1].tick < following) counted.shift();  // an upbeat
  }
  const meter = most(counted), ticks = grid.step[0] / grid.step[1] * division;
  const own = spans(counted).filter(({ value }) => String(value) === String(meter));
  const bar = (own.find(({ end }) => begin * ticks + ticks / 2 <= end) || own.at(-1)).tick;
  const steps = barSteps({ meter }, grid);
  const firstStep = Math.ceil(modulo((begin * ticks - bar) / ticks, steps) - 0.5);
  const lengths = spans([{ tick: 0, value: 500000 }, ...tempos]).sort((a, b) => a.value - b.value);
  const half = lengths.reduce((sum, { length }) => sum + length, 0) / 2;
  let passed = 0;
  const { value } = lengths.find(({ length }) => (passed += length) >= half);
  const exact = 60e6 / value;
  const shorter = [0, 1, 2, 3].map((n) => Number(exact.toFixed(n)));
  const tempo = shorter.find((tempo) => Math.round(60e6 / tempo) === value) || exact;
  const key = keys.length ? most(keys) : null;
  return { tempo: grid.tempo || tempo, meter, firstStep: firstStep >= steps ? 0 : firstStep, key };
}

if (typeof module === "object") {
  module.exports = { notesOf, velocitiesOf, findKey, signatureOf, writeMidi, readMidi, startOf, MidiError };
}
