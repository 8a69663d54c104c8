// The roster of one channel, the twin of `presence/roster.py`. Throws nothing; contracts: roster.d.ts.

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isText = (value) => typeof value === "string";
const isKnown = ({ epoch, ...counts }) => isText(epoch) && Object.values(counts).every(isCount);
const byId = (members) => new Map(members.map((member) => [member.id, member]));
const same = (a, b) => a.name === b.name && JSON.stringify(a.info) === JSON.stringify(b.info);

function readMembers(value = []) {
  if (!Array.isArray(value)) return null;
  const members = value.filter(isObject).map(({ id, name, info = {} }) => ({ id, name, info }));
  const sound = ({ id, name, info }) => isText(id) && isText(name) && isObject(info);
  return members.length === value.length && members.every(sound) ? members : null;
}

export function read(publication) {
  if (!isObject(publication)) return null;
  const { type, epoch, base, version, within, leaves = [], total, anonymous } = publication;
  if (type === "presence.reload" && isKnown({ epoch, version }) && Number.isFinite(within)) {
    return { type, epoch, version, within: Math.max(0, within) };
  }
  const joins = readMembers(publication.joins);
  const updates = readMembers(publication.updates);
  if (type !== "presence.diff" || !isKnown({ epoch, base, version, total, anonymous })) return null;
  if (!joins || !updates || !Array.isArray(leaves) || !leaves.every(isText)) return null;
  return { type, epoch, base, version, joins, leaves, updates, total, anonymous };
}

export function fromSnapshot(snapshot) {
  if (!isObject(snapshot)) return null;
  const { epoch, version, listed, total, anonymous } = snapshot;
  const members = readMembers(snapshot.members);
  if (!isKnown({ epoch, version, total, anonymous }) || typeof listed !== "boolean") return null;
  return members && { epoch, version, members: byId(listed ? members : []), listed, total, anonymous };
}

export function readPush(push) {
  const { user, client, chanInfo, connInfo } = isObject(push) ? push : {};
  if (!user || !isText(user) || !isText(client)) return null;
  const { name = user, info = {} } = readSigned(chanInfo) || readSigned(connInfo) || {};
  return { client, member: { id: user, name, info } };
}

function readSigned(value) {
  if (!isObject(value)) return null;
  const { name, info, iat, anonymous, avatar, color } = value;
  // Of what a site signed for its own use, no more is meant for everybody.
  const shown = isObject(info) ? info : { avatar, color };
  const said = [name, iat, anonymous, ...Object.values(shown)].some(Boolean);
  return said && { name: name && isText(name) ? name : undefined, info: shown };
}

function compare(before, after) {
  const missing = (one, other) => [...one.values()].filter(({ id }) => !other.has(id));
  const updated = [...after.values()].filter((member) => {
    const known = before.get(member.id);
    return known && known !== member && !same(known, member);
  });
  return { joined: missing(after, before), left: missing(before, after), updated };
}

function apply(state, { version, joins, leaves, updates, total, anonymous }) {
  Object.assign(state, { version, total, anonymous });
  const { members } = state;
  const before = new Map();
  const after = new Map();
  const set = (member) => {
    members.set(member.id, member);
    after.set(member.id, member);
  };
  for (const id of leaves) {
    if (members.has(id)) before.set(id, members.get(id));
    members.delete(id);
  }
  for (const member of updates) {
    const known = members.get(member.id);
    if (!known) continue;
    before.set(member.id, known);
    set(member);
  }
  for (const member of state.listed ? joins : []) if (!members.has(member.id)) set(member);
  return compare(before, after);
}

export function reduce(state, publication) {
  const message = read(publication);
  const { epoch, base, version, within = null } = message ?? {};
  const fits = epoch === state.epoch && base === state.version;
  if (!message || (epoch === state.epoch && version <= state.version)) {
    return { changes: null, fetch: false, within: null };
  }
  return { changes: fits ? apply(state, message) : null, fetch: !fits, within };
}

export function since(before, after) {
  // A room that is seen anew is no crowd that comes or goes.
  if (!before.version || before.listed !== after.listed) return null;
  return compare(before.members, after.members);
}

export function splice(state, snapshot, kept) {
  const next = fromSnapshot(snapshot);
  const fetch = next !== null && kept.filter((one) => reduce(next, one).fetch).length > 0;
  if (!next || (next.epoch === state.epoch && next.version < state.version)) {
    return { state, taken: false, changes: null, fetch: false, kept };
  }
  const { members, epoch, version } = next;
  for (const [id, member] of members) {
    const known = state.members.get(id);
    if (known && same(known, member)) members.set(id, known);
  }
  // What was kept of another epoch is given up, or it would ask for ever.
  const open = kept.map(read).filter((m) => m?.epoch === epoch && m.version > version);
  return { state: next, taken: true, changes: since(state, next), fetch, kept: open };
}

export function ahead({ listed, members }, candidates) {
  return new Map([...candidates].filter(([id]) => listed && !members.has(id)));
}

export function overlay({ joined, left, updated }, before, after) {
  const found = compare(new Map([...before, ...byId(left)]), new Map([...after, ...byId(joined)]));
  return { ...found, updated: [...updated, ...found.updated] };
}

export function view(state, candidates) {
  const shown = ahead(state, candidates);
  return {
    ...state,
    members: [...state.members.values(), ...shown.values()],
    provisional: new Set(shown.keys()),
    total: state.total + shown.size,
  };
}
