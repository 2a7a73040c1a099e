// An independent Privacy Pass client at a broker: reads {url, cookie, spki, challenges} from stdin,
// has a token signed for each challenge (base64url), verifies it, and prints the tokens as JSON.
import {
  publicVerif, TokenChallenge, TOKEN_TYPES,
} from '@cloudflare/privacypass-ts';

const { url, cookie, spki, challenges } = JSON.parse(await read(process.stdin));

const listed = await fetch(`${url}/.well-known/private-token-issuer-directory`);
const directory = await listed.json();
const offered = directory['token-keys'].find((key) => key['token-key'] === spki);
if (!offered || offered['token-type'] !== TOKEN_TYPES.BLIND_RSA.value) throw new Error('no such key');
if (listed.headers.get('content-type') !== 'application/private-token-issuer-directory') {
  throw new Error('the directory has another type');
}

const keyBytes = bytes(offered['token-key']);
const key = await crypto.subtle.importKey(
  'spki', publicVerif.convertRSASSAPSSToEnc(keyBytes),
  { name: 'RSA-PSS', hash: 'SHA-384' }, true, ['verify'],
);
const origin = new publicVerif.Origin(publicVerif.BlindRSAMode.PSS);
const tokens = [];
for (const challenge of challenges) {
  const client = new publicVerif.Client(publicVerif.BlindRSAMode.PSS);
  const asked = TokenChallenge.deserialize(bytes(challenge));
  const request = await client.createTokenRequest(asked, keyBytes);
  const answer = await fetch(url + directory['issuer-request-uri'], {
    method: 'POST',
    headers: { 'Content-Type': 'application/private-token-request', Cookie: cookie },
    body: request.serialize(),
  });
  if (answer.status !== 200) throw new Error(`status ${answer.status}`);
  const signed = new Uint8Array(await answer.arrayBuffer());
  const token = await client.finalize(client.deserializeTokenResponse(signed));
  if (!(await origin.verify(token, key))) throw new Error('the token does not verify');
  tokens.push(Buffer.from(token.serialize()).toString('base64url'));
}
console.log(JSON.stringify(tokens));

// The library reads `.buffer` from its beginning, and a Buffer may lie in the middle of one.
function bytes(text) {
  return Uint8Array.from(Buffer.from(text, 'base64url'));
}

async function read(stream) {
  let text = '';
  for await (const piece of stream) text += piece;
  return text;
}
