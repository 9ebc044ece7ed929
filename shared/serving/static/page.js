import { ModelError, ask, findVersion, toBase64 } from './models.js';
import { drawSpectrogram, drawWaveform, readRecording, startRecording } from './sound.js';

const KNOWN_PICTURES = ['image/jpeg', 'image/png', 'image/gif', 'image/bmp', 'image/webp'];
const SURE = 0.9;

/** An element with properties and children; text is never read as HTML. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;

/** Runs something that fills a section's result; errors are shown there, too. */
async function show(section, work) {
  const result = section.querySelector('.result');
  result.replaceChildren(element('p', { className: 'busy', textContent: 'One moment …' }));
  try {
    result.replaceChildren(...(await work()));
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    result.replaceChildren(element('p', { className: 'error', role: 'alert', textContent: error.message }));
  }
  showVersions(section);
}

async function showVersions(section) {
  const line = section.querySelector('.version');
  try {
    const models = section.dataset.model.split(' ');
    const versions = await Promise.all(models.map(findVersion));
    line.textContent = models.map((model, i) => `${model}, version ${versions[i]}`).join(' · ');
  } catch (error) {
    line.textContent = error.message;
  }
}

const took = (...times) => element('p', {
  className: 'note', textContent: `Answered in ${times.map((time) => `${time.toFixed(0)} ms`).join(' and ')}.`,
});

function bars(labels, scores) {
  const rows = labels.map((label, i) => element(
    'tr', {},
    element('th', { scope: 'row', textContent: label }),
    element('td', {}, element('meter', { value: scores[i], ariaLabel: label })),
    element('td', { textContent: percent(scores[i]) }),
  )).filter((_, i) => labels[i]);
  return element('table', { className: 'bars' }, element('tbody', {}, ...rows));
}

async function lookAt(file) {
  const picture = KNOWN_PICTURES.includes(file.type) ? file : await toJpeg(file);
  const { outputs, milliseconds } = await ask('image_recognition', { image_bytes: await toBase64(picture) });
  const image = element('img', { src: URL.createObjectURL(picture), alt: `The picture: ${outputs.label}` });
  image.onload = () => image.classList.toggle('small', image.naturalWidth < 100);
  return [image, bars(outputs.labels, outputs.scores), took(milliseconds)];
}

/** Pictures of other formats, such as HEIC, if the browser knows them. */
async function toJpeg(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const canvas = element('canvas', { width: bitmap.width, height: bitmap.height });
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    return await new Promise((resolve) => { canvas.toBlob(resolve, 'image/jpeg', 0.95); });
  } catch {
    return file;  // The model says what is wrong with it.
  }
}

function picturesOfSound({ samples, wave }) {
  const waveform = element('canvas', { width: 640, height: 80, role: 'img', ariaLabel: 'Loudness over time' });
  const spectrogram = element('canvas', { width: 640, height: 128, role: 'img', ariaLabel: 'Spectrogram' });
  requestAnimationFrame(() => {
    drawWaveform(waveform, samples);
    drawSpectrogram(spectrogram, samples);
  });
  const player = element('audio', { controls: true, src: URL.createObjectURL(wave) });
  return samples.length ? [waveform, spectrogram, player] : [player];
}

function wordsOverTime({ words, word_starts: starts, word_ends: ends, word_scores: scores, seconds }) {
  const spans = words.map((word, i) => {
    const span = element('span', { textContent: word, title: `${starts[i].toFixed(2)} to ${ends[i].toFixed(2)} s, ${percent(scores[i])}` });
    span.classList.toggle('unsure', scores[i] < SURE);
    span.style.left = `${(100 * starts[i]) / seconds}%`;
    const next = i + 1 < words.length && words[i + 1] ? starts[i + 1] : seconds;
    span.style.width = `${(100 * (next - starts[i])) / seconds}%`;
    return span;
  }).filter((_, i) => words[i]);
  return element('div', { className: 'words', ariaHidden: 'true' }, ...spans);
}

async function hear(recording) {
  const { outputs, milliseconds } = await ask('speech_recognition', { audio_bytes: await toBase64(recording.wave) });
  const said = outputs.transcript ?? outputs.label;
  const certainty = outputs.confidence ?? outputs.score;
  const shown = [
    ...picturesOfSound(recording),
    ...(outputs.words ? [wordsOverTime(outputs)] : [bars(outputs.labels, outputs.scores)]),
    element('blockquote', { className: 'transcript', textContent: said || '(nothing)' }),
  ];
  return { said, shown, milliseconds, note: `${percent(certainty)} certain, ${outputs.seconds.toFixed(1)} s long. ` };
}

async function writeDown(recording) {
  const { shown, milliseconds, note } = await hear(recording);
  const last = took(milliseconds);
  last.prepend(note);
  return [...shown, last];
}

async function understand(text) {
  const { outputs, milliseconds } = await ask('nlu', { text });
  const characters = Array.from(text);
  const sentence = element('p', { className: 'sentence' });
  let place = 0;
  outputs.slot_names.forEach((name, i) => {
    if (!name) return;
    sentence.append(characters.slice(place, outputs.slot_starts[i]).join(''));
    const words = characters.slice(outputs.slot_starts[i], outputs.slot_ends[i]).join('');
    sentence.append(element('mark', {}, words, element('small', { textContent: name })));
    place = outputs.slot_ends[i];
  });
  sentence.append(characters.slice(place).join(''));
  return { shown: [sentence, bars(outputs.intents, outputs.intent_scores)], milliseconds };
}

async function obey(recording) {
  const heard = await hear(recording);
  if (!heard.said) return [...heard.shown, took(heard.milliseconds)];
  const understood = await understand(heard.said);
  return [...heard.shown, ...understood.shown, took(heard.milliseconds, understood.milliseconds)];
}

async function classify(text) {
  const { outputs, milliseconds } = await ask('nlp', { text });
  if (!outputs.labels) {
    const line = `Perplexity ${outputs.perplexity?.toFixed(1)}: the model continues and scores texts.`;
    return [element('p', { textContent: line }), took(milliseconds)];
  }
  return [bars(outputs.labels, outputs.scores), took(milliseconds)];
}

function takeFiles(section, work) {
  const drop = section.querySelector('.drop');
  const input = drop.querySelector('input');
  const use = (file) => file && show(section, () => work(file));
  input.addEventListener('change', () => { use(input.files[0]); input.value = ''; });
  for (const type of ['dragenter', 'dragover', 'dragleave', 'drop']) {
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', type === 'dragenter' || type === 'dragover');
      if (type === 'drop') use(event.dataTransfer.files[0]);
    });
  }
}

function takeSpeech(section, work) {
  takeFiles(section, async (file) => work(await readRecording(file)));
  const button = section.querySelector('.record');
  let recording = null;
  const showState = () => {
    button.setAttribute('aria-pressed', String(Boolean(recording)));
    button.textContent = recording ? 'Stop' : 'Record';
  };
  button.addEventListener('click', () => {
    if (recording) recording.stop();
    else {
      show(section, async () => {
        recording = await startRecording();
        showState();
        const recorded = await recording.done;
        recording = null;
        showState();
        return work(recorded);
      });
    }
  });
}

function takeText(section, work) {
  section.querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault();
    show(section, () => work(new FormData(event.target).get('text')));
  });
}

const [picture, speech, review, request, command] = ['picture', 'speech', 'review', 'request', 'command'].map((id) => document.getElementById(id));
takeFiles(picture, lookAt);
takeSpeech(speech, writeDown);
takeText(review, classify);
takeText(request, async (text) => {
  const { shown, milliseconds } = await understand(text);
  return [...shown, took(milliseconds)];
});
takeSpeech(command, obey);
[picture, speech, review, request, command].forEach(showVersions);
