/* A trained network that composes in a browser, or in Node: the twin of numpy_network.py.

Equations (1) to (11), their letters and the layout of the weights are those of lstm.py, network.py
and chords.py. The arithmetic is in double precision: given the same uniform random numbers, the
tune is that of NumpyNetwork, note for note.

Conventions
-----------
P columns of a roll, Q conditions, H units of a layer, K chord units. Vectors and matrices are Float64Array, the
latter row by row. The input of a step, P columns of a row and Q of the next, is a vector; only its
columns that are not 0 cost time. */
"use strict";

/* The logistic function, in a form that never overflows. */
function sigmoid(a) {
  return 0.5 * Math.tanh(0.5 * a) + 0.5;
}

/* Add row j of a matrix to a vector, from element `first` on, times a factor. */
function addRow(a, W, j, factor = 1, first = 0) {
  const n = a.length;
  for (let k = first, at = j * n + first; k < n; k++, at++) a[k] += factor * W[at];
}

/* Add x W to a vector. */
function addProduct(a, x, W) {
  for (let j = 0; j < x.length; j++) if (x[j] !== 0) addRow(a, W, j, x[j]);
}

class Network {
  /* `names` and `sizes` are those of the arrays, which `values` has one after another. */
  constructor(names, sizes, values) {
    const groups = { layer1: {}, layer2: {}, layer3: {}, output: {}, chords: {} };
    let end = 0;
    names.forEach((name, k) => {
      const [group, array] = name.split("/");
      groups[group][array] = values.subarray(end, end += sizes[k]);
    });
    const { output, chords, ...layers } = groups;
    this.layers = Object.values(layers);
    this.output = output;
    this.hasChords = "pitches_to_output" in chords;
    this.chords = { bias: new Float64Array(0), ...chords };
    this.width = output.bias.length;
  }

  /* The states at t = −1. */
  get initial() {
    return this.layers.map((W) => ({ h: W.hidden, c: W.cell }));
  }

  /* Advance by one step: return the pre-activations Y and the layers' states. */
  step(x, before) {
    const Y = this.output.bias.slice(), states = [];
    this.layers.forEach((W, n) => {
      const last = before[n], H = last.c.length, a = W.bias.slice();
      addProduct(a, x, W.input_to_gates);
      addProduct(a, last.h, W.hidden_to_gates);
      if (n > 0) addProduct(a, states[n - 1].h, W.below_to_gates);
      const h = new Float64Array(H), c = new Float64Array(H);
      for (let k = 0; k < H; k++) {
        const i = sigmoid(a[k] + W.peephole_input[k] * last.c[k]);  // (1)
        const f = sigmoid(a[H + k] + W.peephole_forget[k] * last.c[k]);  // (2)
        const g = Math.tanh(a[2 * H + k]);  // (3)
        c[k] = f * last.c[k] + i * g;  // (4)
        const o = sigmoid(a[3 * H + k] + W.peephole_output[k] * c[k]);  // (5)
        h[k] = o * Math.tanh(c[k]);  // (6)
      }
      addProduct(Y, h, this.output[`layer${n + 1}_to_output`]);  // (7), without its σ
      states.push({ h, c });
    });
    return { Y, states };
  }

  /* Draw the columns of a row from the lowest to the highest, each given those before it. */
  drawChord(Y, states, random, temperature, threshold) {
    const { bias, pitches_to_chords: V, chords_to_output: U, pitches_to_output: L } = this.chords;
    const P = this.width, K = bias.length, degrees = Math.max(1, P - 1);
    const x = new Float64Array(P), a = bias.slice();
    if (K) states.forEach(({ h }, n) => addProduct(a, h, this.chords[`layer${n + 1}_to_chords`]));
    for (let k = 0; k < P; k++) {
      const y = sigmoid(Y[k] / temperature);
      x[k] = random() < (y > threshold ? y : 0) ? 1 : 0;
      if (x[k]) {
        addRow(Y, L, k, 1, k + 1);  // (11)
        if (K) addRow(a, V, k);  // (9)
      }
      for (let u = k; u < K && k < degrees; u += degrees) {  // the units of degree k
        addRow(Y, U, u, Math.tanh(a[u]), k + 1);  // (10) (11)
      }
    }
    return x;
  }

  /* Draw the columns of a row without chords: each by itself, or as pieces of a line. */
  drawRow(Y, random, temperature, threshold, isSystematic) {
    const u = isSystematic ? random() : 0;
    let length = 0, points = 0;  // points of the line up to the end of each piece, 1 apart
    return Y.map((a) => {
      let y = sigmoid(a / temperature);
      if (y <= threshold) y = 0;
      if (!isSystematic) return random() < y ? 1 : 0;
      length += y;
      const before = points;
      points = Math.ceil(length - u);
      return points > before ? 1 : 0;
    });
  }
}

/* A tune in the making: the network reads a start, and each `next` draws one more row. */
class Composer {
  /* `start` is a list of rows, and empty for silence; `random` returns numbers in [0, 1). The Q
     `conditions` of a row, by its number, are what the network is told of it before it is drawn.
     The log-odds Y become around + (Y − around) / temperature + ln density (generation.py). */
  constructor(network, start, options) {
    const { temperature, threshold, isSystematic, random, conditions, around, density } = options;
    this.network = network;
    this.offset = around * (temperature - 1) + temperature * Math.log(density);
    this.conditions = conditions || (() => []);
    this.options = [random, temperature, threshold, isSystematic];
    this.states = network.initial;
    this.n = start.length ? 0 : -1;  // the row that was read last, 0 the first of the tune
    const rows = start.length ? start : [new Float64Array(network.width)];
    for (const row of rows.slice(0, -1)) this.read(row);
    this.last = rows.at(-1);
  }

  /* Read a row; return the pre-activations of the next. */
  read(row) {
    const x = [...row, ...this.conditions(++this.n)];
    const { Y, states } = this.network.step(x, this.states);
    this.states = states;
    return Y;
  }

  next() {
    const { network, options } = this;
    const Y = this.read(this.last).map((y) => y + this.offset);
    this.last = network.hasChords
      ? network.drawChord(Y, this.states, ...options) : network.drawRow(Y, ...options);
    return this.last;
  }
}

/* Uniform random numbers in [0, 1) from a seed: sfc32 (C. Doty-Humphrey, PractRand). */
function generator(seed) {
  let a = seed >>> 0, b = Math.floor(seed / 2 ** 32) >>> 0, c = 0, counter = 1;
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21 | c >>> 11) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let k = 0; k < 12; k++) next();  // until each bit of the seed acts on all
  return next;
}

/* Numbers in base64 as a Float64Array; `bits` is 16 or 32, little-endian. */
function unpacked(text, bits) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer), values = new Float64Array(8 * bytes.length / bits);
  for (let k = 0; k < values.length; k++) {
    values[k] = bits === 32 ? view.getFloat32(4 * k, true) : half(view.getUint16(2 * k, true));
  }
  return values;
}

/* A half-precision number: a sign, five bits of exponent, ten of fraction. */
function half(b) {
  const exponent = b >> 10 & 31, fraction = b & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return b >> 15 ? -size : size;
}

/* The columns on the place of a row in its bar (data/notation.py). The bar has `length` steps, a
   fraction, and `counts` beats; `first` is the place of row 0. */
function placeInBar({ first, length: [above, below], counts }, row) {
  const place = (first + row) * below % above, twelfth = Math.floor(12 * counts * place / above);
  const columns = new Array(24).fill(0);
  columns[twelfth % 12] = columns[12 + Math.min(Math.floor(twelfth / 12), 11)] = 1;
  return columns;
}

/* The numbers of the columns that are on. */
function columnsOn(row) {
  return Array.from(row.keys()).filter((k) => row[k]);
}

/* In a Web Worker: compose what is asked for, a few rows at a time, until asked for another. */
function work(scope) {
  let network, composer, job, piece;
  const continued = (id, left) => {
    if (id !== job) return;
    const rows = Array.from({ length: Math.min(left, 4) }, () => columnsOn(composer.next()));
    left -= rows.length;
    scope.postMessage({ job: id, piece, rows, isDone: !left });
    if (left) setTimeout(continued, 0, id, left);
  };
  scope.onmessage = ({ data }) => {
    if (data.weights) {
      network = new Network(data.names, data.sizes, unpacked(data.weights, data.bits));
    }
    if (data.start) {
      const start = data.start.map((columns) => {
        const row = new Float64Array(network.width);
        for (const k of columns) row[k] = 1;
        return row;
      });
      let given = 0;
      const { uniforms } = data, own = generator(data.seed);
      const random = uniforms ? () => uniforms[given++] : own;
      const { bar } = data, conditions = bar ? (row) => placeInBar(bar, row) : null;
      composer = new Composer(network, start, { ...data, random, conditions });
    }
    job = data.job;
    if (data.start) piece = job;
    if (data.steps) continued(job, data.steps);
  };
}

if (typeof module === "object") module.exports = { Network, Composer, generator, unpacked };
else if (typeof document === "undefined") work(self);
