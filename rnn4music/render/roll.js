const GUTTER = 38, TOP = 16, AXIS = 26, BARS = 18, GAP = 26, RIGHT = 12;  // CSS pixels around the panels
const NARROWEST_STEP = 6;  // CSS pixels, unless the whole tune is shown
const BLACK_KEYS = new Set([1, 3, 6, 8, 10]);
const NARROWEST_LINES = 7, NARROWEST_NUMBERS = 34;  // CSS pixels between beats, between numbers
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600];  // seconds
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

/* A piano roll on a canvas that follows a sound; the pages' scripts derive their rolls from it.

   These have `section`, `step` (seconds), `given` and `steps` (numbers of steps), bar, counts and
   firstStep, low, high, notes and heads as html.py describes them; now, lead and seconds (of the sound);
   isPlaying and isHeard; and seek(seconds), toggle() and draw(). */
class Roll {
  constructor(section) {
    const find = (selector) => section.querySelector(selector);
    this.position = find(".position");
    this.scroller = find(".scroller");
    this.extent = find(".extent");
    this.canvas = find("canvas");
    this.context = this.canvas.getContext("2d");
    this.showWhole = find(".show-whole");
    this.longLabel = find(".is-long");
    this.following = true;
    this.nameRight = GUTTER - 8;
  }

  listenToRoll() {
    this.scroller.addEventListener("scroll", () => {
      if (Math.abs(this.scroller.scrollLeft - this.left) < 1) return;  // set by follow()
      this.left = this.scroller.scrollLeft;
      this.following = false;
      this.draw();
    });
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.showWhole.addEventListener("change", () => this.layOut());
    dark.addEventListener("change", () => { this.colour(); this.draw(); });
    addEventListener("resize", () => this.draw());  // zoom
    new ResizeObserver(() => this.layOut()).observe(this.scroller);
  }

  /* The second of the sound at a pointer. */
  secondAt(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    return this.lead + this.stepAt(x) * this.step;
  }

  /* The height of what is drawn below the roll, where there are so many pitches. */
  heightBelow() {
    return 0;
  }

  rowHeight(pitches) {
    return Math.max(4, Math.min(9, Math.round(290 / pitches)));
  }

  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = {
      ArrowLeft: this.now - 1, ArrowDown: this.now - 1, PageDown: this.now - 10, Home: 0,
      ArrowRight: this.now + 1, ArrowUp: this.now + 1, PageUp: this.now + 10, End: this.seconds,
    }[event.key];
    if (target !== undefined) this.seek(target);
    else if (event.key !== " ") return;
    else if (!event.repeat) this.toggle();
    event.preventDefault();
  }

  frame() {
    this.update(true);
    if (this.isPlaying) requestAnimationFrame(() => this.frame());
  }

  update(isFrame) {
    const second = Math.round(this.now * 10) / 10;
    const announced = Number(this.canvas.getAttribute("aria-valuenow"));
    if (!isFrame || Math.floor(second) !== Math.floor(announced)) {  // once a second
      const part = this.now < this.lead - 0.001 ? ", in the given start" : "";
      this.canvas.setAttribute("aria-valuenow", second);
      this.canvas.setAttribute(
        "aria-valuetext",
        `${this.bar ? `${this.place}, ` : ""}${Math.round(second)} of ${Math.round(this.seconds)} seconds${part}`);
    }
    if (this.bar) this.position.textContent = `${this.place} · ${this.now.toFixed(1)} s`;
    this.follow(isFrame && !calm.matches);
    this.draw();
  }

  /* The step at the playhead, negative in the given start. */
  get stepNow() {
    return this.now / this.step - this.given;
  }

  /* The bar and the beat at the playhead, in words; bar 1 is the first whole one. */
  get place() {
    const now = Math.min(this.stepNow + 0.01, this.steps - 0.01);  // of a step: times are rounded
    const at = now + this.given + this.firstStep;
    const bar = Math.floor(at / this.bar);
    const beat = Math.floor((at / this.bar - bar) * this.counts) + 1;
    return `bar ${bar + (this.firstStep ? 0 : 1)}, beat ${beat}`;
  }

  /* Clear the canvas; return the first step that is in view, and the one after the last. */
  prepared() {
    const { canvas, context, colours, width, height } = this;
    const ratio = window.devicePixelRatio || 1;
    const columns = Math.round(width * ratio), rows = Math.round(height * ratio);
    if (canvas.width !== columns || canvas.height !== rows) {
      canvas.width = columns;
      canvas.height = rows;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = this.font;
    context.fillStyle = colours.surface;
    context.fillRect(0, 0, width, height);
    const first = Math.max(-this.given, Math.floor(this.stepAt(GUTTER)));
    return [first, Math.min(this.steps, Math.ceil(this.stepAt(width)))];
  }

  /* Draw what lies over the notes. */
  drawRest() {
    const { context } = this;
    context.fillStyle = this.colours.muted;
    if (this.bar) {
      context.textAlign = "right";
      context.fillText("bar", GUTTER - 8, this.bottom + 12);
    }
    if (this.given) this.drawParts();
    const head = this.x(this.stepNow);
    if (head >= GUTTER - 1) this.drawPlayhead(head);
  }

  /* Scroll to keep the playhead in view: at every frame, or only when it is out of view. */
  follow(steadily) {
    if (!this.following) return;
    const head = this.now / this.step * this.scale;
    const view = this.width - GUTTER - RIGHT;
    const from = this.scroller.scrollLeft;
    if (steadily) this.scroller.scrollLeft = head - 0.4 * view;
    else if (head < from || head > from + view) this.scroller.scrollLeft = head - 0.1 * view;
    this.left = this.scroller.scrollLeft;
  }

  x(step) {
    return GUTTER + (step + this.given) * this.scale - this.scroller.scrollLeft;
  }

  stepAt(x) {
    return (x - GUTTER + this.scroller.scrollLeft) / this.scale - this.given;
  }

  layOut() {
    const steps = this.given + this.steps, pitches = this.high - this.low + 1;
    this.width = this.scroller.clientWidth;
    if (!this.width) return;
    const fitting = (this.width - GUTTER - RIGHT) / steps;
    this.longLabel.hidden = fitting >= NARROWEST_STEP;
    this.scale = this.showWhole.checked ? fitting : Math.max(fitting, NARROWEST_STEP);
    this.row = this.rowHeight(pitches);
    this.rollHeight = pitches * this.row;
    this.bottom = TOP + this.rollHeight + this.heightBelow(pitches);
    this.height = this.bottom + AXIS + (this.bar ? BARS : 0);
    const isWide = steps * this.scale > this.width - GUTTER - RIGHT + 0.5;
    this.extent.style.width = isWide ? `${GUTTER + steps * this.scale + RIGHT}px` : "100%";
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.following = true;
    this.follow(true);
    this.draw();
  }

  /* Shade the rows of the black keys, and draw a line below each C. */
  drawKeys(top, row, isLinesOnly) {
    const { context, colours, width } = this;
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      const y = top + (this.high - pitch) * row;
      context.globalAlpha = 0.03;
      context.fillStyle = colours.ink;
      if (BLACK_KEYS.has(pitch % 12) && !isLinesOnly) {
        context.fillRect(GUTTER, y, width - GUTTER, row);
      }
      context.globalAlpha = 1;
      context.fillStyle = colours.line;
      if (pitch % 12 === 0) context.fillRect(GUTTER, y + row - 0.5, width - GUTTER, 1);
    }
  }

  /* Draw a line at each beat and a darker one at each bar, and number the bars. */
  drawBars(last) {
    const { context, colours, width } = this;
    const spread = this.bar * this.scale;
    let every = 1;
    while (every * spread < NARROWEST_NUMBERS) every *= 2;
    const drawn = spread < NARROWEST_LINES ? every : 1;
    const parts = spread / this.counts < NARROWEST_LINES ? 1 : this.counts;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    const shift = this.firstStep ? 0 : 1;  // an upbeat is bar 0
    for (let k = 0; k * this.bar - this.firstStep < last + this.given; k++) {
      const number = k + shift;
      for (let part = 0; part < parts; part++) {
        const step = (k + part / this.counts) * this.bar - this.firstStep - this.given;
        const x = this.x(step);
        if (step < -this.given || step >= last || x < GUTTER - 1) continue;
        if ((number - 1) % drawn) continue;
        context.fillStyle = part ? colours.line : colours.bar;
        context.fillRect(Math.round(x) - 0.5, TOP, 1, this.bottom - TOP);
        if (part || (number - 1) % every || x > width - RIGHT + 4) continue;
        context.fillStyle = colours.ink;
        context.fillText(number, x, this.bottom + 16);
      }
    }
  }

  drawTimes(first, last) {
    const { context, colours, width } = this;
    if (this.bar) this.drawBars(last);
    const perSecond = this.scale / this.step;
    const every = TICKS.find((tick) => tick * perSecond >= 62) || TICKS.at(-1);
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    const end = Math.floor((last + this.given) * this.step / every);
    for (let k = Math.ceil((first + this.given) * this.step / every); k <= end; k++) {
      const seconds = Number((k * every).toFixed(1));
      const x = this.x(seconds / this.step - this.given);
      context.fillStyle = colours.line;
      if (!this.bar) context.fillRect(Math.round(x) - 0.5, TOP, 1, this.bottom - TOP);
      context.fillStyle = colours.muted;
      const label = `${seconds} s`;
      const half = context.measureText(label).width / 2;
      const middle = Math.min(x, width - half - 4);
      if (middle - half > GUTTER - 12) context.fillText(label, middle, this.height - 8);
    }
    if (this.given) {
      context.globalAlpha = 0.1;
      context.fillStyle = colours.given;
      context.fillRect(this.x(-this.given), TOP, this.given * this.scale, this.rollHeight);
      context.globalAlpha = 1;
      context.fillRect(this.x(0) - 0.5, TOP, 1, this.bottom - TOP);
    }
  }

  drawNotes(first, last) {
    const { context, colours, notes, heads } = this;
    const at = this.stepNow, { isHeard } = this;
    const paths = { given: new Path2D(), note: new Path2D(), sounding: new Path2D() };
    for (let k = 0; k < notes.length; k += 3) {
      const pitch = notes[k], start = notes[k + 1], length = notes[k + 2];
      if (start > last) break;  // notes are sorted by their starts
      if (start + length < first) continue;
      const isSounding = isHeard && start <= at && at < start + length;
      const path = paths[isSounding ? "sounding" : start < 0 ? "given" : "note"];
      const thickness = this.row - 1, long = Math.max(length * this.scale - 1, 1.5);
      const box = [this.x(start) + 0.5, TOP + (this.high - pitch) * this.row + 0.5, long, thickness];
      if (path.roundRect) path.roundRect(...box, Math.min(3, thickness / 2, long / 2));
      else path.rect(...box);
    }
    for (const name of Object.keys(paths)) {
      context.fillStyle = colours[name];
      context.fill(paths[name]);
    }
    context.fillStyle = colours.ink;
    for (let k = 0; k < heads.length; k += 2) {
      const pitch = heads[k], step = heads[k + 1];
      if (step > last) break;
      if (step < first) continue;
      const top = TOP + (this.high - pitch) * this.row + 0.5;
      context.fillRect(this.x(step) + 0.5, top, Math.min(3, 0.3 * this.scale), this.row - 1);
    }
  }

  drawNames(top, row) {
    const { context, colours } = this;
    const height = (this.high - this.low + 1) * row;
    context.fillStyle = colours.surface;
    context.fillRect(0, top - 8, GUTTER, height + 16);
    context.fillStyle = colours.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      const y = top + (this.high - pitch + 0.5) * row;
      if (pitch % 12 === 0) context.fillText(`C${pitch / 12 - 1}`, this.nameRight, y);
    }
  }

  /* Name what is on either side of the end of the start, above the roll. */
  drawParts() {
    const { context, colours, width } = this;
    const border = this.x(0);
    if (border < GUTTER) return;
    context.textBaseline = "alphabetic";
    context.fillStyle = colours.given;
    context.textAlign = "right";
    context.fillText("given", Math.min(border - 10, width - 10), TOP - 4);
    context.fillStyle = colours.note;
    context.textAlign = "left";
    context.fillText("composed", border + 10, TOP - 4);
  }

  drawPlayhead(x) {
    const { context, colours } = this;
    context.fillStyle = colours.playhead;
    context.fillRect(x - 1, TOP - 4, 2, this.bottom - TOP + 4);
    context.beginPath();
    context.arc(x, TOP - 6, 5, 0, 2 * Math.PI);
    context.fill();
  }

  colour() {
    const style = getComputedStyle(document.documentElement);
    this.colours = {};
    for (const name of ["surface", "ink", "muted", "line", "bar", "note", "given", "sounding",
      "playhead", "low", "middle", "high", "paper"]) {
      this.colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.font = `12px ${style.getPropertyValue("--sans")}`;
  }
}
