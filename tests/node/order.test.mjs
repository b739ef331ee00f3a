// Order, as seen by the stock client: a candidate never overtakes its description, an event never overtakes the ack before it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NO_RATE_LIMITS, TRANSPORTS, pair, ring, startServer, talk } from './support.mjs';

let server;
before(async () => {
  server = await startServer(NO_RATE_LIMITS);
});
after(() => server.stop());

const CALLS = 100;
const CANDIDATES = 50;

describe('a description and 50 candidates at once', () => {
  for (const transports of TRANSPORTS) {
    test(`${CALLS} calls over ${transports.join(', then ')}, both directions`, async (t) => {
      const two = await pair(t, server, { transports });
      for (let round = 0; round < CALLS; round++) {
        const callId = await talk(...two);
        two.forEach((who, n) => {
          const to = two[1 - n].user;
          who.socket.emit(n === 0 ? 'sdp_offer' : 'sdp_answer', { callId, to, sdp: { type: 'any', sdp: 'x'.repeat(2000) } });
          for (let n = 0; n < CANDIDATES; n++) who.socket.emit('ice_candidate', { callId, to, candidate: { n } });
        });
        await Promise.all(two.map((who) => who.take('ice_candidate', ({ candidate }) => candidate.n === CANDIDATES - 1)));
        for (const who of two) {
          const heard = who.events.filter(({ name }) => /^(sdp_|ice_)/.test(name)).map(({ name, payload }) => payload.candidate?.n ?? name);
          assert.deepEqual(heard, [heard[0], ...Array(CANDIDATES).keys()]);
          assert.match(String(heard[0]), /^sdp_/);
          who.events.length = who.unread.length = 0;
        }
        await two[0].request('call_end', { callId });
        await two[1].take('call_end');
      }
    });
  }
});

describe('acks before the events that follow from them', () => {
  for (const transports of TRANSPORTS) {
    test(`over ${transports.join(', then ')}`, async (t) => {
      const [alice, bob] = await pair(t, server, { transports });
      const log = [];
      bob.socket.on('incoming_call', ({ callId }) => {
        bob.socket.emit('call_accept', { callId }, () => log.push('accept acked'));
      });
      alice.socket.on('call_accept', ({ callId }) => {
        log.push('call_accept');
        alice.socket.emit('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
      });
      bob.socket.on('sdp_offer', () => log.push('sdp_offer'));
      for (let round = 0; round < CALLS; round++) {
        log.length = 0;
        const answer = new Promise((resolve) => {
          alice.socket.emit('call_initiate', { calleeId: bob.user, callType: 'audio' }, (ack) => {
            log.push('initiate acked');
            resolve(ack);
          });
        });
        await bob.take('sdp_offer');
        const { callId } = await answer;
        const place = (entry) => log.indexOf(entry);
        assert.equal(log.length, 4, String(log));
        assert.ok(place('initiate acked') < place('call_accept'), String(log));
        assert.ok(place('accept acked') < place('sdp_offer'), String(log));
        await alice.request('call_end', { callId });
        await bob.take('call_end');
      }
    });
  }

  test('requests of one socket are handled in the order sent', async (t) => {
    const [alice, bob] = await pair(t, server);
    for (let round = 0; round < 30; round++) {
      const callId = await ring(alice, bob);
      const answers = await Promise.all([
        bob.request('call_accept', { callId }),
        bob.request('ice_candidate', { callId, to: alice.user, candidate: { round } }),
        bob.request('call_end', { callId }),
        bob.request('ice_candidate', { callId, to: alice.user, candidate: 'late' }),
      ]);
      assert.deepEqual(answers.map(({ success }) => success), [true, true, true, false], JSON.stringify(answers));
      await alice.take('call_end');
    }
    const names = alice.events.map(({ name }) => name).filter((name) => name !== 'registered');
    const cycle = ['call_accept', 'ice_candidate', 'call_end'];
    assert.deepEqual(names, Array.from({ length: 90 }, (_, n) => cycle[n % 3]));
  });
});
