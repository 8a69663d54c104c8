// The twin of drawing.py.

const FACES = 5;
const UNITS = { day: 86400, hour: 3600, minute: 60, second: 1 };

// FNV-1a, 32 bit.
export function paletteIndex(id) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % 12;
}

export function initials(name) {
  const [first, ...more] = name.match(/\S+/gu) ?? ["?"];
  return [first, ...more.slice(-1)].map((word) => [...word][0]).join("").toUpperCase();
}

const safe = (form) => (value) => (typeof value === "string" && form.test(value) ? value : "");
export const safeUrl = safe(/^(https?:\/\/|\/(?![/\\]))/iu);
export const safeColour = safe(/^#([\da-f]{3}|[\da-f]{6})$/iu);

// Django knows languages that `Intl` does not.
const locale = (language) => Intl.PluralRules.supportedLocalesOf(language.split("_"))[0] ?? "en";

export function pluralForm(forms, count, language) {
  const rules = new Intl.PluralRules(locale(language));
  const wanted = rules.select(count);
  return (forms.find(([sample]) => rules.select(sample) === wanted) ?? forms.at(-1))?.[1] ?? "";
}

export function ago(age, language) {
  const unit = Object.keys(UNITS).find((name) => age >= UNITS[name]) ?? "second";
  const format = new Intl.RelativeTimeFormat(locale(language), { numeric: "auto" });
  return format.format(-Math.floor(age / UNITS[unit]), unit);
}

const parts = (within, name) => within.querySelectorAll(`[data-presence-part=${name}]`);
const part = (within, name) => parts(within, name)[0];

function write(elements, text) {
  for (const element of elements) if (element.textContent !== text) element.textContent = text;
}

function setAll(element, attributes) {
  for (const name in attributes) element.setAttribute(name, attributes[name]);
}

const painted = new Set([""]);
let sheet;

// Style attributes may be forbidden.
function paint(colour) {
  if (painted.has(colour)) return;
  if (!sheet) document.adoptedStyleSheets.push((sheet = new CSSStyleSheet()));
  sheet.insertRule(`.presence [data-presence-colour="${colour}"] { --presence-colour: ${colour} }`);
  painted.add(colour);
}

function drawPicture(avatar, src) {
  const shown = avatar?.querySelector("img");
  if (shown?.getAttribute("src") === src) return;
  shown?.remove();
  if (!avatar || !src) return;
  const picture = document.createElement("img");
  setAll(picture, { class: "presence-picture", src, alt: "", loading: "lazy" });
  avatar.append(picture);
}

export function drawMember(item, { id, name, info }, anonymous = name) {
  const shown = name === "Anonymous" ? anonymous : name;
  const colour = safeColour(info.color);
  if (item.hasAttribute("data-presence-name")) {
    setAll(item, { "data-presence-name": name, "data-presence-info": JSON.stringify(info) });
  }
  item.classList.add(`presence-colour-${paletteIndex(id)}`);
  item.removeAttribute("data-presence-colour");
  if (colour) setAll(item, { "data-presence-colour": colour });
  paint(colour);
  write(parts(item, "name"), shown);
  write(parts(item, "initials"), initials(shown));
  drawPicture(part(item, "avatar"), safeUrl(info.avatar));
}

function markSelf(item, isSelf) {
  if (item.hasAttribute("data-presence-self") === isSelf) return;
  item.toggleAttribute("data-presence-self", isSelf);
  for (const you of parts(item, "you")) you.hidden = !isSelf;
}

// Each item is a copy of the <template>.
class Items {
  items = new Map();
  #drawn = new WeakMap();

  constructor(root, list, kind, most) {
    this.list = list;
    this.most = most;
    this.anonymous = root.dataset.presenceAnonymousName;
    this.attribute = `data-presence-${kind}`;
    this.template = root.querySelector(`template[data-presence-template=${kind}]`);
    for (const item of [...list.children]) {
      const id = item.getAttribute(this.attribute);
      if (id !== null) this.items.set(id, item);
      // In a copy of a widget that somebody was leaving.
      else item.remove();
    }
  }

  adopt(members) {
    for (const [id, item] of this.items) {
      this.#drawn.set(item, members.get(id));
      paint(safeColour(item.dataset.presenceColour));
      const picture = item.querySelector("img");
      if (picture?.complete && !picture.naturalWidth) picture.remove();
    }
  }

  show(all, provisional, self) {
    const members = all.slice(0, this.most);
    const staying = new Set(members.map(({ id }) => id));
    for (const [id, item] of this.items) {
      if (!staying.has(id) && !item.inert) this.#leave(id, item);
    }
    let next = this.list.firstElementChild;
    for (const member of members) {
      const { id } = member;
      const item = this.items.get(id) ?? this.template.content.firstElementChild.cloneNode(true);
      this.items.set(id, item);
      if (item.inert || !this.#drawn.has(item)) this.#turn(id, item, false);
      if (this.#drawn.get(item) !== member) drawMember(item, member, this.anonymous);
      this.#drawn.set(item, member);
      item.toggleAttribute("data-presence-provisional", provisional.has(id));
      if (self) markSelf(item, self === id);
      while (next?.inert) next = next.nextElementSibling;
      if (item === next) next = next.nextElementSibling;
      else this.list.insertBefore(item, next);
    }
  }

  #leave(id, item) {
    const remove = () => item.inert && this.items.delete(id) && item.remove();
    this.#turn(id, item, true);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) remove();
    else setTimeout(remove, 400);
  }

  // Who is leaving is no member, but may come back.
  #turn(id, item, leaving) {
    const [from, to] = [this.attribute, "data-presence-leaving"];
    item.removeAttribute(leaving ? from : to);
    item.setAttribute(leaving ? to : from, id);
    item.inert = leaving;
    item.ariaHidden = leaving || null;
  }
}

export class Drawing {
  #lists;

  constructor(root) {
    this.root = root;
    const [list, faces, panel] = ["members", "faces", "panel"].map((name) => part(root, name));
    this.#lists = [new Items(root, list, "member", Infinity)];
    if (faces) this.#lists.push(new Items(root, faces, "face", FACES));
    // Errors do not bubble.
    root.addEventListener("error", ({ target }) => {
      if (target.matches(".presence-picture")) target.remove();
    }, true);
    if (panel) this.#bind(part(root, "overflow"), panel);
  }

  // Browsers open and close it, but set no attribute.
  #bind(button, panel) {
    // A copy has the ids of the other.
    const page = panel.getRootNode();
    while (page.getElementById(panel.id) !== panel) panel.id += "-";
    const { id } = panel;
    setAll(button, { popovertarget: id, "aria-controls": id, "aria-expanded": "false" });
    panel.addEventListener("toggle", ({ newState }) => {
      button.ariaExpanded = newState === "open";
    });
  }

  #reveal(name, shown) {
    for (const element of parts(this.root, name)) element.hidden = !shown;
  }

  read() {
    const data = this.root.dataset;
    const all = [...this.#lists[0].items.values()].map(({ dataset }) => dataset);
    // Who is ahead of the roster is not in it.
    const known = all.filter(({ presenceProvisional }) => presenceProvisional === undefined);
    return {
      epoch: data.presenceEpoch,
      version: Number(data.presenceVersion),
      members: known.map(({ presenceMember: id, presenceName: name, presenceInfo }) => (
        { id, name, info: JSON.parse(presenceInfo) })),
      listed: data.presenceListed === "true",
      total: data.presenceTotal - all.length + known.length,
      anonymous: Number(data.presenceAnonymous),
    };
  }

  adopt(members) {
    for (const list of this.#lists) list.adopt(members);
  }

  show({ view, phase: state, user }) {
    const { members, provisional, ...rest } = view;
    const { total, anonymous } = rest;
    const more = Math.max(0, members.length - FACES);
    for (const list of this.#lists) list.show(members, provisional, user?.id);
    const data = { ...rest, state, more };
    for (const name in data) {
      const attribute = `data-presence-${name}`;
      this.root.setAttribute(attribute, data[name]);
      write(this.root.querySelectorAll(`[${attribute}]`), String(data[name]));
    }
    write(parts(this.root, "anonymous-words"), this.#words("anonymous", anonymous));
    this.#reveal("anonymous", anonymous);
    this.#reveal("empty", !(total + anonymous));
  }

  status(trouble, age = null) {
    const text = (name) => part(this.root, "status")?.getAttribute(`data-presence-${name}`) ?? "";
    const when = () => text("as-of").replace("{age}", ago(age, this.root.lang));
    write(parts(this.root, "status-text"), text(trouble));
    write(parts(this.root, "status-age"), trouble && age !== null ? when() : "");
  }

  announce({ joined, left }) {
    const line = part(this.root, "announcement");
    const say = (name, count) => count && this.#words(name, count).replace("{n}", count);
    const [came, went] = [say("joined", joined), say("left", left)];
    const both = line.dataset.presenceBoth.replace("{joined}", came).replace("{left}", went);
    line.textContent = came && went ? both : came || went;
  }

  // Django rendered them for a few sample numbers.
  #words(name, count) {
    const samples = `[data-presence-part=${name}-words][data-presence-form0]`;
    const forms = Object.entries({ ...this.root.querySelector(samples)?.dataset })
      .map(([key, words]) => [Number(key.replace("presenceForm", "")), words])
      .filter(([sample]) => sample >= 0);
    return pluralForm(forms, count, this.root.lang);
  }
}
