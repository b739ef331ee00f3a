// The fault run: keeps calls going while nodes and Redis are killed, paused and failed over, and says what became of the calls.
import { parseArgs } from 'node:util';
import { FAULTS } from './faults/faults.mjs';
import { footer, isAsPromised, keepIn, sentences, table } from './faults/report.mjs';
import { runFault } from './faults/scene.mjs';

const USAGE = `tests/fault-run [OPTIONS]

Keeps calls going at a fixed rate between apps on several nodes, deals one fault after the other, and prints a table.
Ends with 1 if a call was lost, or an outcome wrong, by a fault that must not do that; or if the nodes did not recover.

  --short        the form for every change: fewer faults, fewer calls, under 90 s
  --rate N       calls begun in a second (20; 10 with --short)
  --nodes N      nodes (3)
  --fault NAME   this fault alone; may be given more than once
  --seed N       the seed of everything left to chance
  --keep FOLDER  write the logs of the nodes, at level debug, and the stories of calls that went wrong there

Faults: ${FAULTS.map(({ name }) => name).join(', ')}
`;

/** How long a call rings, calls go on before the fault and after it, and nodes send their clients away. */
const LONG = { rate: 20, ringMs: 30_000, leadMs: 4000, trailMs: 5000, drainMs: 2000 };
const SHORT = { rate: 10, ringMs: 6000, leadMs: 1500, trailMs: 1500, drainMs: 600 };

function optionsOf(args) {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean' }, short: { type: 'boolean' }, rate: { type: 'string' }, nodes: { type: 'string', default: '3' },
      fault: { type: 'string', multiple: true }, seed: { type: 'string' }, keep: { type: 'string' },
    },
  });
  const number = (name, text, least) => {
    if (!/^\d{1,10}$/.test(text) || Number(text) < least) throw new Error(`--${name} is a whole number from ${least} on`);
    return Number(text);
  };
  const unknown = values.fault?.find((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown) throw new Error(`there is no fault called ${unknown}`);
  const form = values.short ? SHORT : LONG;
  return {
    ...form,
    isHelp: values.help,
    rate: values.rate ? number('rate', values.rate, 1) : form.rate,
    nodes: number('nodes', values.nodes, 2),
    seed: values.seed ? number('seed', values.seed, 0) : Math.floor(Math.random() * 2 ** 32),
    logLevel: values.keep ? 'debug' : 'info',
    keep: values.keep && keepIn(values.keep),
    faults: FAULTS.filter(({ name, isInShort }) => (values.fault ? values.fault.includes(name) : !values.short || isInShort)),
  };
}

async function main() {
  let options;
  try {
    options = optionsOf(process.argv.slice(2));
  } catch (error) {
    console.error(`fault-run: ${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options.isHelp) {
    console.log(USAGE);
    return 0;
  }
  const { faults, keep, ...rest } = options;
  console.log(`fault run: ${rest.nodes} nodes, ${rest.rate} calls a second, seed ${rest.seed}\n`);
  const results = [];
  for (const fault of faults) {
    const result = await runFault(fault, rest, keep);
    results.push(result);
    console.log(sentences(result));
  }
  console.log(`\n${table(results)}\n${footer(results)}`);
  const broken = results.filter((result) => !isAsPromised(result)).map(({ fault }) => fault.what);
  console.log(broken.length ? `\nnot as promised, seed ${rest.seed}: ${broken.join('; ')}` : '\nall as promised');
  return broken.length ? 1 : 0;
}

// What was started ends with this process, however that ends.
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(code));
process.exitCode = await main();
