/**
 * Our library against Cloudflare's, both ways, under one key of theirs: prints whether their origin
 * takes the tokens that their issuer signed for us, and whether we take those of their client.
 */
import { Token } from "../infra/broker/node/node_modules/@cloudflare/privacypass-ts/lib/src/auth_scheme/private_token.js";
import {
  BLIND_RSA,
  BlindRSAMode,
  Client,
  Issuer,
  Origin,
  TokenRequest,
  getPublicKeyBytes,
} from "../infra/broker/node/node_modules/@cloudflare/privacypass-ts/lib/src/pub_verif_token.js";
import * as pass from "../../app/web/child/static/privacy-pass.js";

const ROUNDS = 5;
const ALGORITHM = {
  name: "RSA-PSS",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-384",
};
const mode = BlindRSAMode.PSS;
const keys = await Issuer.generateKey(mode, ALGORITHM);
const key = await getPublicKeyBytes(keys.publicKey);
const issuer = new Issuer(mode, "issuer.example", keys.privateKey, keys.publicKey);
const origin = new Origin(mode, ["young.example"]);

const ours = [];
const theirs = [];
for (let round = 0; round < ROUNDS; round++) {
  const context = crypto.getRandomValues(new Uint8Array(32));
  const challenge = origin.createTokenChallenge("issuer.example", context);
  const { blinded, keyId, secret } = await pass.blind(challenge.serialize(), key);
  const asked = Uint8Array.from([0, 2, keyId.at(-1), ...blinded]);
  const request = TokenRequest.deserialize(BLIND_RSA, asked);
  const signature = (await issuer.issue(request)).serialize();
  const token = await pass.finalize(secret, signature);
  ours.push(await origin.verify(Token.deserialize(BLIND_RSA, token), keys.publicKey));

  const client = new Client(mode);
  const answer = await issuer.issue(await client.createTokenRequest(challenge, key));
  theirs.push(await pass.verifies((await client.finalize(answer)).serialize(), key));
}
console.log(JSON.stringify({ ours, theirs }));
