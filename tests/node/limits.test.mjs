// Every bound: rates, sizes, depths, queues and connections. Who goes over one harms only themselves.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import {
  NO_RATE_LIMITS, Phone, TRANSPORTS, chaosProxy, eventually, floodUnread, pair, phone, refused, startServer, talk, tokenOf, unique, within,
} from './support.mjs';

let server;
let strict;
before(async () => {
  [server, strict] = await Promise.all([
    startServer(),
    startServer({ EVENT_BURST: '60', EVENT_RATE: '1', RATE_LIMIT_STRIKES: '20', CALL_BURST: '3', CALL_RATE: '1' }),
  ]);
});
after(() => Promise.all([server.stop(), strict.stop()]));

const LIMITED = ['E303', 'Rate limit exceeded'];

describe('rates', () => {
  for (const transports of TRANSPORTS) {
    test(`a burst of 200 candidates passes by default, over ${transports.join(', then ')}`, async (t) => {
      const [alice, bob] = await pair(t, server, { transports });
      const callId = await talk(alice, bob);
      for (let n = 0; n < 200; n++) alice.socket.emit('ice_candidate', { callId, to: bob.user, candidate: { n } });
      await bob.take('ice_candidate', ({ candidate }) => candidate.n === 199);
      assert.deepEqual(bob.heard('ice_candidate').map(({ candidate }) => candidate.n), [...Array(200).keys()]);
      await alice.hasNot('error');
    });
  }

  test('a flood with callbacks is answered E303, then disconnected for good', async (t) => {
    const [alice, bob] = await pair(t, strict);
    const answers = [];
    for (let n = 0; n < 200; n++) alice.socket.emit('ping', {}, (answer) => answers.push(answer));
    assert.equal(await alice.disconnected(), 'io server disconnect');
    const refusals = answers.filter(({ success }) => success === false);
    const passed = answers.length - refusals.length;
    assert.ok(passed <= 62 && refusals.length >= 15 && refusals.length <= 22, `${passed} passed, ${refusals.length} refused`);
    for (const answer of refusals) refused(answer, ...LIMITED);
    assert.equal((await alice.take('error')).code, 'E303');
    await bob.hasNot('error', '(disconnect)');
  });

  test('a flood without callbacks hears of it, once a second at most', async (t) => {
    const alice = await phone(t, strict);
    for (let n = 0; n < 200; n++) alice.socket.emit('ice_candidate', { callId: 'x', to: 'y', candidate: null });
    const { code, message } = await alice.take('error');
    assert.deepEqual([code, message], LIMITED);
    assert.equal(await alice.disconnected(), 'io server disconnect');
    assert.ok(alice.heard('error').length <= 2, `${alice.heard('error').length} error events`);
  });

  test('by default a flood is cut too', async (t) => {
    const alice = await phone(t, server);
    for (let n = 0; n < 3000; n++) alice.socket.emit('pong', {});
    assert.equal(await alice.disconnected(), 'io server disconnect');
  });

  test('calls per user are limited, over all devices', async (t) => {
    const [node] = strict.nodes;
    const alice = await phone(t, node);
    const laptop = await phone(t, node, { user: alice.user });
    const call = (who) => who.request('call_initiate', { calleeId: unique('nobody'), callType: 'audio' });
    for (const who of [alice, laptop, alice]) assert.equal((await call(who)).success, true);
    for (const who of [alice, laptop]) refused(await call(who), ...LIMITED);
    const other = await phone(t, node);
    assert.equal((await call(other)).success, true);
  });

  test('events per user are limited, over all devices', async (t) => {
    const server = await startServer({ USER_EVENT_BURST: '40', USER_EVENT_RATE: '1' });
    t.after(() => server.stop());
    const [node] = server.nodes;
    const alice = await phone(t, node);
    const laptop = await phone(t, node, { user: alice.user });
    const answers = [];
    for (let n = 0; n < 30; n++) answers.push(await alice.request('ping', {}), await laptop.request('ping', {}));
    const passed = answers.filter(({ success }) => success !== false).length;
    assert.ok(passed >= 34 && passed <= 44, `${passed} of 60 passed`);
    refused(answers.at(-1), ...LIMITED);
  });

  test('bytes per socket are limited', async (t) => {
    const node = await startServer({ EVENT_BYTES_BURST: '50000', EVENT_BYTES_RATE: '1000', MAX_PAYLOAD: '40000' });
    t.after(() => node.stop());
    const [alice, bob] = await pair(t, node);
    const callId = await talk(alice, bob);
    const send = () => alice.request('sdp_offer', { callId, to: bob.user, sdp: 'x'.repeat(20_000) });
    assert.equal((await send()).success, true);
    assert.equal((await send()).success, true);
    refused(await send(), ...LIMITED);
  });
});

describe('sizes and depths', () => {
  test('descriptions, candidates and texts have bounds, and may reach them', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    const to = bob.user;
    const send = (name, fields) => alice.request(name, { callId, to, ...fields });
    assert.equal((await send('sdp_offer', { sdp: 'x'.repeat(131_000) })).success, true);
    refused(await send('sdp_offer', { sdp: 'x'.repeat(131_100) }), 'E301', 'Invalid sdp');
    refused(await send('sdp_answer', { sdp: { type: 'answer', sdp: 'x'.repeat(131_100) } }), 'E301', 'Invalid sdp');
    assert.equal((await send('ice_candidate', { candidate: 'x'.repeat(8_100) })).success, true);
    refused(await send('ice_candidate', { candidate: { candidate: 'x'.repeat(8_200) } }), 'E301', 'Invalid candidate');
    const name = 'é'.repeat(128);
    assert.equal((await alice.request('call_initiate', { calleeId: name, callType: 'audio' })).success, true);
    refused(await alice.request('call_initiate', { calleeId: `${name}é`, callType: 'audio' }), 'E003', 'Invalid callee ID');
  });

  test('MAX_SDP_BYTES, MAX_CANDIDATE_BYTES and MAX_PAYLOAD are kept', async (t) => {
    const node = await startServer({ MAX_SDP_BYTES: '2000', MAX_CANDIDATE_BYTES: '1000', MAX_PAYLOAD: '20000' });
    t.after(() => node.stop());
    const open = await (await fetch(`${node.url}/socket.io/?EIO=4&transport=polling`)).text();
    assert.equal(JSON.parse(open.slice(1)).maxPayload, 20_000);
    const [alice, bob] = await pair(t, node);
    const callId = await talk(alice, bob);
    refused(await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'x'.repeat(2_001) }), 'E301', 'Invalid sdp');
    refused(await alice.request('ice_candidate', { callId, to: bob.user, candidate: 'x'.repeat(1_001) }), 'E301', 'Invalid candidate');
    alice.socket.emit('ping', 'x'.repeat(20_001));
    assert.equal(await alice.disconnected(), 'transport close');
    await bob.hasNot('(disconnect)');
  });

  test('binary attachments count as size', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    const answer = await alice.request('sdp_offer', { callId, to: bob.user, sdp: { blob: Buffer.alloc(200_000) } });
    refused(answer, 'E301', 'Invalid sdp');
  });

  const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth);
  const events = ['ping', 'pong', 'register', 'call_initiate', 'call_end', 'sdp_offer', 'ice_candidate', 'no_such_event'];
  for (const depth of [3_000, 100_000]) {
    test(`arrays nested ${depth} deep harm nobody`, async (t) => {
      const bob = await phone(t, server);
      for (const event of events) {
        const alice = await phone(t, server);
        alice.write(`2["${event}",${nested(depth)}]`);
        alice.write(`27["${event}",${nested(depth)}]`);
        alice.write(`2["${event}",{"callId":${nested(depth)},"to":"x","sdp":${nested(depth)},"candidate":${nested(depth)}}]`);
        const fate = await Promise.race([alice.request('ping', {}).then(() => 'stays'), alice.disconnected().catch(() => 'none')]);
        assert.ok(['stays', 'transport close'].includes(fate), fate);
        if (event === 'pong' && depth === 3_000) assert.equal(fate, 'stays');
      }
      await server.isAlive();
      await bob.hasNot('(disconnect)');
    });
  }

  test('deep descriptions in a call reach the other side whole, or not at all', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    let sdp = { end: true };
    for (let n = 0; n < 100; n++) sdp = { n, inner: sdp };
    assert.equal((await alice.request('sdp_offer', { callId, to: bob.user, sdp })).success, true);
    assert.deepEqual((await bob.take('sdp_offer')).sdp, sdp);
    alice.write(`2["sdp_offer",{"callId":"${callId}","to":"${bob.user}","sdp":${nested(3_000)}}]`);
    await bob.hasNot('(disconnect)');
  });

  test('binary placeholders without their attachments harm nobody', async (t) => {
    const bob = await phone(t, server);
    for (const packet of [
      '51-["sdp_offer",{"_placeholder":true,"num":0}]',
      '5999999999-["sdp_offer",{"_placeholder":true,"num":0}]',
      '2["sdp_offer",{"callId":"x","to":"y","sdp":{"_placeholder":true,"num":7}}]',
    ]) {
      const alice = await phone(t, server);
      alice.write(packet);
      alice.write('2["ping",{}]');
    }
    await server.isAlive();
    await bob.hasNot('(disconnect)');
  });
});

describe('queues', () => {
  test('a client that does not read is cut, harms nobody, and gets what it missed when it is back', async (t) => {
    const node = await startServer({ ...NO_RATE_LIMITS, SEND_QUEUE: '64', INBOX_MESSAGES: '100000', INBOX_BYTES: '100000000' });
    t.after(() => node.stop());
    const proxy = await chaosProxy(t, node);
    const [alice, carol] = await pair(t, node);
    const bob = await phone(t, node, { url: proxy.url });
    const callId = await talk(alice, bob);
    proxy.stopReading();
    const COUNT = 3000;
    const filler = 'x'.repeat(8_000);
    for (let n = 0; n < COUNT; n++) {
      const answer = await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n, filler } });
      assert.equal(answer.success, true, JSON.stringify(answer));
    }
    await carol.request('ping', {});
    proxy.readOn();
    assert.equal(await bob.disconnected(), 'transport close');
    const had = bob.heard('ice_candidate').map(({ candidate, eventId }) => ({ n: candidate.n, eventId }));
    assert.deepEqual(had.map(({ n }) => n), [...Array(had.length).keys()]);
    assert.ok(had.length < COUNT, 'it was not cut');
    const again = new Phone(node.url, { user: bob.user, device: bob.device });
    t.after(() => again.close());
    await again.comeBack(had.length ? { lastEventId: had.at(-1).eventId } : {});
    await again.take('ice_candidate', ({ candidate }) => candidate.n === COUNT - 1);
    const rest = again.heard('ice_candidate').map(({ candidate }) => candidate.n);
    assert.deepEqual(rest, Array.from({ length: COUNT - had.length }, (_, n) => n + had.length));
  });

  test('by default as much as the inbox holds is delivered on return: more than one send queue', async (t) => {
    const node = await startServer(NO_RATE_LIMITS);
    t.after(() => node.stop());
    const [alice, bob] = await pair(t, node);
    const callId = await talk(alice, bob);
    bob.cut();
    await bob.disconnected();
    for (let n = 0; n < 1000; n++) await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n } });
    await bob.comeBack();
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === 999);
    assert.deepEqual(bob.heard('ice_candidate').map(({ candidate }) => candidate.n), [...Array(1000).keys()]);
    await bob.hasNot('(disconnect)');
  });

  test('an inbox that overflows keeps the newest, and the end of the call above all', async (t) => {
    const node = await startServer({ ...NO_RATE_LIMITS, INBOX_MESSAGES: '20' });
    t.after(() => node.stop());
    const [alice, bob] = await pair(t, node);
    const callId = await talk(alice, bob);
    bob.cut();
    await bob.disconnected();
    for (let n = 0; n < 100; n++) await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n } });
    await alice.request('call_end', { callId });
    await bob.comeBack();
    assert.equal((await bob.take('call_end')).callId, callId);
  });
});

describe('connections', () => {
  test('MAX_CONNECTIONS_PER_USER and MAX_CONNECTIONS are kept; who leaves makes room', async (t) => {
    const server = await startServer({ MAX_CONNECTIONS: '4', MAX_CONNECTIONS_PER_USER: '2' });
    t.after(() => server.stop());
    const [node] = server.nodes;
    const alice = await phone(t, node);
    const laptop = await phone(t, node, { user: alice.user });
    const one = (user) => {
      const made = new Phone(node.url, { user });
      t.after(() => made.close());
      return made;
    };
    await assert.rejects(one(alice.user).connect(), Error, 'a third connection of one user');
    await phone(t, node);
    await phone(t, node);
    await assert.rejects(one(unique('late')).connect(), Error, 'a fifth connection');
    await laptop.hasNot('(disconnect)');
    await alice.hasNot('(disconnect)');
  });

  test('who leaves and comes back over one connection is counted once, and is closed when the token runs out', async (t) => {
    const server = await startServer({ MAX_CONNECTIONS_PER_USER: '1' });
    t.after(() => server.stop());
    const [node] = server.nodes;
    const user = unique('revenant');
    /** A bare websocket whose client has connected, left, and connected again. */
    const comeBack = async (token) => {
      const websocket = new WebSocket(`${node.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
      t.after(() => websocket.terminate());
      const connect = `40${JSON.stringify({ token })}`;
      const again = ['41', connect];
      await within(new Promise((resolve, reject) => {
        websocket.on('error', reject);
        websocket.on('message', (data) => {
          const packet = String(data);
          if (packet.startsWith('0')) websocket.send(connect);
          if (packet.startsWith('44')) reject(new Error(packet));
          if (!packet.startsWith('40')) return;
          if (!again.length) resolve();
          for (const next of again.splice(0)) websocket.send(next);
        });
      }), 'it did not come back');
      return websocket;
    };
    const closed = (websocket, what) => within(once(websocket, 'close'), what);
    const lasting = await comeBack(tokenOf(user));
    await assert.rejects(phone(t, node, { user }), Error, 'a second connection of one user');
    lasting.close();
    await closed(lasting, 'it was asked to close and stayed');
    await eventually(() => phone(t, node, { user }).then((made) => made.close() ?? true), 'there is no room');
    const passing = await eventually(
      () => comeBack(tokenOf(user, { exp: Math.floor(Date.now() / 1000) + 3 })), 'there is no room',
    );
    await closed(passing, 'its token has run out and it stayed');
    await eventually(() => phone(t, node, { user }), 'there is no room');
  });

  test('a connection that says nothing is closed after SOCKET_CONNECT_TIMEOUT', async (t) => {
    const server = await startServer({ SOCKET_CONNECT_TIMEOUT: '300' });
    t.after(() => server.stop());
    const [node] = server.nodes;
    const session = await (await fetch(`${node.url}/socket.io/?EIO=4&transport=polling`)).text();
    const { sid } = JSON.parse(session.slice(1));
    const url = `${node.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
    let status;
    let packets = '';
    do {
      const answer = await fetch(url);
      status = answer.status;
      packets = await answer.text();
    } while (status === 200 && !packets.split('\x1e').includes('1'));
    const late = await fetch(url, { method: 'POST', body: `40${JSON.stringify({ token: tokenOf('late') })}` });
    assert.equal(late.status, 400);
  });
});

describe('what one client does to another', () => {
  test('a description that cannot be encoded again is refused, and cuts nobody off', async (t) => {
    const server = await startServer();
    t.after(() => server.stop());
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    for (const [n, inside] of ['1e999', '"\\ud800"', `${'['.repeat(200)}${']'.repeat(200)}`].entries()) {
      const blob = { _placeholder: true, num: 0 };
      const sdp = `{"blob":${JSON.stringify(blob)},"inside":${inside}}`;
      const answered = new Promise((resolve) => alice.socket.io.engine.on('packet', ({ data }) => String(data).startsWith(`37${n}`) && resolve(data)));
      alice.write(`51-7${n}["sdp_offer",{"callId":"${callId}","to":"${bob.user}","sdp":${sdp}}]`);
      alice.write(Buffer.from('blob'));
      assert.match(await answered, /E301/);
    }
    const answer = await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: 1 } });
    assert.equal(answer.success, true);
    await bob.take('ice_candidate');
    await bob.hasNot('(disconnect)', 'sdp_offer');
  });

  test('an attachment is sent as often as it came: placeholders name each once', async (t) => {
    const server = await startServer();
    t.after(() => server.stop());
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    const placeholder = '{"_placeholder":true,"num":0}';
    for (const [n, blobs] of [`[${placeholder},${placeholder}]`, '[]', '[{"_placeholder":true,"num":1}]'].entries()) {
      const answered = new Promise((resolve) => alice.socket.io.engine.on('packet', ({ data }) => String(data).startsWith(`38${n}`) && resolve(data)));
      alice.write(`51-8${n}["sdp_offer",{"callId":"${callId}","to":"${bob.user}","sdp":{"blobs":${blobs}}}]`);
      alice.write(Buffer.from('blob'));
      assert.match(await answered, /E301/);
    }
    await bob.hasNot('sdp_offer', '(disconnect)');
  });

  for (const transports of [['websocket'], ['polling']]) {
    test(`a burst of 900 is answered and relayed whole over ${transports}`, async (t) => {
      const server = await startServer();
      t.after(() => server.stop());
      const [alice, bob] = await pair(t, server, { transports });
      const callId = await talk(alice, bob);
      const answers = Array.from({ length: 900 }, (_, n) => alice.request('ice_candidate', { callId, to: bob.user, candidate: { n } }));
      for (const answer of await Promise.all(answers)) assert.equal(answer.success, true);
      await bob.take('ice_candidate', ({ candidate }) => candidate.n === 899);
      assert.deepEqual(bob.heard('ice_candidate').map(({ candidate }) => candidate.n), [...Array(900).keys()]);
      await bob.hasNot('(disconnect)');
    });
  }

  test('a client that pings and does not read is not listened to', async (t) => {
    const server = await startServer();
    t.after(() => server.stop());
    const [node] = server.nodes;
    const bob = await phone(t, node);
    const flood = connect({ host: '127.0.0.1', port: node.port });
    t.after(() => flood.destroy());
    flood.on('error', () => {});
    await floodUnread(flood, bob);
    await server.isAlive();
  });

  test('a session whose upgrade breaks is over', async (t) => {
    const server = await startServer();
    t.after(() => server.stop());
    const [node] = server.nodes;
    const polling = `${node.url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(polling)).text()).slice(1));
    const websocket = new WebSocket(`${node.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&sid=${sid}`);
    await once(websocket, 'open');
    websocket.terminate();
    let status;
    for (let n = 0; n < 1000 && status !== 400; n++) ({ status } = await fetch(`${polling}&sid=${sid}`));
    assert.equal(status, 400);
  });
});
