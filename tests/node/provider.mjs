// A stand-in for an identity provider: it makes keys, signs tokens with them, and publishes what is public of them over real HTTP.
import { generateKeyPairSync, sign as signature } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { freePort } from './processes.mjs';
import { seconds } from './support.mjs';

const KINDS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A key pair that signs by `alg` and goes by the name `kid`. */
export function makeKey(alg, kid) {
  const { privateKey, publicKey } = KINDS[alg]();
  return {
    kid,
    /** What is published. */
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' },
    pem: publicKey.export({ format: 'pem', type: 'spki' }),
    /** A token with these claims, good for an hour unless they say otherwise. */
    sign(claims, header = {}) {
      const text = `${encode({ alg, typ: 'JWT', kid, ...header })}.${encode({ iat: seconds(), exp: seconds() + 3600, ...claims })}`;
      const hash = alg === 'EdDSA' ? null : 'sha256';
      return `${text}.${signature(hash, Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
    },
  };
}

/** A provider that publishes `keys`, with `tls` encrypted, until the test ends. It may die, and come back at the same address. */
export async function startProvider(t, keys = [], tls = undefined) {
  const port = await freePort();
  let server;
  const provider = {
    keys,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/keys`,
    /** How often it was asked. */
    times: 0,
    async start() {
      server = (tls ? https : http).createServer(tls ?? {}, (_, answer) => {
        provider.times += 1;
        answer.setHeader('cache-control', 'public, max-age=3600');
        answer.end(JSON.stringify({ keys: provider.keys.map(({ jwk }) => jwk) }));
      });
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    async stop() {
      if (!server?.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  t.after(() => provider.stop());
  return provider;
}
