// The faults of a fault run: how each is dealt, how it ends, and what may be lost by it.
import assert from 'node:assert/strict';
import { pause } from './app.mjs';

const open = ({ cluster }) => cluster.nodes.filter(({ isLeaving }) => !isLeaving);
const anyNode = (scene) => scene.chance.pick(open(scene));

/** Why calls may be lost although nothing is wrong with the nodes. */
const REPLICATION =
  'Redis copies to its replica after it has answered. What was written in the last moment before the primary died is not known to its heir: '
  + 'the nodes put back the calls they remember, but not messages that were on their way.';
const AMNESIA =
  'an empty Redis knows nothing. The nodes put back the calls they remember; messages that waited for somebody who was away are gone.';

/** Cuts connections of one kind in the middle of the work, several times. */
async function killClients({ redis }, type) {
  for (let round = 0; round < 5; round++) {
    assert.ok((await redis.send('CLIENT', 'KILL', 'TYPE', type)) > 0, `nodes have no connection of type ${type}`);
    await pause(400);
  }
}

async function leave(node) {
  const { code, signal } = await node.stop('SIGTERM');
  assert.deepEqual([code, signal], [0, null], `a node that was asked to leave: ${code} ${signal}`);
}

/**
 * Each fault is dealt by `strike` and ended by `heal`, `lastsMs` later. The time to recover counts from the end, or from the strike where
 * that `isABlow`. `excuse` says why calls may be lost; without one none may. `needs` is what the scene has to have beside nodes and a Redis:
 * sentinels, a `road` to Redis on which anything may happen, or such a one for the last node alone.
 */
export const FAULTS = [
  {
    name: 'node-kill', what: 'node: kill -9, another takes its place', isInShort: true, isABlow: true,
    strike: (scene) => anyNode(scene).kill9(),
    heal: ({ cluster }) => cluster.join(),
  },
  { name: 'node-drain', what: 'node: SIGTERM', strike: (scene) => leave(anyNode(scene)) },
  {
    name: 'rolling-restart', what: 'nodes: all replaced, one by one', isInShort: true,
    async strike(scene) {
      for (const old of open(scene)) {
        await (await scene.cluster.join()).ready();
        await leave(old);
      }
    },
  },
  {
    name: 'node-frozen', what: 'node: frozen for 10 s', lastsMs: 10_000,
    strike(scene) {
      scene.victim = anyNode(scene);
      scene.victim.pause();
    },
    heal: ({ victim }) => victim.resume(),
  },
  {
    name: 'node-cut-off', what: 'node: cut off from Redis for 10 s', lastsMs: 10_000, needs: 'road of one',
    strike: ({ road }) => road.refuse(),
    heal: ({ road }) => road.accept(),
  },
  {
    name: 'redis-restart', what: 'Redis: kill -9, restart with its data', isInShort: true, config: ['appendonly yes'],
    strike: ({ redis }) => redis.kill9(),
    heal: ({ redis }) => redis.restart(),
  },
  {
    name: 'redis-empty', what: 'Redis: kill -9, restart empty', excuse: AMNESIA,
    strike: ({ redis }) => redis.kill9(),
    heal: ({ redis }) => redis.restart({ empty: true }),
  },
  { name: 'redis-frozen', what: 'Redis: frozen for 5 s', lastsMs: 5000, strike: ({ redis }) => redis.pause(), heal: ({ redis }) => redis.resume() },
  {
    name: 'redis-unheard', what: 'Redis: nothing passes for 5 s', lastsMs: 5000, needs: 'road',
    strike: ({ road }) => road.blackhole(),
    heal: ({ road }) => road.heal(),
  },
  { name: 'kill-normal', what: 'Redis: CLIENT KILL TYPE normal, 5 times', isInShort: true, strike: (scene) => killClients(scene, 'normal') },
  { name: 'kill-pubsub', what: 'Redis: CLIENT KILL TYPE pubsub, 5 times', isInShort: true, strike: (scene) => killClients(scene, 'pubsub') },
  {
    name: 'redis-stumbles', what: 'Redis: connections cut, frozen for 1.5 s right after; 4 times',
    async strike({ redis, chance }) {
      for (let round = 0; round < 4; round++) {
        await Promise.all(['normal', 'pubsub'].map((type) => redis.send('CLIENT', 'KILL', 'TYPE', type)));
        await pause(chance.between(10, 80));
        redis.pause();
        await pause(1500);
        redis.resume();
        await pause(1500);
      }
    },
  },
  {
    name: 'redis-far', what: 'Redis: 100 ms farther away, for 8 s', lastsMs: 8000, needs: 'road',
    strike: ({ road }) => road.delay(50),
    heal: ({ road }) => road.delay(0),
  },
  {
    name: 'sentinel', what: 'Sentinel: primary killed, fail-over', needs: 'sentinels', isABlow: true, excuse: REPLICATION,
    async strike(scene) {
      scene.heir = await scene.group.killPrimary();
    },
    heal: ({ group, heir }) => group.takenOver(heir),
  },
  {
    name: 'redis-down', what: 'Redis: down for 20 s, restart with its data', lastsMs: 20_000, config: ['appendonly yes'],
    strike: ({ redis }) => redis.kill9(),
    heal: ({ redis }) => redis.restart(),
  },
];
