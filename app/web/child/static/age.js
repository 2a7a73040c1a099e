/**
 * How an age is shown. One entry a profile that this page can speak; the service's order decides.
 * An entry gets the profile's part of the challenge and the body, and gives the headers to add.
 */
const PROFILES = {
  "declared-v1": async () => ({}),
};

/** The profile to use of those that the service accepts, or null. */
export const chosenProfile = (profiles) =>
  profiles.find(({ profile }) => Object.hasOwn(PROFILES, profile)) ?? null;

export const proofHeaders = (chosen, body) => PROFILES[chosen.profile](chosen, body);
