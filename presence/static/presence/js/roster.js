const isText = (value) => typeof value === "string";
const isName = (value) => isText(value)
  && /[^\p{M}\p{C}\p{Z}\p{DI}\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u.test(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isObject = (value) => value && typeof value === "object" && !Array.isArray(value);
const isMember = ({ id, name, info = {} }) => isText(id) && isText(name) && isObject(info);
const isKnown = (epoch, ...counts) => isText(epoch) && counts.every(isCount);
const same = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);
const byId = (members) => new Map(members.map((member) => [member.id, member]));

function readMembers(value = []) {
  if (!Array.isArray(value) || !value.every((one) => isMember(one ?? {}))) return null;
  return value.map(({ id, name, info = {} }) => ({ id, name, info }));
}

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

export function readEvent(publication) {
  const { type, event, payload = {} } = publication ?? {};
  if (type !== "presence.event" || !event || !isText(event) || !isObject(payload)) return null;
  return { event, payload };
}

export function fromSnapshot(snapshot) {
  const { epoch, version, listed, total, anonymous } = snapshot ?? {};
  if (!isKnown(epoch, version, total, anonymous) || typeof listed !== "boolean") return null;
  const members = readMembers(snapshot.members);
  return members && { epoch, version, members: byId(listed ? members : []), listed, total, anonymous };
}

export function readPush({ user, chanInfo, connInfo }) {
  const signed = isName(chanInfo?.name) || chanInfo?.info ? chanInfo : connInfo;
  const { name, info, avatar, color } = signed ?? {};
  if (!isText(user) || !user || chanInfo?.hidden || connInfo?.hidden) return null;
  const shown = isObject(info) ? info : { avatar, color };
  return { id: user, name: isName(name) ? name : user, info: shown };
}

function compare(before, after) {
  const missing = (from, other) => [...from.values()].filter(({ id }) => !other.has(id));
  const updated = [...after.values()].filter((one) => !same(before.get(one.id) ?? one, one));
  return { joined: missing(after, before), left: missing(before, after), updated };
}

function apply(state, { version, joins, leaves, updates, total, anonymous }) {
  const { members, listed } = state;
  const ids = [...leaves, ...byId([...updates, ...joins]).keys()];
  const pick = () => byId(ids.map((id) => members.get(id)).filter(Boolean));
  const before = pick();
  Object.assign(state, { version, total, anonymous });
  for (const id of leaves) members.delete(id);
  for (const one of updates) if (members.has(one.id)) members.set(one.id, one);
  for (const one of joins) if (listed && !members.has(one.id)) members.set(one.id, one);
  return compare(before, pick());
}

export function reduce(state, publication) {
  const message = read(publication) ?? state;
  const { epoch, base, version, within = null } = message;
  const known = epoch === state.epoch;
  const news = !known || version > state.version;
  const fits = known && base === state.version && version === base + 1;
  return { changes: news && fits ? apply(state, message) : null, fetch: news && !fits, within };
}

export function since(before, after) {
  if (!before.version || before.listed !== after.listed) return null;
  for (const [id, one] of before.members) {
    if (same(one, after.members.get(id))) after.members.set(id, one);
  }
  return compare(before.members, after.members);
}

export function splice(state, snapshot, kept) {
  const next = fromSnapshot(snapshot);
  if (!next) throw Error("no snapshot");
  const open = kept.filter((one) => reduce(next, one).fetch);
  if (next.epoch === state.epoch && next.version < state.version) return null;
  return { state: next, changes: since(state, next), open };
}

export function ahead({ listed, members }, candidates) {
  const waiting = candidates.filter(({ id }) => listed && !members.has(id));
  return byId(waiting.sort((one, other) => (one.id > other.id ? 1 : -1)));
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
