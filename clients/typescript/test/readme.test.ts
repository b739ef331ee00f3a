// The types and the tables of README.md name the same requests, fields, answers, events and error codes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import ts from 'typescript';
import { declared, fieldsOf, members, namesOf, typeOf } from './declared.js';

const README = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');

/** The rows of the first table below a heading, as cells. */
function rows(heading: string): string[][] {
  const [, below = ''] = README.split(`\n${heading}\n`);
  const table = below.split('\n').filter((line, at, all) => line.startsWith('|') && !all.slice(0, at).some((l) => l.startsWith('#')));
  const first = table.findIndex((line) => /^\|[-|]+\|$/.test(line));
  const end = table.findIndex((line, at) => at > first && /^\|[-|]+\|$/.test(line));
  return table.slice(first + 1, end < 0 ? undefined : end - 1).map((line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()));
}

/** Everything in backquotes. */
const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);

test('requests and their fields', () => {
  const written = new Map<string, string[]>();
  let current: string[] = [];
  for (const [events, fields, need] of rows('### Requests')) {
    if (events) current = quoted(events);
    for (const event of current) {
      const already = written.get(event) ?? [];
      written.set(event, [...already, ...quoted(fields).map((field) => (need === 'required' ? field : `${field}?`))].sort());
    }
  }
  assert.ok(written.size > 10);
  const typed = members(declared('Requests')).map((request): [string, string[]] => [request.name, fieldsOf(typeOf(request))]);
  // Its payload may be left out, and so it is always sent here.
  const sort = (entries: Iterable<[string, string[]]>) => Object.fromEntries([...entries].sort(([a], [b]) => a.localeCompare(b)));
  assert.deepEqual(sort(typed), sort(written));
});

test('answers', () => {
  const written = rows('### Answers').flatMap(([request]) => quoted(request)).sort();
  assert.deepEqual(namesOf(declared('Answers')), written);
});

test('events from the server', () => {
  const written = new Set(rows('### Events from the server').flatMap(([event]) => quoted(event)));
  assert.ok(written.size > 10);
  assert.deepEqual(namesOf(declared('Events')), [...written].sort());
});

test('error codes', () => {
  const written = new Set(rows('## Errors').map(([code]) => code!));
  assert.ok(written.size > 10);
  const typed = (declared('ErrorCode') as ts.UnionType).types.map((type) => (type as ts.StringLiteralType).value);
  assert.deepEqual(typed.sort(), [...written].sort());
});

test('the example of this package is shown as it is compiled', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const example = readFileSync(new URL('../test/example.ts', import.meta.url), 'utf8');
  assert.ok(readme.includes(`\`\`\`ts\n${example}\`\`\`\n`), 'README.md does not show test/example.ts');
});
