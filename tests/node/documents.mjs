// docs/asyncapi.json and docs/openapi.json as validators, and clients that hold against them whatever they hear.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { phone } from './support.mjs';

const read = (name) => JSON.parse(readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'));
export const asyncapi = read('asyncapi.json');
export const openapi = read('openapi.json');

const validators = (Kind, document) => {
  const ajv = new Kind({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addFormat('uint64', true);
  ajv.addFormat('double', true);
  ajv.addSchema(document, 'document');
  const known = new Map();
  /** The validator of the schema at this place of the document. */
  return (...place) => {
    const pointer = place.map((part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    if (!known.has(pointer)) known.set(pointer, ajv.compile({ $ref: `document#/${pointer}` }));
    return known.get(pointer);
  };
};
const ofAsyncapi = validators(Ajv, asyncapi);
const ofOpenapi = validators(Ajv2020, openapi);

/** The names of all requests, and of all events from the server. */
const named = (action) =>
  Object.entries(asyncapi.operations).filter(([key]) => key.startsWith(`${action}.`)).map(([key]) => key.slice(action.length + 1));
export const REQUESTS = named('receive');
export const EVENTS = named('send');

/** The schema at the end of a chain of `$ref`. */
export const resolved = (schema) =>
  schema.$ref ? resolved(schema.$ref.slice(2).split('/').reduce((part, key) => part[key], asyncapi)) : schema;

const message = (channel, key) => ofAsyncapi('channels', channel, 'messages', key, 'payload');
/** Whether the document has this for a payload of the request `name`. */
export const maySend = (name, payload) => message('namespace', `${name}.request`)(payload);
/** Whether the document has this for the `auth` of a handshake. */
export const mayConnectWith = (auth) => message('namespace', 'connect')(auth);
/** Whether the document has this for a CONNECT_ERROR. */
export const mayBeRefusedWith = ({ message: text }) => message('acks', 'connect_error')({ message: text });
/** The payload of the request `name`, as a schema. */
export const payloadOf = (name) => resolved(asyncapi.channels.namespace.messages[`${name}.request`].payload);

/** What has been heard so far, by event, and by request: `ok`, or the code of a refusal. */
export const heard = { events: new Set(), answers: new Map() };
/** What has been heard that the document does not know. */
export const unexpected = [];

function check(what, validate, value) {
  if (!validate(value)) unexpected.push({ what, value, errors: validate.errors.map(({ instancePath, message: text }) => `${instancePath} ${text}`) });
}

function hearEvent(name, payload) {
  heard.events.add(name);
  if (EVENTS.includes(name)) check(`event ${name}`, message('namespace', `${name}.event`), payload);
  else unexpected.push({ what: `event ${name}`, value: payload });
}

function hearAnswer(name, answer) {
  const known = REQUESTS.includes(name);
  const kind = answer?.success === false ? 'refused' : 'ok';
  heard.answers.set(name, (heard.answers.get(name) ?? new Set()).add(kind === 'ok' ? 'ok' : answer.error?.code));
  check(`answer to ${name}`, known ? message('acks', `${name}.${kind}`) : ofAsyncapi('components', 'schemas', 'Refused'), answer);
}

/** A phone whose events and answers are held against the document. */
export async function listener(t, server, { register = true, ...options } = {}) {
  const made = await phone(t, server, { ...options, register: false });
  made.socket.onAny(hearEvent);
  const ask = made.request.bind(made);
  made.request = async (name, ...payload) => {
    const answer = await ask(name, ...payload);
    hearAnswer(name, answer);
    return answer;
  };
  if (register) await made.register();
  return made;
}

/** Two of them. */
export const couple = (t, server, options) => Promise.all([listener(t, server, options), listener(t, server, options)]);

/** Asks over HTTP; the answer has to be one that the document has. What is remembered of it is `GET /path/{id} 200`. */
export async function ask(url, path, init = {}) {
  const method = init.method ?? 'GET';
  const response = await fetch(`${url}${path}`, init);
  const plain = path.split('?')[0];
  const template = Object.keys(openapi.paths).find((known) => new RegExp(`^${known.replace(/\{\w+\}/g, '[^/]+')}$`).test(plain));
  assert.ok(template, `${path} is not in the document`);
  const place = ['paths', template, method.toLowerCase(), 'responses', response.status];
  const described = openapi.paths[template][method.toLowerCase()]?.responses[response.status];
  assert.ok(described, `${method} ${template} is not to be answered ${response.status}`);
  answers.add(`${method} ${template} ${response.status}`);
  for (const name of Object.keys(described.headers ?? {})) {
    const value = response.headers.get(name) ?? undefined;
    const validate = ofOpenapi(...place, 'headers', name, 'schema');
    assert.ok(validate(value), `${method} ${template} ${response.status}: ${name} is ${value}`);
  }
  for (const name of ['retry-after', 'www-authenticate', 'cache-control', 'etag']) {
    const known = Object.keys(described.headers ?? {}).map((key) => key.toLowerCase());
    assert.ok(known.includes(name) || !response.headers.has(name), `${method} ${template} ${response.status}: nothing is said of ${name}`);
  }
  const text = await response.text();
  const [type] = Object.keys(described.content ?? {});
  if (type === undefined) assert.equal(text, '');
  else if (type === 'application/json') {
    assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8');
    const validate = ofOpenapi(...place, 'content', type, 'schema');
    const body = JSON.parse(text);
    assert.ok(validate(body), `${method} ${template} ${response.status}: ${text} ${JSON.stringify(validate.errors)}`);
    return { status: response.status, body };
  } else assert.equal(response.headers.get('content-type'), type);
  return { status: response.status, body: text };
}

/** What was answered over HTTP so far. */
export const answers = new Set();
