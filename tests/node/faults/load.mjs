// The load of a fault run: calls that begin at a fixed rate, between apps that are in no other.
import { App } from './app.mjs';
import { Call } from './call.mjs';

/** Apps that are there when it begins, for each call a second; more come as they are needed. */
const APPS_PER_RATE = 12;
/** Calls that nobody answers. */
const UNANSWERED_SHARE = 0.05;
const RINGS_MS = [100, 800];
const HOLD_MS = [1000, 3000];
/** When nothing has been heard for so long, nothing is on its way. */
const QUIET_MS = 1000;

/** Apps at `door`, and calls between them: `rate` a second from `begin` to `stop`. */
export async function prepareLoad({ door, rate, chance, ringMs }) {
  const apps = [];
  const calls = [];
  const strays = [];
  const running = new Set();
  let timer;

  function addApp() {
    const app = new App(door.url, `user-${apps.length}`, { chance, strays });
    apps.push(app);
    return app;
  }

  function takeTwo() {
    const idle = apps.filter(({ side, sentAway }) => !side && !sentAway);
    const one = idle.length ? chance.pick(idle) : addApp();
    const others = idle.filter((app) => app !== one);
    return [one, others.length ? chance.pick(others) : addApp()];
  }

  function plan() {
    const isAnswered = !chance.is(UNANSWERED_SHARE);
    return { isAnswered, ringsMs: chance.between(...RINGS_MS), holdMs: chance.between(...HOLD_MS), endedBy: chance.pick(['caller', 'callee']) };
  }

  function beginCall() {
    const call = new Call(calls.length, takeTwo(), plan(), ringMs);
    calls.push(call);
    const run = call.run().then(() => {
      running.delete(run);
      // Whoever was in a call that went wrong stays there: the next one is not to suffer for it.
      if (!call.lost && !call.isRefused) for (const { app } of call.sides) app.side = undefined;
    });
    running.add(run);
  }

  for (let n = 0; n < rate * APPS_PER_RATE; n++) addApp();
  await Promise.all(apps.map((app) => app.registered()));

  /** Resolves when nobody has been told anything for a while. */
  async function quiet() {
    const heard = () => strays.length + calls.reduce((count, { sides }) => count + sides[0].events.length + sides[1].events.length, 0);
    for (let before = -1; before !== heard();) {
      before = heard();
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
  }

  return {
    apps,
    calls,
    /** What apps were told about calls they are not in. */
    strays,
    begin() {
      const began = performance.now();
      let due = 0;
      timer = setInterval(() => {
        for (; due < ((performance.now() - began) / 1000) * rate; due++) beginCall();
      }, 10);
    },
    /** Begins no more calls; resolves when all have come to an end, and nothing is on its way. */
    async stop() {
      clearInterval(timer);
      await Promise.all(running);
      await quiet();
    },
    /** How many calls were under way at some time between these two. */
    runningBetween: (from, to) => calls.filter(({ beganAt, endedAt }) => beganAt < to && (endedAt ?? Infinity) > from).length,
    close() {
      clearInterval(timer);
      for (const app of apps) app.close();
    },
  };
}
