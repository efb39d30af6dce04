// How hard a password is to guess, in words a person can act on; the box has the last say.

/** The box's own least length, in characters; what it is set to is learned at the start. */
export const least = { length: 12 };
export type Strength = "short" | "weak" | "fair" | "strong";

/** Length carries the most; repeats, runs and the reader's own names carry nothing. */
export function strength(password: string, names: string[]): Strength {
  const characters = [...password];
  if (characters.length < least.length) return "short";
  let rest = password.toLowerCase();
  for (const name of names) {
    const word = name.trim().toLowerCase();
    if (word.length >= 3) rest = rest.replaceAll(word, "");
  }
  rest = rest.replace(/(.)\1{2,}/g, "$1").replace(/(?:0123|1234|2345|3456|4567|5678|6789|azer|qwer|abcd|motdepasse|password)/g, "");
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z\d]/].filter((kind) => kind.test(password)).length;
  const worth = new Set(rest).size + rest.length / 2 + kinds * 2;
  if (worth < 16) return "weak";
  return worth < 24 ? "fair" : "strong";
}
