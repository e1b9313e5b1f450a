/* The synthesiser of the page that composes: the tones and the room of synthesizer.py, by Web Audio. */
"use strict";

const LOUDNESS = 0.14, MOST_HARMONICS = 24, BRIGHTNESS = 2000, BRIGHTER = 36, SHARED = 18;
const ATTACK = 0.005, LONGEST = 5, FADE = 0.045;  // seconds; the last is a time constant
const ROOM = 0.2, ROOM_DELAY = 0.012, ROOM_SECONDS = 0.4;

class Sound {
  constructor() {
    this.context = new AudioContext();
    this.tones = new Map();
    this.voices = new Set();
    const { context } = this, limiter = new DynamicsCompressorNode(context, { threshold: -8, ratio: 8 });
    const room = new ConvolverNode(context, { buffer: this.echoes(), disableNormalization: true });
    this.output = new GainNode(context, { gain: 0.9 });
    this.output.connect(limiter).connect(context.destination);
    this.output.connect(room).connect(limiter);
  }

  get now() {
    return this.context.currentTime;
  }

  /* Strike a note at a time; return its voice. */
  strike(pitch, velocity, time) {
    const { context } = this, timbre = Math.round((velocity - 90) / SHARED) * SHARED;
    const source = new AudioBufferSourceNode(context, { buffer: this.tone(pitch, timbre) });
    const gain = new GainNode(context, { gain: (velocity / 90) ** 2 });
    const voice = { source, gain, pitch };
    const place = new StereoPannerNode(context, { pan: (pitch - 64) / 127 });
    source.connect(gain).connect(place).connect(this.output);
    source.onended = () => this.voices.delete(voice);
    source.start(Math.max(time, this.now));
    this.voices.add(voice);
    return voice;
  }

  release({ source, gain }, time) {
    const at = Math.max(time, this.now);
    gain.gain.setTargetAtTime(0, at, FADE);
    source.stop(at + 10 * FADE);
  }

  /* End all voices, also those that have yet to sound. */
  silence() {
    for (const { source, gain } of this.voices) {
      gain.gain.cancelScheduledValues(0);
      gain.gain.setTargetAtTime(0, this.now, FADE / 2);
      source.stop(this.now + 5 * FADE);
    }
  }

  /* The sound of a pitch with the timbre of a velocity `harder` than usual: harmonics that decay. */
  tone(pitch, harder) {
    const key = `${pitch} ${harder}`;
    if (this.tones.has(key)) return this.tones.get(key);
    const { sampleRate } = this.context, frequency = 440 * 2 ** ((pitch - 69) / 12);
    const brightness = BRIGHTNESS * 2 ** (harder / BRIGHTER);
    const numbers = Array.from({ length: MOST_HARMONICS }, (_, k) => k + 1)
      .filter((n) => n * frequency < sampleRate / 2);
    const strengths = numbers.map((n) => Math.exp(-n * frequency / brightness) / n ** 1.3);
    const scale = LOUDNESS * 2 ** ((69 - pitch) / 48) / Math.hypot(...strengths);
    const decay = 1.5 * 2 ** ((69 - pitch) / 24);  // seconds
    const samples = new Float32Array(Math.round(Math.min(LONGEST, 7 * decay) * sampleRate));
    numbers.forEach((n, k) => {
      const angle = 2 * Math.PI * n * frequency / sampleRate;
      const shrink = Math.exp(-(n ** 0.7) / (decay * sampleRate));
      const turn = shrink * Math.cos(angle), lift = shrink * Math.sin(angle);
      let real = scale * strengths[k], imaginary = 0;
      const audible = Math.min(samples.length, Math.log(real / 1e-6) / -Math.log(shrink));
      for (let t = 0; t < audible; t++) {
        samples[t] += imaginary;
        [real, imaginary] = [real * turn - imaginary * lift, real * lift + imaginary * turn];
      }
    });
    const attack = ATTACK * sampleRate;
    for (let t = 0; t < attack; t++) samples[t] *= Math.sin(Math.PI / 2 * t / attack) ** 2;
    const buffer = new AudioBuffer({ length: samples.length, sampleRate });
    buffer.copyToChannel(samples, 0);
    this.tones.set(key, buffer);
    return buffer;
  }

  /* The echoes of a small room: noise that decays, another on each side. */
  echoes() {
    const { sampleRate } = this.context, length = Math.round(ROOM_SECONDS * sampleRate);
    const buffer = new AudioBuffer({ length, sampleRate, numberOfChannels: 2 });
    for (let side = 0; side < 2; side++) {
      const samples = buffer.getChannelData(side);
      let energy = 0, last = 0;
      for (let t = Math.round(ROOM_DELAY * sampleRate); t < length; t++) {
        last += 0.45 * ((2 * Math.random() - 1) * 10 ** (-3 * t / length) - last);  // darker
        samples[t] = last;
        energy += last ** 2;
      }
      for (let t = 0; t < length; t++) samples[t] *= ROOM / Math.sqrt(2 * energy);
    }
    return buffer;
  }
}
