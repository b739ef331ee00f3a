// Certificates of an authority of one's own, as openssl makes them.
import { execFile } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from './processes.mjs';

const runToEnd = promisify(execFile);

/** An authority in a folder that goes with the test. */
export async function authority(t) {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const at = (name) => path.join(folder.path, name);
  let serial = 1000;

  async function openssl(command) {
    await runToEnd('openssl', command.split(' '), { cwd: folder.path }).catch((error) => {
      throw error.code === 'ENOENT' ? new Error('openssl is missing: tests/run installs it') : error;
    });
  }

  const key = 'ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
  await openssl(`req -x509 -newkey ${key} -subj /CN=authority -days 2 -keyout ca-key.pem -out ca.pem`);
  writeFileSync(at('extensions'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n');

  const made = {
    /** The certificate of the authority, for those who trust it. */
    ca: readFileSync(at('ca.pem')),
    /** What a node needs to show the certificate that was issued last. */
    env: { TLS_CERT: at('cert.pem'), TLS_KEY: at('key.pem') },
    /** Issues a certificate with a key of its own, in place of the last one; its serial number as clients see it. */
    async issue({ days = 2 } = {}) {
      serial += 1;
      await openssl(`req -new -newkey ${key} -subj /CN=localhost -keyout next-key.pem -out request.pem`);
      const signed = `-CA ca.pem -CAkey ca-key.pem -set_serial ${serial} -days ${days} -extfile extensions`;
      await openssl(`x509 -req -in request.pem ${signed} -out next-cert.pem`);
      renameSync(at('next-key.pem'), at('key.pem'));
      renameSync(at('next-cert.pem'), at('cert.pem'));
      return serial.toString(16).toUpperCase().padStart(4, '0');
    },
    /** Puts this text in the place of the certificate. */
    spoil: (text) => writeFileSync(at('cert.pem'), text),
  };
  await made.issue();
  return made;
}
