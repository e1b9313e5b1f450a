/* The page that composes: the network in its worker, the player, the roll and the controls. */
"use strict";

const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯", "A", "B♭", "B"];
const LEAST_VIEW = [43, 79], KEYBOARD = [60, 84];  // pitches
const AHEAD = 0.3, AHEAD_HIDDEN = 1.5;  // seconds of sound to schedule; hidden pages have slow timers
const IVORY = "#fffefc", EBONY = "#20242a";  // keys at the left edge, in both colour schemes
const SILENCE = { roll: [], velocities: [], semitones: 0, beats: null };
const byId = (id) => document.getElementById(id);
const nameOf = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;
const counted = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/* The number in a field, within its limits, which the field then shows; `usual` replaces none. */
function numberIn(id, usual = byId(id).defaultValue) {
  const field = byId(id), written = field.value === "" ? Number(usual) : Number(field.value);
  const whole = field.step === "any" ? written : Math.floor(written);
  const value = Math.max(field.min, Math.min(field.max, whole));
  if (field.value === "" || Number(field.value) !== value) field.value = value;
  return value;
}

class LiveRoll extends Roll {
  constructor(section, data) {
    super(section);
    Object.assign(this, data);  // as live.py describes it
    this.section = section;
    this.voices = new Map();  // sounding pitches to voices
    this.typed = [];  // notes of the user: { pitch, step, length }
    this.job = 0;
    this.at = 0;  // seconds, while it does not play
    this.nameRight = GUTTER - 17;  // beside the keys
    this.colour();
    this.choose(SILENCE);
    this.addKeys();
    this.listen();
    this.listenToRoll();
    this.hear();
    this.layOut();
  }

  /* ---- the network in its worker */

  hear() {
    try {
      const code = new Blob([byId("network").textContent], { type: "text/javascript" });
      this.worker = new Worker(URL.createObjectURL(code));
    } catch {
      this.say("This browser has no Web Workers, without which the page cannot compose.", true);
      for (const id of ["compose", "another"]) byId(id).disabled = true;
      return;
    }
    const { names, sizes, bits } = this;
    this.worker.postMessage({ names, sizes, bits, weights: byId("weights").textContent });
    byId("weights").remove();
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => this.say(`The network cannot compose here: ${event.message}`, true);
  }

  /* Compose a piece from the beginning. `uniforms` replace the numbers of the random generator. */
  compose(uniforms) {
    this.pause();
    this.at = 0;
    this.rows = [];
    this.region = null;
    this.nameLoop();
    this.planned = this.wanted(this.start.roll.length);
    this.seed = numberIn("seed");
    this.worker.postMessage({
      job: this.piece = ++this.job, start: this.start.roll, steps: this.planned,
      seed: this.seed,
      temperature: Number(byId("temperature").value), threshold: numberIn("threshold"),
      around: this.around, density: Number(byId("density").value),
      isSystematic: !this.hasChords && byId("sampling").value === "systematic", uniforms,
      bar: this.grid.bars
        ? { first: this.firstStep, counts: this.counts, length: barFraction(this.beats, this.grid) } : null,
    });
    this.begin();
  }

  /* Compose more after the end. */
  extend() {
    if (!this.isPlaying) this.at = this.seconds;  // what is new is heard
    const steps = this.wanted(this.given + this.rows.length);
    this.planned = this.rows.length + steps;
    this.worker.postMessage({ job: ++this.job, steps });
    this.begin();
  }

  begin() {
    this.isComposing = true;
    this.say("Composing …");
    this.renew();
    this.layOut();
    this.play();
  }

  receive({ job, piece, rows, isDone }) {
    if (piece !== this.piece) return;
    this.rows.push(...rows);  // even after `halt`: the network has read them
    if (job === this.job) this.isComposing = !isDone;
    if (job === this.job && isDone) this.say(`Piece ${this.seed}: ${this.summary}.`);
    if (this.isStale) return;
    this.isStale = true;
    setTimeout(() => { this.renew(); this.update(false); }, 40 + this.rows.length / 20);
  }

  /* Stop composing, and forget nothing. */
  halt() {
    if (!this.isComposing) return;
    this.worker.postMessage({ job: ++this.job });
    this.isComposing = false;
    this.planned = this.rows.length;
    this.say(`Stopped after ${this.summary}.`);
    this.layOut();
  }

  /* The number of steps to compose after `before` steps; bars follow the end of a bar that is begun. */
  wanted(before) {
    const length = numberIn("length");
    if (!this.bar) return length;
    return Math.ceil(modulo(-(this.firstStep + before), this.bar) + length * this.bar);
  }

  get summary() {
    const steps = this.rows.length, seconds = counted(Math.round(steps * this.step), "second");
    return this.bar ? `${counted(Math.round(steps / this.bar), "bar")}, ${seconds}` : seconds;
  }

  /* ---- the piece: rows are the network's, `whole` is what sounds */

  choose(start) {
    this.halt();
    if (this.sound) this.pause();
    Object.assign(this, { start, rows: [], at: 0, region: null });
    this.nameLoop();
    const beats = start.beats || this.learned;
    this.beats = beats && { ...beats, ...this.fixed };
    if (beats && !this.isTyping) byId("tempo").value = this.beats.tempo;
    this.planned = 0;
    this.tune();
  }

  /* Take over the tempo and the metre, and draw all anew. */
  tune() {
    const { beats, grid } = this;
    if (beats) beats.tempo = numberIn("tempo", beats.tempo);
    const isCompound = beats && beats.meter[1] >= 8 && beats.meter[0] > 3 && beats.meter[0] % 3 === 0;
    this.bar = beats ? barSteps(beats, grid) : 0;
    this.counts = beats ? beats.meter[0] / (isCompound ? 3 : 1) : 0;
    if (beats) beats.firstStep = modulo(beats.firstStep, this.bar);
    this.firstStep = beats ? beats.firstStep : 0;
    const [above, below] = grid.step;
    this.step = above / below * (beats ? 60 / beats.tempo : 1);
    this.planned = this.planned || this.wanted(this.start.roll.length);
    this.renew();
  }

  /* Derive the notes from the rows, and show what can be done. */
  renew() {
    const { grid, start } = this;
    this.isStale = false;
    this.given = this.isTyping ? this.startSteps : start.roll.length;
    this.steps = this.planned = Math.max(this.planned, this.rows.length, 1);
    this.lead = this.given * this.step;
    this.whole = transposed([...start.roll, ...this.rows], -start.semitones, grid);
    this.seconds = this.lead + this.rows.length * this.step;
    const { whole, given } = this;  // the given notes and the composed ones have colours of their own
    const composed = notesOf(whole.slice(given), grid).map(([c, a, b]) => [c, a + given, b + given]);
    const spans = [...notesOf(whole.slice(0, given), grid), ...composed].sort((a, b) => a[1] - b[1]);
    this.notes = spans.flatMap(([c, a, b]) => [c + grid.lowest, a - given, b - a]);
    const struck = spans.filter(([c, a]) => grid.onsets && this.isStruck(c, a));
    this.heads = struck.flatMap(([c, a]) => [c + grid.lowest, a - given]);
    const pitches = spans.map(([c]) => c + grid.lowest), before = [this.low, this.high];
    const highest = grid.lowest + grid.pitches - 1, [low, high] = LEAST_VIEW;
    this.low = Math.max(grid.lowest, Math.min(least(pitches) - 2, low, this.low ?? 127));
    this.high = Math.min(highest, Math.max(greatest(pitches) + 2, high, this.high ?? 0));
    if (String(before) !== String([this.low, this.high])) this.layOut();
    this.canvas.setAttribute("aria-valuemax", Math.round(this.seconds));
    const isEmpty = !this.whole.flat().length;
    byId("play").disabled = byId("loop").disabled = isEmpty;
    byId("download").disabled = byId("continue").disabled = !this.rows.length || this.isComposing;
    byId("stop").disabled = !this.isPlaying && !this.isComposing;
    for (const part of this.section.querySelectorAll(".has-start")) part.hidden = !this.given;
  }

  /* Whether a sounding column is struck at a step, and not held. */
  isStruck(column, t) {
    const { whole, grid } = this;
    return t === 0 || !whole[t - 1].includes(column) || whole[t].includes(column + grid.pitches);
  }

  /* The velocity of each note (column, first step): as played in the start, as learned in the rest. */
  velocities(notes) {
    const { start, whole, grid, beats, accents } = this;
    const learned = velocitiesOf(notes, whole, grid, beats, accents);
    return notes.map(([column, first], k) =>
      start.velocities[first]?.get(column + start.semitones) || learned[k]);
  }

  /* The bytes of a MIDI file of all that sounds. */
  midi() {
    if (this.isStale) this.renew();
    const { grid, whole } = this, notes = notesOf(whole, grid);
    const key = this.beats?.key || signatureOf(findKey(whole.slice(this.given), grid));
    return writeMidi(byId("title").textContent, notes, this.velocities(notes), whole.length, grid,
      this.beats && { ...this.beats, key }, this.secondsGrid);
  }

  /* ---- the sound */

  get isPlaying() {
    return Boolean(this.timer);
  }

  get isHeard() {
    return this.isPlaying || this.at > 0;
  }

  get now() {
    if (!this.isPlaying) return this.at;
    const time = this.sound.now;
    while (this.segments.length > 1 && this.segments[1].time <= time) this.segments.shift();
    const { time: begin, second } = this.segments[0];
    return Math.min(second + Math.max(0, time - begin), this.seconds);
  }

  /* Whether the browser can play; browsers allow that after the user has pressed something. */
  hasSound() {
    try {
      this.sound ??= new Sound();
    } catch {
      this.say("This browser has no Web Audio, so nothing is heard. The MIDI file can be saved.", true);
      return false;
    }
    this.sound.context.resume();
    return true;
  }

  /* Strike a pitch that the user plays. */
  sing(pitch) {
    if (!this.hasSound()) return;
    this.sound.release(this.sound.strike(pitch, 90, this.sound.now), this.sound.now + 0.4);
  }

  play() {
    if (this.isPlaying || !this.hasSound()) return;
    if (this.at >= this.seconds && !this.isComposing) this.at = 0;
    this.next = Math.ceil(this.at / this.step - 1e-6);  // the next step to be scheduled
    this.nextTime = this.sound.now + 0.08 + this.next * this.step - this.at;
    this.segments = [{ time: this.sound.now + 0.08, second: this.at }];
    this.isFirst = true;
    this.timer = setInterval(() => this.schedule(), 50);
    this.following = true;
    byId("play").textContent = "Pause";
    byId("stop").disabled = false;
    this.schedule();
    requestAnimationFrame(() => this.frame());
  }

  pause() {
    if (!this.isPlaying) return;
    this.at = this.now;
    clearInterval(this.timer);
    this.timer = 0;
    this.sound.silence();
    this.voices.clear();
    byId("play").textContent = "Play";
    byId("stop").disabled = !this.isComposing;
    this.update(false);
  }

  toggle() {
    if (byId("play").disabled && !this.isComposing) this.compose();
    else if (this.isPlaying) this.pause();
    else this.play();
  }

  seek(seconds) {
    const wasPlaying = this.isPlaying;
    if (this.isStale) this.renew();
    this.pause();
    this.at = Math.max(0, Math.min(seconds, this.seconds));
    if (wasPlaying) this.play();
    this.following = true;
    this.update(false);
  }

  /* Schedule the notes of the next steps; wait where they are not composed yet. */
  schedule() {
    const horizon = this.sound.now + (document.hidden ? AHEAD_HIDDEN : AHEAD);
    while (this.nextTime < horizon) {
      if (this.isStale && this.next >= this.whole.length) this.renew();
      const isLoopEnd = this.region?.end && this.next >= this.region.end;
      if (isLoopEnd) this.jump(this.region.begin);
      else if (this.next >= this.whole.length && this.isComposing) {
        this.nextTime = Math.max(this.nextTime, this.sound.now + 0.1);
        this.segments.push({ time: this.nextTime, second: this.next * this.step });
        return;
      } else if (this.next >= this.whole.length) break;
      this.sounds(this.next++, this.nextTime);
      this.nextTime += this.step;
    }
    const isDone = this.next >= this.whole.length && !this.isComposing && !this.region?.end;
    if (isDone && !this.isStale && this.now >= this.seconds) {
      for (const voice of this.voices.values()) this.sound.release(voice, this.nextTime);
      this.voices.clear();
      this.pause();
      this.at = 0;
      this.update(false);
    }
  }

  jump(step) {
    for (const voice of this.voices.values()) this.sound.release(voice, this.nextTime);
    this.voices.clear();
    this.next = step;
    this.isFirst = true;
    this.segments.push({ time: this.nextTime, second: step * this.step });
  }

  /* Release and strike the pitches that end and begin at a step. */
  sounds(t, time) {
    const { grid, isFirst } = this, row = this.whole[t].filter((column) => column < grid.pitches);
    this.isFirst = false;
    const begins = row.filter((column) => isFirst || this.isStruck(column, t));
    const struck = begins.map((column) => [column, t]), velocities = this.velocities(struck);
    for (const [column, voice] of [...this.voices]) {
      if (row.includes(column) && !begins.includes(column)) continue;
      this.sound.release(voice, time);
      this.voices.delete(column);
    }
    struck.forEach(([column], k) => {
      this.voices.set(column, this.sound.strike(column + grid.lowest, velocities[k], time));
    });
  }

  /* ---- what it begins with */

  get isTyping() {
    return byId("begin").value === "notes";
  }

  get startSteps() {
    return Math.max(1, Math.round(numberIn("start-length") * (this.bar || 1)));
  }

  /* The steps of a beat, or about half a second. */
  get beat() {
    return Math.max(1, Math.round(this.beats ? this.bar / this.counts : 0.5 / this.step));
  }

  startChanged() {
    const { value } = byId("begin");
    const show = (selector, isShown) => {
      for (const part of document.querySelectorAll(selector)) part.hidden = !isShown;
    };
    show(".of-notes", value === "notes");
    show(".of-start", value === "notes" || value === "file");
    if (value === "notes") this.useTyped();
    else if (value === "file") this.useFile();
    else if (value === "silence") this.choose(SILENCE);
    else this.choose(this.openings[Number(value)]);
    this.layOut();
  }

  useTyped() {
    this.choose(SILENCE);
    const cells = Array.from({ length: this.startSteps }, () => new Map());
    const notes = this.typed.filter(({ step }) => step < cells.length);
    for (const { pitch, step, length } of notes) {
      const last = Math.min(step + length, cells.length);
      for (let t = step; t < last; t++) cells[t].set(pitch, t === step ? USUAL_VELOCITY : 0);
    }
    if (notes.length) this.choose({ ...asStart(cells, this.grid, cells.length), beats: null });
  }

  /* Add a note of a beat after the last one, or at a step; remove one that is there. */
  type(pitch, step) {
    const there = this.typed.findIndex((note) =>
      note.pitch === pitch && note.step <= step && step < note.step + note.length);
    if (there >= 0) this.typed.splice(there, 1);
    else {
      const end = this.typed.reduce((end, note) => Math.max(end, note.step + note.length), 0);
      if (step === undefined && end >= this.startSteps) {
        return this.say("The start is full: clear it, or make it longer.", true);
      }
      this.typed.push({ pitch, step: step ?? end, length: this.beat });
      this.sing(pitch);
    }
    this.say("");
    this.useTyped();
    this.layOut();
  }

  async open(file) {
    try {
      this.file = readMidi(new Uint8Array(await file.arrayBuffer()));
      this.fileName = file.name;
      const option = document.querySelector("option[value=file]");
      option.hidden = false;
      option.textContent = file.name;
      byId("begin").value = "file";
      this.startChanged();
    } catch (error) {
      this.refuse(file.name, error);
    }
  }

  useFile() {
    try {
      const { beats } = startOf(this.file, this.grid, Infinity);
      const bar = beats ? barSteps({ ...beats, ...this.fixed }, this.grid) : 1;
      const upbeat = beats ? modulo(-beats.firstStep, bar) : 0;
      const steps = Math.round(upbeat + numberIn("start-length") * bar);
      this.choose(startOf(this.file, this.grid, steps));
      this.say(`The music goes on after the beginning of ${this.fileName}.`);
    } catch (error) {
      byId("begin").value = "silence";
      this.startChanged();
      this.refuse(this.fileName, error);
    }
  }

  refuse(name, error) {
    const reason = error instanceof MidiError ? error.message : "It is damaged.";
    this.say(`${name} cannot be used. ${reason}`, true);
  }

  /* ---- controls */

  say(text, isWrong = false) {
    const status = document.querySelector(".status[role]");
    status.textContent = text;
    status.classList.toggle("wrong", isWrong);
  }

  addKeys() {
    const { lowest, pitches } = this.grid, piano = document.querySelector(".piano");
    const last = Math.min(lowest + pitches - 1, KEYBOARD[1]);
    for (let pitch = Math.max(lowest, KEYBOARD[0]); pitch <= last; pitch++) {
      const key = document.createElement("button");
      key.setAttribute("aria-label", nameOf(pitch));
      if (BLACK_KEYS.has(pitch % 12)) key.className = "black";
      else if (pitch % 12 === 0) key.textContent = nameOf(pitch);
      key.addEventListener("click", () => this.type(pitch));
      piano.append(key);
    }
    const unit = this.bar ? "bars" : `steps of ${this.step.toFixed(2)} seconds`;
    for (const part of document.querySelectorAll(".unit")) part.textContent = unit;
    this.position.hidden = !this.bar;
    document.querySelector(".has-beats").hidden = !this.bar;
    document.querySelector(".has-sampling").hidden = this.hasChords;
    for (const part of document.querySelectorAll(".of-notes, .of-start")) part.hidden = true;
    byId("sampling").value = this.sampling;
    if (!this.bar) byId("start-length").value = byId("start-length").defaultValue = 16;
  }

  listen() {
    const on = (id, name, act) => byId(id).addEventListener(name, act);
    on("compose", "click", () => this.compose());
    on("another", "click", () => {
      byId("seed").value = Math.floor(Math.random() * 1e6);
      this.compose();
    });
    on("continue", "click", () => this.extend());
    on("play", "click", () => this.toggle());
    on("stop", "click", () => { this.halt(); this.pause(); this.seek(0); this.renew(); });
    on("loop", "click", () => this.loop());
    on("download", "click", () => this.save());
    on("begin", "change", () => this.startChanged());
    on("start-length", "change", () => { numberIn("start-length"); this.startChanged(); });
    for (const id of ["seed", "threshold"]) on(id, "change", () => numberIn(id));
    on("length", "change", () => {
      numberIn("length");
      if (this.rows.length) return;
      this.planned = 0;
      this.tune();
      this.layOut();
    });
    on("tempo", "change", () => {
      const step = this.now / this.step;
      this.pause();
      this.tune();
      this.seek(step * this.step);
      this.layOut();
    });
    on("clear", "click", () => {
      this.typed = [];
      this.useTyped();
      this.layOut();
    });
    on("file", "change", ({ target }) => {
      if (target.files[0]) this.open(target.files[0]);
      target.value = "";
    });
    for (const name of ["temperature", "density"]) {
      const show = () => { byId(`${name}-shown`).textContent = byId(name).value; };
      on(name, "input", show);
      show();
    }
    this.listenToPointer();
    for (const name of ["dragover", "drop", "dragleave"]) {
      document.addEventListener(name, (event) => {
        event.preventDefault();
        document.body.classList.toggle("dropping", name === "dragover");
        if (name === "drop" && event.dataTransfer.files[0]) this.open(event.dataTransfer.files[0]);
      });
    }
    for (const name of ["keydown", "keyup"]) {  // a button would be pressed at keyup
      document.addEventListener(name, (event) => {
        const isText = event.target.matches("input, select, textarea");
        if (event.key !== " " || isText || event.ctrlKey || event.altKey || event.metaKey) return;
        if (name === "keydown" && !event.repeat && !event.defaultPrevented) this.toggle();
        event.preventDefault();
      });
    }
  }

  /* A click jumps there, or writes a note into the start; a drag with the mouse chooses a part. */
  listenToPointer() {
    const { canvas } = this;
    const place = (event) => ({
      second: this.secondAt(event),
      pitch: this.high - Math.floor((event.clientY - canvas.getBoundingClientRect().top - TOP) / this.row),
    });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
      const isMouse = event.pointerType === "mouse";
      this.pressed = isMouse ? { x: event.clientX, second: this.secondAt(event) } : null;
    });
    canvas.addEventListener("pointermove", (event) => {
      this.hover = { ...place(event), x: event.clientX - canvas.getBoundingClientRect().left };
      if (this.pressed && event.buttons && Math.abs(event.clientX - this.pressed.x) > 6) {
        const ends = [this.pressed.second, this.hover.second].sort((a, b) => a - b);
        const [begin, end] = ends.map((second) => Math.round(second / this.step));
        const last = Math.min(Math.max(end, begin + 1), this.whole.length);
        this.dragged = { begin: Math.max(begin, 0), end: last };
      }
      if (!this.isPlaying) this.draw();
    });
    canvas.addEventListener("pointerleave", () => { this.hover = null; this.draw(); });
    canvas.addEventListener("click", (event) => {
      const { second, pitch } = place(event), { dragged } = this;
      this.dragged = this.pressed = null;
      if (dragged) {
        if (dragged.end > dragged.begin) this.repeat(dragged);
      } else if (this.isTyping && second < this.lead && pitch >= this.low && pitch <= this.high) {
        this.type(pitch, Math.max(0, Math.floor(second / this.step)));
      } else this.seek(second);
    });
  }

  /* From the playhead, to the playhead, and off. */
  loop() {
    const step = Math.round(this.now / this.step);
    if (!this.region) this.repeat({ begin: step });
    else if (!this.region.end && step > this.region.begin) this.repeat({ ...this.region, end: step });
    else this.repeat(null);
  }

  nameLoop() {
    const { region } = this;
    byId("loop").textContent = !region ? "Loop from here" : region.end ? "End the loop" : "Loop to here";
  }

  repeat(region) {
    this.region = region;
    this.nameLoop();
    if (region?.end && (this.now < region.begin * this.step || this.now > region.end * this.step)) {
      this.seek(region.begin * this.step);
    }
    this.draw();
  }

  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.midi()], { type: "audio/midi" }));
    link.download = byId("download").dataset.file.replace(/(?=\.mid$)/, `-${this.seed}`);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /* ---- the picture */

  draw() {
    if (!this.width) return;
    const { context, colours } = this, [first, last] = this.prepared();
    this.drawKeys(TOP, this.row);
    this.drawTimes(first, last);
    const region = this.dragged || this.region;
    if (region) {
      const left = this.x(region.begin - this.given);
      const right = this.x((region.end || region.begin) - this.given);
      context.globalAlpha = 0.16;
      context.fillStyle = colours.sounding;
      context.fillRect(left, TOP, Math.max(right - left, 2), this.rollHeight);
      context.globalAlpha = 1;
    }
    this.drawNotes(first, last);
    this.drawNames(TOP, this.row);
    this.drawRest();
    if (this.hover) this.drawHover();
  }

  rowHeight(pitches) {
    return Math.max(5, Math.min(12, Math.round(0.42 * innerHeight / pitches)));
  }

  drawParts() {}  // the legend says what is given

  /* The keys at the left edge, lit while they sound. */
  drawNames(top, row) {
    super.drawNames(top, row);
    const { context, colours, grid } = this, t = Math.floor(this.now / this.step + 1e-6);
    const sounding = this.isHeard && this.whole[t] ? this.whole[t] : [];
    context.fillStyle = colours.bar;
    context.fillRect(GUTTER - 15, top - 1, 15, (this.high - this.low + 1) * row + 2);
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      const y = top + (this.high - pitch) * row, isBlack = BLACK_KEYS.has(pitch % 12);
      const lit = sounding.includes(pitch - grid.lowest) && colours.sounding;
      const hasEdge = pitch % 12 === 0 || pitch % 12 === 5;  // to the white key below
      context.fillStyle = (!isBlack && lit) || IVORY;
      context.fillRect(GUTTER - 14, y, 13, row - (hasEdge ? 1 : 0));
      context.fillStyle = lit || EBONY;
      if (isBlack) context.fillRect(GUTTER - 14, y, 8, row);
    }
  }

  drawHover() {
    const { context, colours, hover: { x, pitch } } = this;
    if (pitch < this.low || pitch > this.high) return;
    const y = TOP + (this.high - pitch + 0.5) * this.row, name = nameOf(pitch);
    const width = context.measureText(name).width + 12, left = Math.min(x + 12, this.width - width - 4);
    context.fillStyle = colours.ink;
    context.fillRect(left, y - 10, width, 20);
    context.fillStyle = colours.paper;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(name, left + 6, y);
  }
}

const data = JSON.parse(byId("data").textContent);
for (const opening of data.openings) opening.velocities = opening.velocities.map((row) => new Map(row));
const live = new LiveRoll(document.querySelector(".tune"), data);
