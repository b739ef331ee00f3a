// What these tests use of the server's own harness, which is plain JavaScript.
declare module '*/tests/node/support.mjs' {
  export interface Server {
    port: number;
    url: string;
    stop(): Promise<unknown>;
  }
  export interface Weather {
    url: string;
    cut(): void;
    blackhole(): void;
    stopReading(): void;
    heal(): void;
    refuse(): Promise<void>;
    accept(): Promise<void>;
  }
  export interface Redis {
    env: Record<string, string>;
    pause(): void;
    resume(): void;
  }
  interface Test {
    after(undo: () => unknown): void;
  }
  export const NO_RATE_LIMITS: Record<string, string>;
  export const PATIENCE_MS: number;
  export function startNode(env?: Record<string, string>): Promise<Server>;
  export function startRedis(t: Test): Promise<Redis>;
  export function chaosProxy(t: Test, target: { port: number }): Promise<Weather>;
  export function tokenOf(user: string, claims?: object): string;
  export function seconds(): number;
  export function unique(name: string): string;
  export function within<T>(promise: Promise<T>, what: string | (() => string), ms?: number): Promise<T>;
}
