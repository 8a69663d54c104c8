/** Times of applying a diff and of copying a roster once, in milliseconds, round by round, as JSON. */

import { fromSnapshot, reduce } from "../presence/static/presence/js/roster.js";

const [members, changes, rounds] = process.argv.slice(2).map(Number);
const REPEATS = 20;

const member = (number, more = "") =>
  ({ id: `u${number}`, name: `User ${number}${more}`, info: { color: "#4363d8" } });
const span = (from, size, make) => Array.from({ length: size }, (_, at) => make(from + at));

/** The diff to `version`: as many leave as join, a fifth of all is updates; the size stays. */
function diff(version) {
  const moved = Math.round(changes * 0.4);
  const first = (version - 1) * moved;
  return {
    type: "presence.diff", epoch: "k3f9a1", base: version, version: version + 1,
    leaves: span(first, moved, (number) => `u${number}`),
    joins: span(first + members, moved, (number) => member(number)),
    updates: span(first + moved, changes - 2 * moved, (number) => member(number, ` of ${version}`)),
    total: members, anonymous: 0,
  };
}

function timed(run) {
  const started = performance.now();
  for (let turn = 0; turn < REPEATS; turn += 1) run(turn);
  return (performance.now() - started) / REPEATS;
}

const state = fromSnapshot({
  epoch: "k3f9a1", version: 1, members: span(0, members, (number) => member(number)),
  listed: true, total: members, anonymous: 0,
});
const found = { apply: [], copy: [] };
let copied = 0;
for (let round = 0; round < rounds; round += 1) {
  const diffs = span(state.version, REPEATS, diff);
  found.apply.push(timed((turn) => reduce(state, diffs[turn])));
  found.copy.push(timed(() => { copied += new Map(state.members).size; }));
}
// The copies are used, or they need not be made; and every diff must have been applied.
if (copied !== members * rounds * REPEATS || state.version !== 1 + rounds * REPEATS) process.exit(1);
process.stdout.write(JSON.stringify(found));
