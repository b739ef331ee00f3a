// The types and docs/asyncapi.json have the same requests, answers and events, with the same fields of the same kinds.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import ts from 'typescript';
import { declared, fieldsOf, kindsOf, members, namesOf, typeOf } from './declared.js';

interface Schema {
  $ref?: string;
  allOf?: Schema[];
  anyOf?: Schema[];
  type?: string | string[];
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
}

const DOCUMENT = JSON.parse(readFileSync(new URL('../../../docs/asyncapi.json', import.meta.url), 'utf8')) as {
  channels: Record<'namespace' | 'acks', { messages: Record<string, { payload: Schema }> }>;
  components: { schemas: Record<string, Schema> };
};

/** What a reference stands for; of a schema that is narrowed, the whole one. */
function resolved(schema: Schema): Schema {
  const whole = schema.$ref ? DOCUMENT.components.schemas[schema.$ref.split('/').pop()!]! : schema.allOf?.[0];
  return whole ? resolved(whole) : schema;
}

/** The payloads of all messages of this kind, by event. */
const payloads = (channel: 'namespace' | 'acks', kind: string) =>
  new Map(
    Object.entries(DOCUMENT.channels[channel].messages)
      .filter(([key]) => key.endsWith(`.${kind}`))
      .map(([key, { payload }]): [string, Schema] => [key.slice(0, -kind.length - 1), resolved(payload)]),
  );

const kindsIn = (schema: Schema): string[] => {
  const { type, anyOf } = resolved(schema);
  if (anyOf) return [...new Set(anyOf.flatMap(kindsIn))].sort();
  return [type ?? 'string'].flat().map((kind) => (kind === 'integer' ? 'number' : kind)).sort();
};

/** Fails unless `typed` is as `written`, field by field. */
function compare(what: string, typed: ts.Type, written: Schema) {
  const { properties = {}, required = [] } = written;
  const names = Object.keys(properties).map((name) => (required.includes(name) ? name : `${name}?`));
  assert.deepEqual(fieldsOf(typed), names.sort(), what);
  for (const member of members(typed)) assert.deepEqual(kindsOf(typeOf(member)), kindsIn(properties[member.name]!), `${what}.${member.name}`);
}

// Nobody has to send `pong`, and an app has no use for it.
for (const [name, channel, kind, left] of [
  ['Requests', 'namespace', 'request', ['pong']],
  ['Answers', 'acks', 'ok', ['pong']],
  ['Events', 'namespace', 'event', []],
] as const) {
  test(name, () => {
    const written = payloads(channel, kind);
    for (const event of left) assert.ok(written.delete(event));
    assert.deepEqual(namesOf(declared(name)), [...written.keys()].sort());
    for (const member of members(declared(name))) compare(`${name}.${member.name}`, typeOf(member), written.get(member.name)!);
  });
}

test('IceServer and ErrorCode', () => {
  const { IceServer, Problem } = DOCUMENT.components.schemas;
  compare('IceServer', declared('IceServer'), IceServer!);
  const codes = (declared('ErrorCode') as ts.UnionType).types.map((type) => (type as ts.StringLiteralType).value);
  assert.deepEqual(codes.sort(), Problem!.properties!.code!.enum);
});
