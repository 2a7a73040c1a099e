// An independent Privacy Pass client at a broker: has a token signed and verifies it.
import { publicVerif, TOKEN_TYPES } from '@cloudflare/privacypass-ts';

// What is read from standard input, as JSON.
export async function asked() {
  let text = '';
  for await (const piece of process.stdin) text += piece;
  return JSON.parse(text);
}

// The library reads `.buffer` from its beginning, and a Buffer may lie in the middle of one.
export function bytes(text) {
  return Uint8Array.from(Buffer.from(text, 'base64url'));
}

// `keyBytes` is an SPKI that the broker must list, `cookie` that of a grant.
export async function mint(url, cookie, challenge, keyBytes) {
  const listed = await fetch(`${url}/.well-known/private-token-issuer-directory`);
  if (listed.headers.get('content-type') !== 'application/private-token-issuer-directory') {
    throw new Error('the directory has another type');
  }
  const directory = await listed.json();
  const same = (entry) => Buffer.compare(bytes(entry['token-key']), keyBytes) === 0;
  const type = directory['token-keys'].find(same)?.['token-type'];
  if (type !== TOKEN_TYPES.BLIND_RSA.value) throw new Error('no such key');
  const client = new publicVerif.Client(publicVerif.BlindRSAMode.PSS);
  const request = await client.createTokenRequest(challenge, keyBytes);
  const answer = await fetch(url + directory['issuer-request-uri'], {
    method: 'POST',
    headers: { 'Content-Type': 'application/private-token-request', Cookie: cookie },
    body: request.serialize(),
  });
  if (answer.status !== 200) throw new Error(`status ${answer.status}`);
  const signed = new Uint8Array(await answer.arrayBuffer());
  const token = await client.finalize(client.deserializeTokenResponse(signed));
  await verify(token, keyBytes);
  return token;
}

async function verify(token, keyBytes) {
  const origin = new publicVerif.Origin(publicVerif.BlindRSAMode.PSS);
  const key = await crypto.subtle.importKey(
    'spki', publicVerif.convertRSASSAPSSToEnc(keyBytes),
    { name: 'RSA-PSS', hash: 'SHA-384' }, true, ['verify'],
  );
  if (!(await origin.verify(token, key))) throw new Error('the token does not verify');
}
