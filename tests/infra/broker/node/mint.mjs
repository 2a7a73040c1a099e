// Reads {url, cookie, spki, challenges} from stdin, has a token signed for each challenge (base64url)
// and prints the tokens as JSON.
import { TokenChallenge } from '@cloudflare/privacypass-ts';
import { asked, bytes, mint } from './minting.mjs';

const { url, cookie, spki, challenges } = await asked();
const tokens = [];
for (const challenge of challenges) {
  const token = await mint(url, cookie, TokenChallenge.deserialize(bytes(challenge)), bytes(spki));
  tokens.push(Buffer.from(token.serialize()).toString('base64url'));
}
console.log(JSON.stringify(tokens));
