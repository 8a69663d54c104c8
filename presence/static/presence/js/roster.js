/**
 * The roster of one channel as a reducer, the twin of `presence/roster/messages.py`: both are tested on
 * the messages in `tests/fixtures/wire/`.
 *
 * This module knows no DOM, no socket and no clock. It ignores what is malformed, repeated, older or
 * foreign, so that a bad message never costs the page its roster.
 *
 * @import { Member, SiteEvent, View } from "./presence.js"
 */

/**
 * A roster at a version. It belongs to one feed, which changes it in place.
 *
 * @typedef {object} State
 * @property {string} epoch Name of one life of the version chain; "" for a channel never polled.
 * @property {number} version 0 for a channel never polled.
 * @property {Map<string, Member>} members By id, in order of arrival; empty in a counted room.
 * @property {boolean} listed False for a counted room: one too large to be listed.
 * @property {number} total Number of identified members, also in a counted room.
 * @property {number} anonymous Number of visitors who are not signed in.
 */

/**
 * Whole members, those who left as well.
 *
 * @typedef {object} Changes
 * @property {readonly Member[]} joined
 * @property {readonly Member[]} left
 * @property {readonly Member[]} updated
 */

/**
 * The step from version `base` to `version`, which is `base` + 1 or fits nothing.
 *
 * @typedef {object} Diff
 * @property {"presence.diff"} type
 * @property {string} epoch
 * @property {number} base
 * @property {number} version
 * @property {Member[]} joins
 * @property {string[]} leaves Ids.
 * @property {Member[]} updates
 * @property {number} total
 * @property {number} anonymous
 */

/**
 * An order to fetch the snapshot, at a random moment in the next `within` seconds: the change is too
 * large for a diff, or no diff can express it.
 *
 * @typedef {object} Reload
 * @property {"presence.reload"} type
 * @property {string} epoch
 * @property {number} version
 * @property {number} within
 */

const isText = (value) => typeof value === "string";
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isObject = (value) => value && typeof value === "object" && !Array.isArray(value);
const isMember = ({ id, name, info = {} }) => isText(id) && isText(name) && isObject(info);
const isKnown = (epoch, ...counts) => isText(epoch) && counts.every(isCount);
const same = (before, after) => before === after || JSON.stringify(before) === JSON.stringify(after);
const byId = (members) => new Map(members.map((member) => [member.id, member]));

// Unknown fields are dropped here, so that a later version of the server may add some.
function readMembers(value = []) {
  if (!Array.isArray(value) || !value.every((member) => isMember(member ?? {}))) return null;
  return value.map(({ id, name, info = {} }) => ({ id, name, info }));
}

/**
 * Read the diff or reload that a publication carries.
 *
 * @param {any} publication
 * @returns {Diff | Reload | null} Null for anything else, malformed ones included.
 */
export function read(publication) {
  const { type, epoch, base, version, within, leaves = [], total, anonymous } = publication ?? {};
  if (type === "presence.reload" && isKnown(epoch, version) && Number.isFinite(within)) {
    return { type, epoch, version, within };
  }
  if (type !== "presence.diff" || !isKnown(epoch, base, version, total, anonymous)) return null;
  const joins = readMembers(publication.joins);
  const updates = readMembers(publication.updates);
  if (!joins || !updates || !Array.isArray(leaves) || !leaves.every(isText)) return null;
  return { type, epoch, base, version, joins, leaves, updates, total, anonymous };
}

/**
 * Read the event that a publication carries. An event changes no state.
 *
 * @param {any} publication
 * @returns {SiteEvent | null} Null for anything else, malformed ones included.
 */
export function readEvent(publication) {
  const { type, event, payload = {} } = publication ?? {};
  if (type !== "presence.event" || !event || !isText(event) || !isObject(payload)) return null;
  return { event, payload };
}

/**
 * Read the state that a snapshot describes.
 *
 * @param {any} snapshot
 * @returns {State | null} Null for a malformed one.
 */
export function fromSnapshot(snapshot) {
  const { epoch, version, listed, total, anonymous } = snapshot ?? {};
  if (!isKnown(epoch, version, total, anonymous) || typeof listed !== "boolean") return null;
  const members = readMembers(snapshot.members);
  return members && { epoch, version, members: byId(listed ? members : []), listed, total, anonymous };
}

function compare(before, after) {
  const missing = (from, other) => [...from.values()].filter(({ id }) => !other.has(id));
  const updated = [...after.values()].filter((member) => !same(before.get(member.id) ?? member, member));
  return { joined: missing(after, before), left: missing(before, after), updated };
}

// Compares only the members that the diff names: the cost is the size of the diff, not of the room.
function apply(state, { version, joins, leaves, updates, total, anonymous }) {
  const { members, listed } = state;
  const ids = [...leaves, ...byId([...updates, ...joins]).keys()];
  const pick = () => byId(ids.map((id) => members.get(id)).filter(Boolean));
  const before = pick();
  Object.assign(state, { version, total, anonymous });
  for (const id of leaves) members.delete(id);
  for (const member of updates) if (members.has(member.id)) members.set(member.id, member);
  for (const member of joins) if (listed && !members.has(member.id)) members.set(member.id, member);
  return compare(before, pick());
}

/**
 * Take one publication, and change `state` in place where it fits.
 *
 * @param {State} state
 * @param {any} publication
 * @returns {{ changes: Changes | null, fetch: boolean, within: number | null }} `changes` is null if
 *   nothing changed. `fetch` says that only a snapshot can help, to be asked for within `within`
 *   seconds, or when the caller likes if that is null.
 */
export function reduce(state, publication) {
  // A message that is not for the roster counts as one of the version that is shown: nothing changes.
  const message = read(publication) ?? state;
  const { epoch, base, version, within = null } = message;
  const known = epoch === state.epoch;
  const news = !known || version > state.version;
  const fits = known && base === state.version && version === base + 1;
  return { changes: news && fits ? apply(state, message) : null, fetch: news && !fits, within };
}

/**
 * Return what changed between two states.
 *
 * A member who is the same in both becomes the very object of `before` in `after`: then the drawing
 * sees by identity which members it has to draw again.
 *
 * @param {State} before
 * @param {State} after
 * @returns {Changes | null} Null where nobody came or went: the room is seen for the first time, or
 *   it was listed and is counted, or the other way round.
 */
export function since(before, after) {
  if (!before.version || before.listed !== after.listed) return null;
  for (const [id, member] of before.members) {
    if (same(member, after.members.get(id))) after.members.set(id, member);
  }
  return compare(before.members, after.members);
}

/**
 * Join a fetched snapshot with the publications that were kept while it was awaited.
 *
 * @param {State} state The state that is shown; not changed.
 * @param {any} snapshot
 * @param {readonly any[]} kept
 * @returns {{ state: State, changes: Changes | null, open: any[] } | null} Null for a snapshot that
 *   is older than `state` even with `kept` applied. `open` holds the publications that do not fit.
 * @throws {Error} The snapshot is malformed.
 */
export function splice(state, snapshot, kept) {
  const next = fromSnapshot(snapshot);
  if (!next) throw Error("no snapshot");
  const open = kept.filter((publication) => reduce(next, publication).fetch);
  if (next.epoch === state.epoch && next.version < state.version) return null;
  return { state: next, changes: since(state, next), open };
}

/**
 * Return the candidates that the list lacks; none in a counted room.
 *
 * @template {{ id: string }} Named
 * @param {State} state
 * @param {readonly Named[]} candidates
 * @returns {Named[]}
 */
export function ahead({ listed, members }, candidates) {
  return candidates.filter(({ id }) => listed && !members.has(id));
}

/**
 * Return the changes of a roster as they look where members are shown ahead of it. A diff that
 * confirms such a member is no change, unless it has another name or info.
 *
 * @param {Changes} changes
 * @param {readonly Member[]} before Members shown ahead until now.
 * @param {readonly Member[]} after Members shown ahead from now on.
 * @returns {Changes}
 */
export function overlay({ joined, left, updated }, before, after) {
  const found = compare(byId([...before, ...left]), byId([...after, ...joined]));
  return { ...found, updated: [...updated, ...found.updated] };
}

/**
 * Return what to show: the state, and after it the members ahead of it.
 *
 * @param {State} state
 * @param {readonly Member[]} candidates What `ahead` gives for this state.
 * @returns {View}
 */
export function view(state, candidates) {
  const members = [...state.members.values(), ...candidates];
  return { ...state, members, total: state.total + candidates.length };
}
