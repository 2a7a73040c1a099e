/** Which step comes after which. Pure: it knows steps and answers, no page. */

/** The steps that are counted on the way to sending. */
export const WAY = ["start", "safe", "age", "you", "choose", "where", "check"];

/** After the age is shown, or not, one goes on where one was: `after`. */
const afterAge = ({ age, after }) => (age === undefined ? "age" : (after ?? "you"));

const NEXT = {
  leave: () => "start",
  start: () => "safe",
  safe: () => "age",
  age: ({ age, offered }) => (age === "adult" ? "then" : offered ? "proof" : "you"),
  proof: afterAge,
  passed: afterAge,
  then: ({ then }) => (then === "under" ? "you" : "adult"),
  you: ({ you }) => (you === "other" ? "other" : "choose"),
  choose: () => "where",
  where: () => "check",
};
const BACK = {
  safe: () => "start",
  age: () => "safe",
  proof: ({ after }) => (after === undefined || after === "you" ? "age" : after),
  then: () => "age",
  adult: () => "then",
  you: ({ age }) => (age === "adult" ? "then" : "age"),
  other: () => "you",
  choose: ({ adding }) => (adding ? "change" : "you"),
  where: () => "choose",
  check: () => "where",
};

/** Steps that are part of one that is counted. */
const PART_OF = { then: "age", proof: "age", passed: "age" };

/** The place of a step on the way, from 1; 0 for one that is not counted. */
export const placeOnWay = (step) => WAY.indexOf(PART_OF[step] ?? step) + 1;

export const next = (step, answers) => NEXT[step](answers);
export const back = (step, answers) => BACK[step](answers);

/** The service's word for the age group. */
export const bandOf = ({ age }) => (age === "adult" ? "was_under_18" : age);
