// Recordings in the browser: microphone and files to WAV, and pictures of them.
import { ModelError } from './models.js';

const RATE = 16000;
const LONGEST_SECONDS = 60;

/** Records until `stop` is called, and for a minute at most; resolves to a recording. */
export async function startRecording() {
  if (!navigator.mediaDevices) {
    throw new ModelError('This browser gives the microphone to pages at localhost or with TLS alone.');
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  } catch (error) {
    throw new ModelError(error.name === 'NotAllowedError'
      ? 'The microphone is not allowed: allow it in the address bar, or choose a file.'
      : 'No microphone was found; choose a file instead.');
  }
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const done = new Promise((resolve) => { recorder.onstop = resolve; }).then(() => {
    stream.getTracks().forEach((track) => track.stop());
    return readRecording(new Blob(pieces, { type: recorder.mimeType }));
  });
  recorder.start();
  const timer = setTimeout(() => recorder.stop(), LONGEST_SECONDS * 1000);
  return { done, stop() { clearTimeout(timer); if (recorder.state !== 'inactive') recorder.stop(); } };
}

/** The samples of a file of any format that the browser knows, and the file as WAV. */
export async function readRecording(blob) {
  const bytes = await blob.arrayBuffer();
  const isWave = String.fromCharCode(...new Uint8Array(bytes.slice(0, 4))) === 'RIFF';
  let decoded;
  try {
    decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes.slice(0));
  } catch {
    // The model may know a WAV file that the browser does not, or say what is wrong with it.
    if (isWave) return { samples: new Float32Array(0), wave: blob };
    throw new ModelError('This browser cannot decode the file; try WAV.');
  }
  const samples = mix(decoded);
  return { samples, wave: isWave ? blob : encodeWave(samples) };
}

function mix(buffer) {
  const samples = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    const data = buffer.getChannelData(channel);
    for (let i = 0; i < samples.length; i += 1) samples[i] += data[i] / buffer.numberOfChannels;
  }
  return samples;
}

/** A WAV file of one channel with 16 bits. */
export function encodeWave(samples) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (offset, value) => [...value].forEach((c, i) => view.setUint8(offset + i, c.charCodeAt(0)));
  text(0, 'RIFF');
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, 'data');
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => {
    view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, sample)) * 32767, true);
  });
  return new Blob([view], { type: 'audio/wav' });
}

/** Draws loudness over time. */
export function drawWaveform(canvas, samples) {
  const context = canvas.getContext('2d');
  const { width, height } = canvas;
  context.fillStyle = getComputedStyle(canvas).getPropertyValue('--accent');
  for (let x = 0; x < width; x += 1) {
    const start = Math.floor((x / width) * samples.length);
    const end = Math.max(start + 1, Math.floor(((x + 1) / width) * samples.length));
    let peak = 0;
    for (let i = start; i < end; i += 1) peak = Math.max(peak, Math.abs(samples[i]));
    context.fillRect(x, (height * (1 - peak)) / 2, 1, Math.max(1, height * peak));
  }
}

/** What lies 60 decibels below the loudest is black; in the logarithm of the power. */
const DYNAMIC_RANGE = 6 * Math.log(10);

/** Draws frequencies, low ones at the bottom, over time; loud ones are bright. */
export function drawSpectrogram(canvas, samples) {
  const context = canvas.getContext('2d');
  const { width, height } = canvas;
  const size = 512;
  const image = context.createImageData(width, height);
  const columns = Array.from({ length: width }, (_, x) => {
    const start = Math.max(0, Math.floor(((x + 0.5) / width) * samples.length) - size / 2);
    return spectrum(samples.subarray(start, start + size), size);
  });
  const loudest = columns.flat().reduce((a, b) => Math.max(a, b), -Infinity);
  columns.forEach((levels, x) => {
    for (let y = 0; y < height; y += 1) {
      const level = levels[Math.floor(((height - 1 - y) / height) * levels.length)];
      const share = Math.max(0, 1 + (level - loudest) / DYNAMIC_RANGE);
      image.data.set([255 * share ** 1.2, 220 * share ** 2.2, 90 + 120 * share * (1 - share), 255], 4 * (y * width + x));
    }
  });
  context.putImageData(image, 0, 0);
}

/** Logarithms of the magnitudes of a windowed Fourier transform, by halving (Cooley and Tukey). */
function spectrum(samples, size) {
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  samples.forEach((sample, i) => { real[i] = sample * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size)); });
  for (let i = 1, j = 0; i < size; i += 1) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]];
  }
  for (let length = 2; length <= size; length *= 2) {
    for (let i = 0; i < size; i += length) {
      for (let k = 0; k < length / 2; k += 1) {
        const angle = (-2 * Math.PI * k) / length;
        const [cos, sin, a, b] = [Math.cos(angle), Math.sin(angle), i + k, i + k + length / 2];
        const re = real[b] * cos - imaginary[b] * sin;
        const im = real[b] * sin + imaginary[b] * cos;
        [real[b], imaginary[b]] = [real[a] - re, imaginary[a] - im];
        [real[a], imaginary[a]] = [real[a] + re, imaginary[a] + im];
      }
    }
  }
  return Array.from({ length: size / 2 }, (_, i) => Math.log(real[i] ** 2 + imaginary[i] ** 2 + 1e-8));
}
