// The roster of one channel, the twin of `presence/roster.py`. Contracts: roster.d.ts

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isText = (value) => typeof value === "string";
const isKnown = (epoch, ...counts) => isText(epoch) && counts.every(isCount);
const byId = (members) => new Map(members.map((member) => [member.id, member]));
const same = (a, b) => a.name === b.name && JSON.stringify(a.info) === JSON.stringify(b.info);

function readMembers(value = []) {
  if (!Array.isArray(value) || !value.every(isObject)) return null;
  const members = value.map(({ id, name, info = {} }) => ({ id, name, info }));
  const sound = ({ id, name, info }) => isText(id) && isText(name) && isObject(info);
  return members.every(sound) ? members : null;
}

export function read(publication) {
  if (!isObject(publication)) return null;
  const { type, epoch, base, version, within, leaves = [], total, anonymous } = publication;
  if (type === "presence.reload" && isKnown(epoch, version) && Number.isFinite(within)) {
    return { type, epoch, version, within: Math.max(0, within) };
  }
  const joins = readMembers(publication.joins);
  const updates = readMembers(publication.updates);
  if (type !== "presence.diff" || !isKnown(epoch, base, version, total, anonymous)) return null;
  if (!joins || !updates || !Array.isArray(leaves) || !leaves.every(isText)) return null;
  return { type, epoch, base, version, joins, leaves, updates, total, anonymous };
}

export function fromSnapshot(snapshot) {
  if (!isObject(snapshot)) return null;
  const { epoch, version, listed, total, anonymous } = snapshot;
  const members = readMembers(snapshot.members);
  if (!members || !isKnown(epoch, version, total, anonymous)) return null;
  if (typeof listed !== "boolean") return null;
  return { epoch, version, members: byId(listed ? members : []), listed, total, anonymous };
}

export function readPush({ user, chanInfo, connInfo }) {
  const { name, info, avatar, color } = [chanInfo, connInfo].find((one) => one?.name || one?.info) ?? {};
  if (!isText(user) || !user) return null;
  // Of what a site signed for its own use, no more is meant for everybody.
  const shown = isObject(info) ? info : { avatar, color };
  return { id: user, name: (isText(name) && name) || user, info: shown };
}

function compare(before, after) {
  const missing = (from, other) => [...from.values()].filter(({ id }) => !other.has(id));
  const differs = (member) => before.has(member.id) && !same(before.get(member.id), member);
  const updated = [...after.values()].filter(differs);
  return { joined: missing(after, before), left: missing(before, after), updated };
}

function apply(state, { version, joins, leaves, updates, total, anonymous }) {
  const { members, listed } = state;
  const ids = [...leaves, ...[...updates, ...joins].map(({ id }) => id)];
  const pick = () => byId(ids.map((id) => members.get(id)).filter(Boolean));
  const put = (member) => members.set(member.id, member);
  const before = pick();
  Object.assign(state, { version, total, anonymous });
  for (const id of leaves) members.delete(id);
  for (const member of updates) if (members.has(member.id)) put(member);
  for (const member of joins) if (listed && !members.has(member.id)) put(member);
  return compare(before, pick());
}

export function reduce(state, publication) {
  const nothing = { changes: null, fetch: false, within: null };
  const message = read(publication) ?? state;
  const { epoch, version, base, within = null } = message;
  const known = epoch === state.epoch;
  if (known && version <= state.version) return nothing;
  if (known && base === state.version) return { ...nothing, changes: apply(state, message) };
  return { ...nothing, fetch: true, within };
}

export function since(before, after) {
  // A room that is seen anew is no crowd that comes or goes.
  if (!before.version || before.listed !== after.listed) return null;
  return compare(before.members, after.members);
}

export function splice(state, snapshot, kept) {
  const next = fromSnapshot(snapshot);
  const fetch = next && kept.filter((publication) => reduce(next, publication).fetch).length > 0;
  if (!next || (next.epoch === state.epoch && next.version < state.version)) return null;
  // What was kept of another epoch is given up, or it would ask for ever.
  const open = kept.map(read).filter((m) => m?.epoch === next.epoch && m.version > next.version);
  return { state: next, changes: since(state, next), fetch, kept: open };
}

export function ahead({ listed, members }, candidates) {
  return byId(candidates.filter(({ id }) => listed && !members.has(id)));
}

export function overlay({ joined, left, updated }, before, after) {
  const found = compare(new Map([...before, ...byId(left)]), new Map([...after, ...byId(joined)]));
  return { ...found, updated: [...updated, ...found.updated] };
}

export function view(state, candidates) {
  const shown = ahead(state, [...candidates.values()]);
  const members = [...state.members.values(), ...shown.values()];
  return { ...state, members, provisional: new Set(shown.keys()), total: state.total + shown.size };
}
