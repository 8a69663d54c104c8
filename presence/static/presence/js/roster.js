/**
 * The roster of one channel as a pure reducer: the twin of `presence/roster.py`.
 *
 * Nothing here throws on bad input, changes its arguments, or knows of a DOM, a socket or a clock.
 *
 * @typedef {{id: string, name: string, info: Record<string, unknown>}} Member
 * @typedef {{epoch: string, version: number, members: Map<string, Member>, listed: boolean,
 *            total: number, anonymous: number}} State
 *   `members` in order of arrival (none when the room is counted, not listed); `total` counts the
 *   identified members, `anonymous` the rest.
 * @typedef {{type: "presence.diff", epoch: string, base: number, version: number, joins: Member[],
 *            leaves: string[], updates: Member[], total: number, anonymous: number}} Diff
 * @typedef {{type: "presence.reload", epoch: string, version: number, within: number}} Reload
 * @typedef {{members: Member[], provisional: string | null, epoch: string, version: number,
 *            listed: boolean, total: number, anonymous: number}} View
 *   what is shown; `provisional` is the id of oneself while no diff has confirmed it.
 */

/** @type {(value: unknown) => value is Record<string, unknown>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** @type {(value: unknown) => value is number} */
const isCount = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
/** @type {(value: unknown) => value is string} */
const isText = (value) => typeof value === "string";

/** @type {(value: unknown) => Member | null} */
function readMember(value) {
  if (!isObject(value) || !isText(value.id) || !isText(value.name)) return null;
  const { id, name, info = {} } = value;
  return isObject(info) ? { id, name, info } : null;
}

/** The members of a list, none if it is left out; null when an entry is no member.
 * @type {(value?: unknown) => Member[] | null} */
function readMembers(value = []) {
  if (!Array.isArray(value)) return null;
  const members = value.map(readMember);
  return members.includes(null) ? null : /** @type {Member[]} */ (members);
}

/** @type {(value: Record<string, unknown>) => Diff | null} */
function readDiff(value) {
  const { epoch, base, version, leaves = [], total, anonymous } = value;
  const joins = readMembers(value.joins);
  const updates = readMembers(value.updates);
  if (!isText(epoch) || !isCount(base) || !isCount(version)) return null;
  if (!isCount(total) || !isCount(anonymous)) return null;
  if (!joins || !updates || !Array.isArray(leaves) || !leaves.every(isText)) return null;
  return { type: "presence.diff", epoch, base, version, joins, leaves, updates, total, anonymous };
}

/** @type {(value: Record<string, unknown>) => Reload | null} */
function readReload(value) {
  const { epoch, version, within } = value;
  if (!isText(epoch) || !isCount(version)) return null;
  if (typeof within !== "number" || !Number.isFinite(within)) return null;
  return { type: "presence.reload", epoch, version, within: Math.max(0, within) };
}

/**
 * The diff or reload that a publication carries; null for anything else, malformed ones included.
 * @param {unknown} publication
 * @returns {Diff | Reload | null}
 */
export function read(publication) {
  if (!isObject(publication)) return null;
  if (publication.type === "presence.diff") return readDiff(publication);
  return publication.type === "presence.reload" ? readReload(publication) : null;
}

/**
 * The state that a snapshot describes; null when it is malformed.
 * @param {unknown} snapshot
 * @returns {State | null}
 */
export function fromSnapshot(snapshot) {
  if (!isObject(snapshot)) return null;
  const { epoch, version, listed, total, anonymous } = snapshot;
  const members = readMembers(snapshot.members);
  if (!isText(epoch) || !isCount(version) || typeof listed !== "boolean") return null;
  if (!isCount(total) || !isCount(anonymous) || !members) return null;
  const shown = new Map(listed ? members.map((member) => [member.id, member]) : []);
  return { epoch, version, members: shown, listed, total, anonymous };
}

/** @type {(state: State, diff: Diff) => State} */
function apply(state, { version, joins, leaves, updates, total, anonymous }) {
  if (!state.listed) return { ...state, version, total, anonymous };
  const members = new Map(state.members);
  for (const id of leaves) members.delete(id);
  for (const member of updates) if (members.has(member.id)) members.set(member.id, member);
  for (const member of joins) if (!members.has(member.id)) members.set(member.id, member);
  return { ...state, version, members, total, anonymous };
}

/**
 * Takes one publication.
 * @param {State} state
 * @param {unknown} publication
 * @returns {{state: State, fetch: boolean, within: number | null}} `state` itself when nothing
 *   changed; `fetch`: only a snapshot can help, asked for within so many seconds if that is said.
 */
export function reduce(state, publication) {
  const message = read(publication);
  if (!message) return { state, fetch: false, within: null };
  const within = message.type === "presence.reload" ? message.within : null;
  if (message.epoch !== state.epoch) return { state, fetch: true, within };
  if (message.version <= state.version) return { state, fetch: false, within: null };
  if (message.type === "presence.reload" || message.base !== state.version) {
    return { state, fetch: true, within };
  }
  return { state: apply(state, message), fetch: false, within: null };
}

/** @type {(a: Member, b: Member) => boolean} */
const same = (a, b) => a.name === b.name && JSON.stringify(a.info) === JSON.stringify(b.info);

/**
 * Takes a fetched snapshot, and after it the publications kept while it was awaited.
 * @param {State} state what is shown
 * @param {unknown} snapshot
 * @param {unknown[]} kept
 * @returns {{state: State, taken: boolean, fetch: boolean, kept: unknown[]}} not `taken`: malformed,
 *   or older than what is shown; `fetch`: something kept does not fit; `kept`: what may fit the
 *   next snapshot. Those of another epoch are given up, or they would ask for ever.
 */
export function splice(state, snapshot, kept) {
  let next = fromSnapshot(snapshot);
  if (!next) return { state, taken: false, fetch: false, kept };
  for (const [id, member] of next.members) {
    const known = state.members.get(id);
    if (known && same(known, member)) next.members.set(id, known);
  }
  let fetch = false;
  for (const publication of kept) {
    const step = reduce(next, publication);
    next = step.state;
    fetch = fetch || step.fetch;
  }
  if (next.epoch === state.epoch && next.version < state.version) {
    return { state, taken: false, fetch: false, kept };
  }
  const { epoch, version } = next;
  const open = kept.map(read).filter((m) => m && m.epoch === epoch && m.version > version);
  return { state: next, taken: true, fetch, kept: open };
}

/**
 * What to show: the state, and oneself at its end until a diff or a snapshot has it.
 * @param {State} state
 * @param {Member | null} self null when oneself is not to be shown ahead of the roster
 * @returns {View}
 */
export function view(state, self) {
  const { epoch, version, listed, anonymous } = state;
  const ahead = self !== null && listed && !state.members.has(self.id) ? self : null;
  const members = ahead ? [...state.members.values(), ahead] : [...state.members.values()];
  const total = state.total + (ahead ? 1 : 0);
  return { members, provisional: ahead?.id ?? null, epoch, version, listed, total, anonymous };
}

/**
 * Who is new, gone and different between two views. Being confirmed is no change.
 * @param {View} before
 * @param {View} after
 * @returns {{joined: Member[], left: Member[], updated: Member[]}}
 */
export function changes(before, after) {
  const old = new Map(before.members.map((member) => [member.id, member]));
  const now = new Set(after.members.map((member) => member.id));
  return {
    joined: after.members.filter(({ id }) => !old.has(id)),
    left: before.members.filter(({ id }) => !now.has(id)),
    updated: after.members.filter((member) => {
      const known = old.get(member.id);
      return known !== undefined && known !== member && !same(known, member);
    }),
  };
}
