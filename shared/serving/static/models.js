// Asking models behind TensorFlow Serving's REST interface. `?server=http://localhost:8501` names
// another server than the one that this page comes from.
const server = (new URLSearchParams(location.search).get('server') ?? location.origin).replace(/\/$/, '');

const APPS = { image_recognition: 'pictures', speech_recognition: 'speech', nlp: 'texts', nlu: 'sentences' };

/** An error in words that a person understands. */
export class ModelError extends Error {}

/** The newest version of a model that answers, or why there is none. */
export async function findVersion(model) {
  const { model_version_status: versions } = await send(model, `/v1/models/${model}`);
  const available = versions.filter((version) => version.state === 'AVAILABLE');
  if (available.length) return Math.max(...available.map((version) => Number(version.version)));
  const loading = versions.some((version) => version.state === 'LOADING' || version.state === 'START');
  throw new ModelError(loading ? 'The model is being loaded; try again in a moment.'
    : `No version of the model can be loaded: ${versions[0]?.status.error_message ?? 'there is none'}.`);
}

/**
 * Asks a model about one input.
 * @returns {Promise<{outputs: object, milliseconds: number}>} the first row of every output.
 */
export async function ask(model, inputs) {
  const columns = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, [value]]));
  const start = performance.now();
  const answer = await send(model, `/v1/models/${model}:predict`, { inputs: columns });
  const milliseconds = performance.now() - start;
  const outputs = Object.fromEntries(Object.entries(answer.outputs).map(([name, rows]) => [name, rows[0]]));
  if (outputs.error) throw new ModelError(explain(outputs.error));
  return { outputs, milliseconds };
}

/** Bytes as the protocol has them. */
export async function toBase64(blob) {
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new ModelError('The file cannot be read.'));
    reader.readAsDataURL(blob);
  });
  return { b64: address.slice(address.indexOf(',') + 1) };
}

async function send(model, path, body) {
  const options = body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(server + path, options);
  } catch {
    throw new ModelError(`The server at ${server} does not answer. Is it running?`);
  }
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ModelError(`${server} answers, but not as TensorFlow Serving does.`);
  }
  if (response.ok) return answer;
  if (response.status === 404) {
    throw new ModelError(`The server has no model for ${APPS[model]}. Train one: python -m apps.${model}.train`);
  }
  if (response.status === 429) throw new ModelError('The server has too much to do; try again in a moment.');
  if (response.status === 503) throw new ModelError('The model is being loaded; try again in a moment.');
  if (response.status === 504) throw new ModelError('The server took too long; try a smaller file.');
  throw new ModelError(`The server refused the request: ${answer.error ?? response.status}`);
}

/** "too_long: the recording is …" as a sentence. */
function explain(error) {
  const reason = error.slice(error.indexOf(':') + 1).trim();
  return `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`;
}
