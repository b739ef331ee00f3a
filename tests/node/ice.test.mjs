// ICE servers: who gets which, over HTTP and over the socket; fresh ones in a call; and that a real coturn takes what is handed out.
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sign, startCoturn } from './coturn.mjs';
import { temporaryFolder } from './processes.mjs';
import { again, eventually, pair, phone, refused, ring, run, seconds, startServer, talk, tokenOf, unique } from './support.mjs';

const STUN = { urls: 'stun:127.0.0.1:9' };
const TURN = { TURN_SERVER_URL: 'turn:127.0.0.1:9?transport=udp,turn:127.0.0.1:9?transport=tcp', TURN_STATIC_SECRET: 'turn-secret' };
const URLS = TURN.TURN_SERVER_URL.split(',');
const REGIONS = { TURN_REGIONS: 'eu=turn:eu.example.org,turns:eu.example.org:443?transport=tcp; us=turn:us.example.org' };
/** Credentials that are renewed within the time a test waits. */
const SHORT = { TURN_TTL: '6' };
/** As `openssl rand -base64` makes them. */
const SECRETS = ['c2VjcmV0+/YmVmb3Jl/c2VjcmV0+w==', 'c2VjcmV0/+YWZ0ZXI+/c2VjcmV0wA=='];

/** What `/ice-servers` says. */
async function get(server, user, query = '') {
  const authorization = user && `Bearer ${tokenOf(user)}`;
  const answer = await fetch(`${server.url}/ice-servers${query}`, { headers: authorization ? { authorization } : {} });
  return answer.json();
}

/** The TURN entry of a list, which must have one, good for `ttl` seconds from now and signed with `secret` for `user`. */
function turnOf(list, { user, secret = TURN.TURN_STATIC_SECRET, ttl = 86400, urls = URLS }) {
  assert.deepEqual(Object.keys(list).sort(), ['iceServers', ...('success' in list ? ['success'] : []), 'ttl']);
  assert.equal(list.ttl, ttl);
  assert.equal(list.iceServers.length, 2);
  const [stun, turn] = list.iceServers;
  assert.deepEqual(stun, STUN);
  const { username } = turn;
  const expiry = Number(username.split(':', 1)[0]);
  assert.deepEqual(turn, { urls, username: `${expiry}:${user}`, credential: sign(secret, username) });
  const left = expiry - seconds();
  assert.ok(left <= ttl && left > ttl - 60, `${left} s are left of ${ttl}`);
  return turn;
}

describe('who gets which servers', () => {
  let server;
  before(async () => {
    server = await startServer({ ...TURN, ...REGIONS });
  });
  after(() => server.stop());

  test('a user gets TURN, over the socket as over HTTP, registered or not', async (t) => {
    for (const register of [true, false]) {
      const alice = await phone(t, server, { register });
      const answer = await alice.request('get_ice_servers');
      assert.equal(answer.success, true);
      turnOf(answer, { user: alice.user });
      turnOf(await get(server, alice.user), { user: alice.user });
    }
  });

  test('a region has servers of its own, an unknown one those of everybody', async (t) => {
    const alice = await phone(t, server);
    const cases = [
      ['eu', ['turn:eu.example.org', 'turns:eu.example.org:443?transport=tcp']],
      ['US', 'turn:us.example.org'],
      ['', URLS],
      ['mars', URLS],
      [null, URLS],
      [undefined, URLS],
    ];
    for (const [region, urls] of cases) {
      turnOf(await alice.request('get_ice_servers', { region }), { user: alice.user, urls });
      turnOf(await get(server, alice.user, `?region=${region ?? ''}`), { user: alice.user, urls });
    }
    turnOf(await alice.request('get_ice_servers', null), { user: alice.user });
    refused(await alice.request('get_ice_servers', { region: 7 }), 'E301', 'Invalid region');
    refused(await alice.request('get_ice_servers', 'eu'), 'E301', 'Invalid payload');
  });

  test('a fixed pair is handed out as it is', async (t) => {
    const fixed = { TURN_SERVER_URL: 'turn:t', TURN_USERNAME: 'u', TURN_CREDENTIAL: 'c' };
    const server = await startServer(fixed);
    t.after(() => server.stop());
    const alice = await phone(t, server);
    const answer = await alice.request('get_ice_servers', {});
    assert.deepEqual(answer.iceServers, [STUN, { urls: 'turn:t', username: 'u', credential: 'c' }]);
    assert.deepEqual(answer, await get(server, alice.user));
  });

  test('without a token there is STUN alone, whoever one says one is', async (t) => {
    const server = await startServer({ ...TURN, AUTH_REQUIRED: 'false' });
    t.after(() => server.stop());
    const stunOnly = { success: true, iceServers: [STUN], ttl: 86400 };
    assert.deepEqual(await get(server, undefined, '?userId=alice'), stunOnly);
    const nobody = await phone(t, server, { auth: {}, register: false });
    assert.deepEqual(await nobody.request('get_ice_servers'), stunOnly);
    await nobody.register();
    assert.deepEqual(await nobody.request('get_ice_servers'), stunOnly);
    const alice = await phone(t, server);
    turnOf(await alice.request('get_ice_servers'), { user: alice.user });
  });

  test('unless TURN is public', async (t) => {
    const server = await startServer({ ...TURN, AUTH_REQUIRED: 'false', ICE_SERVERS_PUBLIC: 'true' });
    t.after(() => server.stop());
    const nobody = await phone(t, server, { auth: {}, register: false });
    turnOf(await nobody.request('get_ice_servers'), { user: 'anonymous' });
    await nobody.register();
    turnOf(await nobody.request('get_ice_servers'), { user: nobody.user });
    turnOf(await get(server, undefined, '?userId=bob'), { user: 'bob' });
    const alice = await phone(t, server);
    turnOf(await alice.request('get_ice_servers'), { user: alice.user });
    turnOf(await get(server, alice.user, '?userId=bob'), { user: alice.user });
  });

  test('regions that cannot be read, and a file without a secret, stop the start', async () => {
    const { TURN_SERVER_URL } = TURN;
    const bad = { TURN_SERVER_URL, TURN_REGIONS: 'eu=stun:a; us', TURN_STATIC_SECRET_FILE: '/nowhere/at/all' };
    const { code, stdout, stderr } = await run(['check-config'], bad);
    assert.equal(code, 2);
    const said = stdout + stderr;
    for (const problem of ['TURN_REGIONS: region "eu" has "stun:a"', 'TURN_REGIONS: "us"', 'TURN_STATIC_SECRET_FILE: cannot be read']) {
      assert.ok(said.includes(problem), `${problem} in ${said}`);
    }
  });
});

describe('fresh servers in a call', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer({ ...TURN, ...REGIONS, ...SHORT });
  });
  after(() => server.stop());
  const ttl = Number(SHORT.TURN_TTL);

  /** Takes the next `ice_servers` of `who`, which must be in time: nothing that was handed out `ttl` ago is good any more. */
  async function renewed(who, options = {}) {
    const list = await who.take('ice_servers');
    return turnOf(list, { user: who.user, ttl, ...options });
  }
  const expiryOf = ({ username }) => Number(username.split(':', 1)[0]);

  test('both devices get them before the old ones end, again and again, and nobody else does', async (t) => {
    const [alice, bob] = await pair(t, server);
    const other = await phone(t, server, { user: bob.user });
    const ringing = await pair(t, server);
    await ring(...ringing);
    const began = seconds();
    await talk(alice, bob);
    const inTime = async (who) => {
      const first = await renewed(who);
      assert.ok(seconds() <= began + ttl, 'what was handed out at the answer has ended');
      const second = await renewed(who);
      assert.ok(seconds() <= expiryOf(first), 'what was sent first has ended');
      assert.ok(expiryOf(second) > expiryOf(first));
    };
    await Promise.all([alice, bob].map(inTime));
    for (const who of [other, ...ringing]) await who.hasNot('ice_servers');
  });

  test('for the region that was asked for, counted from then', async (t) => {
    const [alice, bob] = await pair(t, server);
    const got = turnOf(await alice.request('get_ice_servers', { region: 'us' }), { user: alice.user, ttl, urls: 'turn:us.example.org' });
    await talk(alice, bob);
    await renewed(alice, { urls: 'turn:us.example.org' });
    assert.ok(seconds() <= expiryOf(got), 'what it had asked for has ended');
    await renewed(bob);
  });

  test('none when the call is over', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    await alice.request('call_end', { callId });
    await bob.take('call_end');
    // Who is in a call that began later gets theirs later.
    const [carol, dave] = await pair(t, server);
    await talk(carol, dave);
    await Promise.all([renewed(carol), renewed(dave)]);
    for (const who of [alice, bob]) await who.hasNot('ice_servers');
  });

  test('to a device that was away when they were due as soon as it is back, on whatever node', async (t) => {
    const [alice, bob] = await pair(t, server);
    await talk(alice, bob);
    bob.cut();
    await renewed(alice);
    const [first, last] = [server.nodes[0], server.nodes.at(-1)];
    for (const node of [last, first]) {
      const back = await again(t, node, bob);
      await renewed(back);
      back.cut();
      await renewed(alice);
    }
  });

  test('to a device that displaced its own socket on another node, and not to the old socket', async (t) => {
    const [alice, bob] = await pair(t, server);
    await talk(alice, bob);
    const moved = await again(t, server.nodes.at(-1), bob);
    await bob.disconnected();
    await renewed(moved);
    await renewed(alice);
    assert.deepEqual(bob.heard('ice_servers'), []);
  });

  test('at once when another secret signs, which needs no restart', async (t) => {
    const folder = temporaryFolder();
    t.after(folder.remove);
    const file = path.join(folder.path, 'secret');
    const write = (text) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    write(`${SECRETS[0]}\n`);
    const server = await startServer({ TURN_SERVER_URL: TURN.TURN_SERVER_URL, TURN_STATIC_SECRET_FILE: file });
    t.after(() => server.stop());
    const [alice, bob] = await pair(t, server);
    await talk(alice, bob);
    const [before, now] = SECRETS;
    for (const who of [alice, bob]) turnOf(await who.request('get_ice_servers'), { user: who.user, secret: before });
    write(`${now}\n${before}\n`);
    for (const who of [alice, bob]) {
      turnOf(await who.take('ice_servers'), { user: who.user, secret: now });
      turnOf(await who.request('get_ice_servers'), { user: who.user, secret: now });
    }
    const said = server.output.stdout + server.output.stderr;
    for (const secret of SECRETS) assert.ok(!said.includes(secret), 'a secret was logged');
  });
});

describe('a real coturn', { concurrency: true }, () => {
  const [before, now] = SECRETS;

  /** A coturn that knows `secrets`, and a server that hands it out. */
  async function scene(t, options, env) {
    const coturn = await startCoturn(t, options);
    const server = await startServer({ TURN_SERVER_URL: coturn.urls.join(','), ...env });
    t.after(() => server.stop());
    return { coturn, server };
  }
  /** The credentials `user` gets over HTTP. */
  const given = async (server, user) => (await get(server, user)).iceServers[1];

  test('relays for whom the server names, by UDP and by TCP, and for nobody else', async (t) => {
    const { coturn, server } = await scene(t, { secrets: [now] }, { TURN_STATIC_SECRET: now });
    const alice = await phone(t, server);
    const over = (await alice.request('get_ice_servers')).iceServers[1];
    assert.deepEqual(over.urls, coturn.urls);
    const names = [`é: "b" \\ 'c' 100%`, 'Union: select', '日本'].map(unique);
    const [odd, ...others] = await Promise.all([...names, '1234567890', '😀'.repeat(128)].map((user) => given(server, user)));
    const good = [[over, 'udp'], [over, 'tcp'], [odd, 'udp'], ...others.map((one) => [one, 'tcp'])];
    const expiry = Number(over.username.split(':', 1)[0]);
    const signed = (secret, username) => ({ username, credential: sign(secret, username) });
    const bad = {
      forged: signed('another secret', over.username),
      expired: signed(now, `${seconds() - 1}:${alice.user}`),
      'with a stretched expiry': { ...over, username: `${expiry + 3600}:${alice.user}` },
      "with another user's name": { ...over, username: `${expiry}:${unique('bob')}` },
      "with another user's password": { ...over, credential: odd.credential },
    };
    for (const [what, credentials] of Object.entries(bad)) {
      for (const transport of ['udp', 'tcp']) {
        assert.equal(await coturn.relays(credentials, transport), false, `${what}, by ${transport}`);
      }
    }
    assert.deepEqual(await Promise.all(good.map((pair) => coturn.relays(...pair))), good.map(() => true));
  });

  test('refuses what it took before, once it has expired', async (t) => {
    const { coturn, server } = await scene(t, { secrets: [now] }, { TURN_STATIC_SECRET: now, ...SHORT });
    const credentials = await given(server, unique('alice'));
    assert.equal(await coturn.relays(credentials), true);
    await eventually(async () => !(await coturn.relays(credentials)), 'it is taken for ever', 60_000);
    assert.equal(await coturn.relays(await given(server, unique('alice'))), true);
  });

  test('knows both secrets of a rotation, and neither it nor the server is restarted', async (t) => {
    const folder = temporaryFolder();
    t.after(folder.remove);
    const file = path.join(folder.path, 'secret');
    writeFileSync(file, before);
    const { coturn, server } = await scene(t, { secrets: [before] }, { TURN_STATIC_SECRET_FILE: file });
    const old = await given(server, unique('alice'));
    assert.equal(await coturn.relays(old), true);

    await coturn.accept(now);
    writeFileSync(`${file}.new`, now);
    renameSync(`${file}.new`, file);
    const user = unique('bob');
    const isNew = async (node) => {
      const fresh = await given(node, user);
      return fresh.credential === sign(now, fresh.username) && fresh;
    };
    const [fresh] = await Promise.all(server.nodes.map((node) => eventually(() => isNew(node), 'the old secret signs')));
    assert.deepEqual(await Promise.all([old, fresh].map((one) => coturn.relays(one))), [true, true]);

    await coturn.refuse(before);
    assert.equal(await coturn.relays(old), false);
    assert.equal(await coturn.relays(fresh), true);
  });

  test('knows both secrets if they are in its configuration', async (t) => {
    const coturn = await startCoturn(t, { secrets: SECRETS, inFile: true });
    const servers = await Promise.all(SECRETS.map((secret) => startServer({ ...TURN, TURN_STATIC_SECRET: secret })));
    for (const server of servers) t.after(() => server.stop());
    const pairs = await Promise.all(servers.map((server) => given(server, unique('alice'))));
    assert.deepEqual(await Promise.all(pairs.map((one) => coturn.relays(one))), [true, true]);
  });
});
