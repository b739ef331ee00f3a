// An app of these tests: a client of the package that remembers what it hears until a test takes it.
import assert from 'node:assert/strict';
import { connect, SwitchboardError, type Events, type LocalEvents, type Options, type Switchboard } from 'switchboard-client';
import { tokenOf, unique, within } from '../../../tests/node/support.mjs';

type Heard = Events & LocalEvents;
type Name = keyof Heard;

const NAMES: Name[] = [
  'registered', 'registration_error', 'incoming_call', 'call_accept', 'call_reject', 'call_cancelled', 'call_timeout', 'call_end',
  'sdp_offer', 'sdp_answer', 'ice_candidate', 'ice_servers', 'error', 'pong', 'state', 'token_error',
];

export class App {
  readonly client: Switchboard;
  readonly user: string;
  /** All events ever, in order. */
  readonly events: { name: Name; payload: unknown }[] = [];
  #unread: { name: Name; payload: unknown }[] = [];
  #heard = () => {};

  constructor(options: Partial<Options> & { url: string }) {
    this.user = options.userId ?? unique('user');
    this.client = connect({
      userId: this.user,
      deviceId: unique('device'),
      platform: 'web',
      token: async () => tokenOf(this.user),
      ...options,
      socket: { reconnectionDelay: 50, reconnectionDelayMax: 200, ...options.socket },
    });
    for (const name of NAMES) {
      this.client.on(name, (payload) => {
        this.events.push({ name, payload });
        this.#unread.push({ name, payload });
        this.#heard();
      });
    }
  }

  /** The next event of this name that no test has taken; it may have come already. */
  take<N extends Name>(name: N, accepts: (payload: Heard[N]) => boolean = () => true): Promise<Heard[N]> {
    const find = async () => {
      for (;;) {
        const index = this.#unread.findIndex((event) => event.name === name && accepts(event.payload as Heard[N]));
        if (index >= 0) return this.#unread.splice(index, 1)[0]!.payload as Heard[N];
        await new Promise<void>((heard) => {
          const before = this.#heard;
          this.#heard = () => (before(), heard());
        });
      }
    };
    return within(find(), () => `no ${name}; unread: ${JSON.stringify(this.#unread)}`);
  }

  becomes(state: string): Promise<LocalEvents['state']> {
    return this.take('state', (now) => now.state === state);
  }

  heard(name: Name): number {
    return this.events.filter((event) => event.name === name).length;
  }
}

interface Test {
  after(undo: () => unknown): void;
}

/** An app that is registered, and closed when the test ends. */
export async function app(t: Test, options: Partial<Options> & { url: string }): Promise<App> {
  const made = new App(options);
  t.after(() => made.client.close());
  await within(made.client.registered(), 'not registered');
  return made;
}

/** `caller` rings `callee`; the call id when both know. */
export async function ring(caller: App, callee: App): Promise<string> {
  const { callId } = await caller.client.initiate({ calleeId: callee.user, callType: 'audio' });
  await callee.take('incoming_call', (event) => event.callId === callId);
  return callId;
}

export async function talk(caller: App, callee: App): Promise<string> {
  const callId = await ring(caller, callee);
  await callee.client.accept(callId);
  await caller.take('call_accept', (event) => event.callId === callId);
  return callId;
}

/** Fails unless `promise` fails with exactly this error of the package. */
export async function refused(promise: Promise<unknown>, code: string, message: string, retryable = false): Promise<void> {
  const error: unknown = await within(promise.then(() => assert.fail('it was not refused'), (reason) => reason), 'neither done nor refused');
  assert.ok(error instanceof SwitchboardError, String(error));
  assert.deepEqual({ code: error.code, message: error.message, retryable: error.retryable }, { code, message, retryable });
}
