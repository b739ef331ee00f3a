// Stands in for Google's token endpoint, Firebase Cloud Messaging and Apple's push service: one HTTP/2 server that checks what they
// check, remembers what it got, and answers as a test wants it to.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { PATIENCE_MS, within } from './patience.mjs';
import { certificate, temporaryFolder } from './processes.mjs';

const PROJECT = 'an-app';
const ACCOUNT = `push@${PROJECT}.iam.gserviceaccount.com`;
const SCOPE = 'https://www.googleapis.com/auth/firebase.messaging';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const FCM_ERROR = 'type.googleapis.com/google.firebase.fcm.v1.FcmError';
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest';
const APNS = { keyId: 'ABC123DEFG', teamId: 'DEF123GHIJ', bundle: 'org.example.app' };

/** How far a clock may be ahead. */
const SKEW_S = 60;
const seconds = () => Math.floor(Date.now() / 1000);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

// ------------------------------------------------------------------------------------------------------------ what was got

/** What came to one of the three services, in order, and how the next are answered. */
class Service {
  constructor() {
    /** Everything that came, refused or not. */
    this.requests = [];
    this.unread = [];
    this.waiting = [];
    this.scripts = new Map();
    this.held = new Set();
    /** The answer to what has none of its own; undefined is the usual one. */
    this.otherwise = undefined;
  }

  /**
   * How the next requests for `token` are answered, one after the other: an object with a `status` and what the answer needs, `'hang'` for
   * none until `release`, `'drop'` for a stream that is reset, `'close'` for a connection that is, a function for what it does with the
   * stream, and undefined for the usual answer.
   */
  answer(token, ...answers) {
    this.scripts.set(token, [...(this.scripts.get(token) ?? []), ...answers]);
  }

  /** The answer that is due for `token`. */
  due(token) {
    const script = this.scripts.get(token);
    return script?.length ? script.shift() : this.otherwise;
  }

  note(request) {
    this.requests.push(request);
    const index = this.waiting.findIndex(({ accepts }) => accepts(request));
    if (index < 0) this.unread.push(request);
    else this.waiting.splice(index, 1)[0].resolve(request);
    return request;
  }

  /** The next request that no test has taken and that `accepts` accepts; it may have come already. */
  take(accepts, patience = PATIENCE_MS) {
    const index = this.unread.findIndex(accepts);
    if (index >= 0) return Promise.resolve(this.unread.splice(index, 1)[0]);
    const came = new Promise((resolve) => this.waiting.push({ accepts, resolve }));
    const seen = () => JSON.stringify(this.unread.map(({ token, fields, wrong }) => ({ token, ...fields, wrong }))).slice(0, 1000);
    return within(came, () => `no such push; unread: ${seen()}`, patience);
  }

  /** The next message of this type for a token. */
  message(token, type = 'incoming_call', patience = PATIENCE_MS) {
    return this.take((request) => request.token === token && request.fields?.type === type, patience);
  }

  /** The messages of this type that came for a token so far. */
  messages(token, type = 'incoming_call') {
    return this.requests.filter((request) => request.token === token && request.fields?.type === type);
  }

  /** How many connections requests came by. */
  connections() {
    return new Set(this.requests.map(({ session }) => session)).size;
  }

  /** Answers what hangs, in the usual way. */
  release() {
    for (const answer of this.held) answer();
    this.held.clear();
  }
}

// ------------------------------------------------------------------------------------------------------------------ tokens

/** The header and the claims of a token, whose signature must be good. */
function read(jwt, { algorithm, key, dsaEncoding }) {
  const [header, claims, signature] = jwt.split('.');
  const part = (text) => JSON.parse(Buffer.from(text, 'base64url'));
  assert.equal(part(header).alg, algorithm);
  const isGood = verify('sha256', Buffer.from(`${header}.${claims}`), { key, dsaEncoding }, Buffer.from(signature, 'base64url'));
  assert.ok(isGood, 'the signature is wrong');
  return { header: part(header), claims: part(claims) };
}

/** Checks what Google's token endpoint checks. */
function checkGrant(headers, text, { key, tokenUri }) {
  assert.equal(headers['content-type'], 'application/x-www-form-urlencoded');
  const form = new URLSearchParams(text);
  assert.equal(form.get('grant_type'), GRANT);
  const { header, claims } = read(form.get('assertion'), { algorithm: 'RS256', key });
  assert.equal(header.kid, 'key-1');
  assert.deepEqual(Object.keys(claims).sort(), ['aud', 'exp', 'iat', 'iss', 'scope']);
  assert.deepEqual([claims.iss, claims.scope, claims.aud], [ACCOUNT, SCOPE, tokenUri]);
  assert.ok(claims.iat <= seconds() + SKEW_S && claims.exp > seconds() && claims.exp - claims.iat <= 3600, 'the life of the assertion');
}

/** Checks what Apple checks of who sends. */
function checkProviderToken(authorization, { key }) {
  const { header, claims } = read(authorization.match(/^bearer (.+)$/)[1], { algorithm: 'ES256', key, dsaEncoding: 'ieee-p1363' });
  assert.equal(header.kid, APNS.keyId);
  assert.equal(claims.iss, APNS.teamId);
  assert.ok(claims.iat <= seconds() + SKEW_S && claims.iat > seconds() - 3600, 'the age of the provider token');
}

// ---------------------------------------------------------------------------------------------------------------- messages

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fails unless `value` is an object with these fields and no others. */
function hasOnly(value, names, where) {
  assert.ok(isObject(value), `${where} is no object`);
  assert.deepEqual(Object.keys(value).filter((name) => !names.includes(name)), [], `unknown fields in ${where}`);
}

/** Checks a message as FCM does. */
function checkFcm(body) {
  hasOnly(body, ['message', 'validate_only'], 'the request');
  const { message } = body;
  hasOnly(message, ['name', 'data', 'notification', 'android', 'webpush', 'apns', 'fcm_options', 'token', 'topic', 'condition'], 'message');
  assert.ok(typeof message.token === 'string' && message.token, 'message.token');
  assert.equal(message.notification, undefined, 'the stock app wants data only');
  for (const [name, value] of Object.entries(message.data)) {
    assert.equal(typeof value, 'string', `data.${name} is no string`);
    assert.doesNotMatch(name, /^(from|message_type|notification|google.*|gcm.*)$/, 'a reserved name');
  }
  const size = Object.entries(message.data).reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
  assert.ok(size <= 4096, `${size} bytes of data`);
  hasOnly(message.android, ['collapse_key', 'priority', 'ttl', 'restricted_package_name', 'data', 'notification', 'direct_boot_ok'], 'android');
  assert.match(message.android.priority, /^(NORMAL|HIGH)$/);
  assert.match(message.android.ttl, /^\d+(\.\d+)?s$/);
  const ttl = Number.parseFloat(message.android.ttl);
  assert.ok(ttl >= 0 && ttl <= 2_419_200, `a TTL of ${ttl} s`);
  hasOnly(message.apns, ['headers', 'payload', 'fcm_options', 'live_activity_token'], 'apns');
  for (const [name, value] of Object.entries(message.apns.headers)) assert.equal(typeof value, 'string', `apns.headers.${name}`);
  assert.ok(isObject(message.apns.payload?.aps), 'apns.payload.aps');
  if (message.apns.headers['apns-push-type'] === 'background') {
    assert.equal(message.apns.headers['apns-priority'], '5', 'Apple takes background pushes with priority 5 only');
  }
  assert.notEqual(message.apns.headers['apns-push-type'], 'voip', 'FCM carries no PushKit');
}

/** Checks a request as Apple does. */
function checkApns(headers, text) {
  assert.equal(headers['apns-topic'], `${APNS.bundle}.voip`);
  assert.equal(headers['apns-push-type'], 'voip');
  assert.equal(headers['apns-priority'], '10');
  assert.match(headers['apns-expiration'], /^\d+$/);
  assert.match(headers['apns-id'], UUID);
  assert.ok(Buffer.byteLength(headers['apns-collapse-id']) <= 64, 'apns-collapse-id');
  assert.ok(Buffer.byteLength(text) <= 5120, `${Buffer.byteLength(text)} bytes`);
  const payload = JSON.parse(text);
  assert.ok(isObject(payload.aps), 'aps');
  return payload;
}

/** An error as FCM answers it. */
export function fcmError(status, { word = 'UNKNOWN', code, field, retryAfter } = {}) {
  const details = [];
  if (code) details.push({ '@type': FCM_ERROR, errorCode: code });
  if (field) details.push({ '@type': BAD_REQUEST, fieldViolations: [{ field, description: 'Invalid value' }] });
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  return { status, headers, body: { error: { code: status, message: 'An error', status: word, details } } };
}

/** An error as Apple answers it. */
export const apnsError = (status, reason, more = {}) => ({ status, headers: {}, body: { reason, ...more } });

/** What a proxy in between says. */
export const html = (status) => ({ status, headers: { 'content-type': 'text/html' }, body: '<html>An error</html>' });

// ------------------------------------------------------------------------------------------------------------------ server

/**
 * Starts the three services, over TLS if that is wanted. They end with the process that started them, which they do not keep from
 * ending.
 */
export async function startPushServices({ isEncrypted = false } = {}) {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const folder = temporaryFolder();
  const tls = isEncrypted ? certificate(folder.path) : undefined;
  const server = tls ? http2.createSecureServer(tls.options) : http2.createServer();
  const sessions = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.listen(0, '127.0.0.1').unref();
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  const tokenUri = `${url}/token`;

  const access = new Service();
  const fcm = new Service();
  const apns = new Service();
  /** Access tokens, and until when they are good. */
  const granted = new Map();
  /** What real services would not have taken. Nothing that a test asks for is in it. */
  const faults = [];
  /** Life of access tokens, in seconds. */
  const settings = { expiresIn: 3599 };

  function check(what) {
    try {
      what();
      return undefined;
    } catch (error) {
      faults.push(error.message);
      return error.message;
    }
  }

  function grant(headers, text, session) {
    const wrong = check(() => checkGrant(headers, text, { key: rsa.publicKey, tokenUri }));
    access.note({ session, at: Date.now(), wrong });
    if (wrong) return [access, undefined, { status: 400, headers: {}, body: { error: 'invalid_grant' } }];
    const token = `ya29.${randomBytes(24).toString('base64url')}`;
    granted.set(token, Date.now() + settings.expiresIn * 1000);
    return [access, undefined, { status: 200, headers: {}, body: { access_token: token, expires_in: settings.expiresIn, token_type: 'Bearer' } }];
  }

  function send(headers, text, session) {
    const body = JSON.parse(text);
    const token = body.message?.token;
    const { authorization } = headers;
    const isKnown = granted.get(authorization?.replace(/^Bearer /, '')) > Date.now();
    const wrong = check(() => {
      assert.equal(headers['content-type'], 'application/json');
      checkFcm(body);
    });
    const request = fcm.note({ token, fields: body.message?.data, message: body.message, validateOnly: body.validate_only, authorization, session, at: Date.now(), wrong, isKnown });
    if (!isKnown) return [fcm, undefined, fcmError(401, { word: 'UNAUTHENTICATED' }), request];
    if (wrong) return [fcm, undefined, fcmError(400, { word: 'INVALID_ARGUMENT', code: 'INVALID_ARGUMENT' }), request];
    return [fcm, token, { status: 200, headers: {}, body: { name: `projects/${PROJECT}/messages/0:${randomBytes(8).toString('hex')}` } }, request];
  }

  function sendVoip(token, headers, text, session) {
    let payload;
    const wrong = check(() => {
      checkProviderToken(headers.authorization, { key: ec.publicKey });
      assert.match(token, /^[0-9a-f]{64}$/, 'the device token');
      payload = checkApns(headers, text);
    });
    const { aps, ...fields } = payload ?? {};
    const request = apns.note({ token, aps, fields, headers, size: Buffer.byteLength(text), session, at: Date.now(), wrong });
    if (wrong) return [apns, undefined, apnsError(400, 'PayloadEmpty'), request];
    return [apns, token, { status: 200, headers: { 'apns-id': headers['apns-id'] }, body: '' }, request];
  }

  function answered(headers, text, session) {
    const [, device] = headers[':path'].match(/^\/3\/device\/([^/]*)$/) ?? [];
    if (headers[':method'] !== 'POST') return undefined;
    if (headers[':path'] === '/token') return grant(headers, text, session);
    if (headers[':path'] === `/v1/projects/${PROJECT}/messages:send`) return send(headers, text, session);
    return device === undefined ? undefined : sendVoip(device, headers, text, session);
  }

  function reply(stream, { status, headers, body }) {
    if (stream.destroyed) return;
    stream.respond({ ':status': status, 'content-type': 'application/json', ...headers });
    stream.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  server.on('stream', async (stream, headers) => {
    stream.on('error', () => {});
    const text = (await stream.setEncoding('utf8').toArray().catch(() => [])).join('');
    if (stream.aborted || stream.destroyed) return; // The connection broke before all of it was there.
    const session = sessions.indexOf(stream.session);
    const [service, token, usual, request] = answered(headers, text, session) ?? [undefined, undefined, html(404)];
    // What the service itself refuses is not up to the script.
    const isRefused = service !== access && token === undefined;
    const due = service === undefined || isRefused ? undefined : service.due(token);
    if (request) request.answered = due?.status ?? due ?? usual.status;
    if (due === 'hang') service.held.add(() => reply(stream, usual));
    else if (due === 'drop') stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else if (due === 'close') stream.session.destroy();
    else if (typeof due === 'function') due(stream);
    else reply(stream, due ?? usual);
    if (due?.goaway) stream.session.close();
  });

  const write = (name, text) => {
    const file = path.join(folder.path, name);
    writeFileSync(file, text);
    return file;
  };
  const account = {
    type: 'service_account',
    project_id: PROJECT,
    private_key_id: 'key-1',
    private_key: rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    client_email: ACCOUNT,
    token_uri: tokenUri,
  };
  const accountFile = write('service-account.json', JSON.stringify(account));
  const keyFile = write('AuthKey.p8', ec.privateKey.export({ type: 'pkcs8', format: 'pem' }));

  return {
    access,
    fcm,
    apns,
    faults,
    settings,
    /** What makes a server trust these services; nothing where there is no TLS. */
    trustEnv: tls ? { SSL_CERT_FILE: tls.cert } : {},
    /** What a server needs to push by Firebase. */
    fcmEnv: { FIREBASE_PRIVATE_KEY_PATH: accountFile, FCM_ENDPOINT: url },
    /** What it needs to ring by PushKit. */
    apnsEnv: {
      APNS_KEY_PATH: keyFile,
      APNS_KEY_ID: APNS.keyId,
      APNS_TEAM_ID: APNS.teamId,
      APNS_TOPIC: APNS.bundle,
      APNS_ENDPOINT: url,
    },
    /** No access token is good any more. */
    revoke: () => granted.clear(),
    /** Everything that must be in no log. */
    secrets: () => [...granted.keys(), account.private_key.split('\n')[1]],
    /** Ends all connections and listens no more. */
    async stop() {
      for (const service of [access, fcm, apns]) service.release();
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
      folder.remove();
    },
  };
}
