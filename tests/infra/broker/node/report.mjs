// Reads {service, broker, cookie, bodies} from stdin and sends each body to the service: first
// without a proof of age, then with one token that answers the first refusal's challenge. Prints
// [status, body] of each answer as JSON. All it knows of the challenge is the refusal's header.
import { AuthorizationHeader, WWWAuthenticateHeader } from '@cloudflare/privacypass-ts';
import { asked, mint } from './minting.mjs';

const { service, broker, cookie, bodies } = await asked();
const answers = [];

async function send(body, proof) {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID() };
  const answer = await fetch(`${service}/v1/reports`, {
    method: 'POST', headers: { ...headers, ...proof }, body,
  });
  answers.push([answer.status, await answer.json()]);
  return answer;
}

const refused = await send(bodies[0], {});
const [offered] = WWWAuthenticateHeader.parse(refused.headers.get('WWW-Authenticate'));
const token = await mint(broker, cookie, offered.challenge, offered.tokenKey);
const proof = { Authorization: new AuthorizationHeader(token).toString() };
for (const body of bodies) await send(body, proof);
console.log(JSON.stringify(answers));
