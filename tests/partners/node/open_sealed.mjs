// What a platform in node does with a sealed message, with npm's `jose` alone.
// In: {sealed, own, sealing_key} as one line of JSON each. Out: the payload, or {"refused": name}.
import { createInterface } from 'node:readline';
import { compactDecrypt, compactVerify, importJWK } from 'jose';

async function open({ sealed, own, sealing_key: ours }) {
  const { plaintext } = await compactDecrypt(sealed, await importJWK(own, 'ECDH-ES+A256KW'), {
    keyManagementAlgorithms: ['ECDH-ES+A256KW'],
    contentEncryptionAlgorithms: ['A256GCM'],
  });
  const { payload } = await compactVerify(plaintext, await importJWK(ours, 'EdDSA'), {
    algorithms: ['EdDSA'],
  });
  return JSON.parse(new TextDecoder().decode(payload));
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await open(JSON.parse(line)).catch((fault) => ({ refused: fault.code ?? fault.name }));
  process.stdout.write(JSON.stringify(answer) + '\n');
}
