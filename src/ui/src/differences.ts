// What two texts differ in, word by word: the longest common run of words stays, all others are marked.

/** A stretch of one text and whether the other lacks it. */
export interface Stretch {
  text: string;
  only: boolean;
}

/** More pairs of words than this are not compared one by one: what stands between the common ends is marked as a whole. */
const MOST_PAIRS = 2_000_000;

/** Words with the space after them, so that joining them gives the text back. */
function words(text: string): string[] {
  return text.match(/\S+\s*|^\s+/g) ?? [];
}

function joined(list: string[], only: boolean[]): Stretch[] {
  const out: Stretch[] = [];
  const push = (text: string, marked: boolean) => {
    const last = out.at(-1);
    if (last && last.only === marked) last.text += text;
    else if (text) out.push({ text, only: marked });
  };
  list.forEach((word, at) => {
    if (!only[at]) return push(word, false);
    push(word.trimEnd(), true);
    // The space between two marked words is marked with them, the one after the last is not.
    push(word.slice(word.trimEnd().length), only[at + 1] ?? false);
  });
  return out;
}

/** Both texts, each with what the other lacks marked. */
export function differences(old: string, now: string): { old: Stretch[]; now: Stretch[] } {
  const [a, b] = [words(old), words(now)];
  const same = (x: string | undefined, y: string | undefined) => x?.trim() === y?.trim();
  let head = 0;
  while (head < a.length && head < b.length && same(a[head], b[head])) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && same(a[a.length - 1 - tail], b[b.length - 1 - tail])) tail += 1;
  const [x, y] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  const onlyA = a.map((_, at) => at >= head && at < a.length - tail);
  const onlyB = b.map((_, at) => at >= head && at < b.length - tail);
  if (x.length * y.length > 0 && x.length * y.length <= MOST_PAIRS) {
    // Row by row from the end: how many words two tails have in common at most.
    const wide = y.length + 1;
    const common = new Uint16Array((x.length + 1) * wide);
    for (let i = x.length - 1; i >= 0; i -= 1) {
      for (let j = y.length - 1; j >= 0; j -= 1) {
        common[i * wide + j] = same(x[i], y[j])
          ? (common[(i + 1) * wide + j + 1] ?? 0) + 1
          : Math.max(common[(i + 1) * wide + j] ?? 0, common[i * wide + j + 1] ?? 0);
      }
    }
    let i = 0;
    let j = 0;
    while (i < x.length && j < y.length) {
      if (same(x[i], y[j])) {
        onlyA[head + i] = false;
        onlyB[head + j] = false;
        i += 1;
        j += 1;
      } else if ((common[(i + 1) * wide + j] ?? 0) >= (common[i * wide + j + 1] ?? 0)) i += 1;
      else j += 1;
    }
  }
  return { old: joined(a, onlyA), now: joined(b, onlyB) };
}
