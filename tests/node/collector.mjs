// Stands in for a collector of OpenTelemetry: takes traces as OTLP over HTTP has them, reads the protobuf, and remembers all of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { eventually } from './patience.mjs';

// ------------------------------------------------------------------------------------------------------------- protobuf

/** The fields of a message, by number: all values of each, as they came. */
function fieldsOf(bytes) {
  const fields = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      assert.ok(at < bytes.length, 'a message that is cut off');
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const piece = (length) => {
    assert.ok(at + length <= bytes.length, 'a message that is cut off');
    return bytes.subarray(at, (at += length));
  };
  const readers = { 0: varint, 1: () => piece(8).readBigUInt64LE(), 2: () => piece(Number(varint())), 5: () => piece(4).readUInt32LE() };
  while (at < bytes.length) {
    const key = Number(varint());
    assert.ok(readers[key & 7], `wire type ${key & 7}`);
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), readers[key & 7]()]);
  }
  return fields;
}

const hex = (bytes) => bytes?.toString('hex') ?? '';
const text = (bytes) => bytes?.toString('utf8') ?? '';

/** What fields of messages are, by their numbers in trace.proto; `[name, reader, isRepeated]`. */
const read = (shape) => (bytes) => {
  const fields = fieldsOf(bytes);
  const unknown = [...fields.keys()].filter((number) => !shape[number]);
  assert.deepEqual(unknown, [], 'fields that nobody knows');
  return Object.fromEntries(Object.entries(shape).map(([number, [name, value, isRepeated]]) => {
    const all = (fields.get(Number(number)) ?? []).map(value);
    return [name, isRepeated ? all : all[0]];
  }));
};

const KINDS = [, 'internal', 'server', 'client', 'producer', 'consumer'];
const anyValue = (bytes) => Object.values(read({ 1: ['text', text], 3: ['number', Number] })(bytes)).find((value) => value !== undefined);
const keyValue = read({ 1: ['key', text], 2: ['value', anyValue] });
const attributes = ['attributes', keyValue, true];
const linkFields = read({ 1: ['traceId', hex], 2: ['spanId', hex], 6: ['flags', Number] });
const link = (bytes) => {
  const { traceId, spanId } = linkFields(bytes);
  return { traceId, spanId };
};
const status = read({ 2: ['message', text], 3: ['code', Number] });
const spanFields = read({
  1: ['traceId', hex], 2: ['spanId', hex], 4: ['parentId', hex], 5: ['name', text], 6: ['kind', (kind) => KINDS[kind]],
  7: ['start', (nanos) => nanos], 8: ['end', (nanos) => nanos], 9: attributes, 13: ['links', link, true], 15: ['status', status], 16: ['flags', Number],
});
/** A span; the first of its trace has no parent, and one that has not failed no status. */
const span = (bytes) => {
  const { parentId = '', status: said, ...rest } = spanFields(bytes);
  return { ...rest, parentId, status: said?.code ? said : undefined };
};
const scopeSpans = read({ 1: ['scope', read({ 1: ['name', text], 2: ['version', text] })], 2: ['spans', span, true] });
const resourceSpans = read({ 1: ['resource', read({ 1: attributes })], 2: ['scopes', scopeSpans, true] });
const request = read({ 1: ['resources', resourceSpans, true] });

const objectOf = (pairs) => Object.fromEntries(pairs.map(({ key, value }) => [key, value]));

/** All spans of a request, each with what is said of its node. */
const spansOf = (bytes) =>
  request(bytes).resources.flatMap(({ resource, scopes }) => {
    const node = objectOf(resource.attributes);
    return scopes.flatMap(({ spans }) => spans.map((one) => ({ ...one, attributes: objectOf(one.attributes), node })));
  });

// ------------------------------------------------------------------------------------------------------------ collector

/** The trace of a call. */
export const traceOf = (callId) => callId.replaceAll('-', '');

/** Starts a collector; it ends with the test. On `port`, or any. */
export async function startCollector(t, { port = 0 } = {}) {
  const collector = {
    /** Every span that was taken. */
    spans: [],
    /** Every request: `{headers, path, bytes}`. */
    requests: [],
    /** The faults of requests. */
    faults: [],
    /** How requests are answered: a status, and a body. */
    answer: { status: 200, body: Buffer.alloc(0) },
    /** The spans of the trace of a call. */
    ofCall: (callId) => collector.spans.filter(({ traceId }) => traceId === traceOf(callId)),
    /** The spans that link to a call. */
    linkedTo: (callId) => collector.spans.filter(({ links }) => links.some(({ traceId }) => traceId === traceOf(callId))),
    /** The spans that `choose` chooses, when `isAll` says that they are all there. */
    async wait(choose, isAll, what) {
      const found = () => choose(collector.spans);
      await eventually(() => isAll(found()), () => `${what}, only ${JSON.stringify(found().map(({ name }) => name))}`, 15_000);
      return found();
    },
    /** All that was said, as bytes. */
    bytes: () => Buffer.concat(collector.requests.map(({ bytes }) => bytes)),
  };
  const server = http.createServer(async (incoming, outgoing) => {
    const bytes = Buffer.concat(await incoming.toArray());
    const { headers, method, url: path } = incoming;
    collector.requests.push({ headers, path, bytes });
    try {
      assert.deepEqual([method, headers['content-type']], ['POST', 'application/x-protobuf']);
      const spans = spansOf(bytes);
      if (collector.answer.status === 200) collector.spans.push(...spans);
    } catch (error) {
      collector.faults.push(error);
    }
    outgoing.writeHead(collector.answer.status, { 'content-type': 'application/x-protobuf' }).end(collector.answer.body);
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  collector.port = server.address().port;
  collector.env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}` };
  collector.stop = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  t.after(async () => {
    await collector.stop();
    assert.deepEqual(collector.faults, [], 'a collector would not have understood this');
  });
  return collector;
}
