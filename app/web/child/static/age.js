/** How an age can be shown to this service: what of its profiles this page can speak. */
export const PASS = "pp-under18-v1";
export const WORD = "declared-v1";

/**
 * Whom to ask for a pass (an issuer's part of the challenge), or null. The service's order decides:
 * a pass is offered only where it comes before somebody's bare word.
 */
export function passOffer(profiles) {
  const names = profiles.map(({ profile }) => profile);
  const [pass, word] = [names.indexOf(PASS), names.indexOf(WORD)];
  if (pass < 0 || (word >= 0 && word < pass)) return null;
  return (profiles[pass].issuers ?? []).find(({ pass_url: page }) => isPage(page)) ?? null;
}

/** Whether the service takes an age that nobody checked. */
export const takesWord = (profiles) => profiles.some(({ profile }) => profile === WORD);

/** Only a page on the web may be opened, never a script or a program. */
function isPage(address) {
  try {
    return ["https:", "http:"].includes(new URL(address).protocol);
  } catch {
    return false;
  }
}
