// Reads what Django rendered, and draws a feed into it: members by the rules of drawing.py.
// Data becomes text, safe URLs and safe colours; never HTML. Contracts: presence.d.ts.

const FACES = 5;
const LEAVING = { "data-presence-leaving": "", inert: "", "aria-hidden": "true" };
const UNITS = { day: 86400, hour: 3600, minute: 60, second: 1 };

/** The place in the palette: FNV-1a (32 bit) of the id's UTF-8 bytes. */
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

// Not by a style attribute: what we draw is to be what Django drew.
function paint(colour) {
  if (painted.has(colour)) return;
  if (!sheet) document.adoptedStyleSheets.push((sheet = new CSSStyleSheet()));
  sheet.insertRule(`.presence [data-presence-colour="${colour}"] { --presence-colour: ${colour} }`);
  painted.add(colour);
}

function drawPicture(avatar, src) {
  const shown = avatar?.querySelector("img");
  if (!avatar || (shown?.getAttribute("src") ?? "") === src) return;
  shown?.remove();
  if (!src) return;
  const picture = document.createElement("img");
  setAll(picture, { class: "presence-picture", src, alt: "", loading: "lazy" });
  avatar.append(picture);
}

function drawMember(item, { id, name, info }) {
  const colour = safeColour(info.color);
  if (item.hasAttribute("data-presence-name")) {
    setAll(item, { "data-presence-name": name, "data-presence-info": JSON.stringify(info) });
  }
  item.classList.add(`presence-colour-${paletteIndex(id)}`);
  if (colour) item.setAttribute("data-presence-colour", colour);
  else item.removeAttribute("data-presence-colour");
  paint(colour);
  write(parts(item, "name"), name);
  write(parts(item, "initials"), initials(name));
  drawPicture(part(item, "avatar"), safeUrl(info.avatar));
}

function markSelf(item, isSelf) {
  if (item.hasAttribute("data-presence-self") === isSelf) return;
  item.toggleAttribute("data-presence-self", isSelf);
  for (const you of parts(item, "you")) you.hidden = !isSelf;
}

/** One list of members: each item a copy of the <template> that Django rendered. */
class Items {
  items = new Map();
  #leaving = new Map();
  #drawn = new WeakMap();

  constructor(root, list, kind) {
    this.list = list;
    this.attribute = `data-presence-${kind}`;
    this.template = root.querySelector(`template[data-presence-template=${kind}]`);
    for (const item of [...list.children]) {
      // In a copy of a widget that somebody was leaving.
      if (item.hasAttribute("data-presence-leaving")) item.remove();
      else this.items.set(item.getAttribute(this.attribute), item);
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

  show(members, provisional, self) {
    const gone = new Map(this.items);
    let next = this.list.firstElementChild;
    for (const member of members) {
      const { id } = member;
      const item = this.items.get(id) ?? this.#enter(id);
      gone.delete(id);
      if (this.#drawn.get(item) !== member) drawMember(item, member);
      this.#drawn.set(item, member);
      item.toggleAttribute("data-presence-provisional", provisional.has(id));
      if (self !== null) markSelf(item, self === id);
      while (next?.inert) next = next.nextElementSibling;
      if (item === next) next = next.nextElementSibling;
      else this.list.insertBefore(item, next);
    }
    for (const [id, item] of gone) this.#leave(id, item);
    // Only now, or the page would be laid out for each.
    for (const [id, item] of gone) this.#ease(id, item);
  }

  #enter(id) {
    const item = this.#leaving.get(id) ?? this.template.content.firstElementChild.cloneNode(true);
    this.#leaving.delete(id);
    for (const name in LEAVING) item.removeAttribute(name);
    item.setAttribute(this.attribute, id);
    this.items.set(id, item);
    return item;
  }

  #leave(id, item) {
    this.items.delete(id);
    this.#leaving.set(id, item);
    item.removeAttribute(this.attribute);
    setAll(item, LEAVING);
  }

  // At once where motion is reduced, or the list out of sight.
  async #ease(id, item) {
    const eased = item.getAnimations().map(({ finished }) => finished);
    const late = new Promise((resolve) => setTimeout(resolve, 400));
    if (eased.length) await Promise.race([Promise.allSettled(eased), late]);
    if (this.#leaving.get(id) !== item) return;
    this.#leaving.delete(id);
    item.remove();
  }
}

export class Drawing {
  #more = 0;

  constructor(root) {
    this.root = root;
    const [list, faces, panel] = ["members", "faces", "panel"].map((name) => part(root, name));
    this.members = new Items(root, list, "member");
    this.faces = faces && new Items(root, faces, "face");
    // Errors do not bubble, but can be captured. A picture that fails uncovers the initials.
    const uncover = ({ target }) => target.matches("[data-presence-part=avatar] img") && target.remove();
    root.addEventListener("error", uncover, true);
    if (panel) this.#bind(part(root, "overflow"), panel);
  }

  // The browser opens and closes popovers by itself, but says so in no attribute.
  #bind(button, panel) {
    // A copied widget has the ids of the other.
    while (document.getElementById(panel.id) !== panel) panel.id += "-";
    setAll(button, { popovertarget: panel.id, "aria-controls": panel.id, "aria-expanded": "false" });
    panel.addEventListener("toggle", ({ newState }) => {
      button.ariaExpanded = newState === "open";
      this.#reveal("overflow", this.#more);
    });
  }

  // An open list keeps its button, where the focus goes back to.
  #reveal(name, shown) {
    for (const element of parts(this.root, name)) element.hidden = !shown && element.ariaExpanded !== "true";
  }

  read() {
    const { presenceEpoch: epoch, ...data } = this.root.dataset;
    const all = [...this.members.items.values()].map(({ dataset }) => dataset);
    // In a copy of a live widget: who is ahead of the roster is not in it.
    const known = all.filter(({ presenceProvisional }) => presenceProvisional === undefined);
    return {
      epoch,
      version: Number(data.presenceVersion),
      members: known.map(({ presenceMember: id, presenceName: name, presenceInfo }) => (
        { id, name, info: JSON.parse(presenceInfo) })),
      listed: data.presenceListed !== "false",
      total: Number(data.presenceTotal) - all.length + known.length,
      anonymous: Number(data.presenceAnonymous),
    };
  }

  adopt(members) {
    this.members.adopt(members);
    this.faces?.adopt(members);
  }

  show({ view, phase, user }) {
    const { members, provisional, epoch, version, listed, total, anonymous } = view;
    const self = user?.id ?? null;
    this.members.show(members, provisional, self);
    this.faces?.show(members.slice(0, FACES), provisional, self);
    this.#more = Math.max(0, members.length - FACES);
    const data = { epoch, version, listed, total, anonymous, state: phase, more: this.#more };
    for (const [name, value] of Object.entries(data)) {
      const attribute = `data-presence-${name}`;
      this.root.setAttribute(attribute, value);
      write(this.root.querySelectorAll(`[${attribute}]`), String(value));
    }
    write(parts(this.root, "anonymous-words"), this.#words("anonymous", anonymous));
    this.#reveal("anonymous", anonymous);
    this.#reveal("empty", !(total + anonymous));
    this.#reveal("overflow", this.#more);
  }

  status(trouble, age) {
    const text = (name) => part(this.root, "status")?.getAttribute(`data-presence-${name}`) ?? "";
    const when = trouble && age !== null ? ago(age, this.root.lang) : "";
    write(parts(this.root, "status-text"), text(trouble));
    write(parts(this.root, "status-age"), when && text("as-of").replace("{age}", when));
  }

  announce({ joined, left }) {
    const line = part(this.root, "announcement");
    const say = (name, count) => count && this.#words(name, count).replace("{n}", count);
    const said = [say("joined", joined), say("left", left)];
    const both = line.dataset.presenceBoth.replace("{joined}", said[0]).replace("{left}", said[1]);
    line.textContent = joined && left ? both : said[0] || said[1];
  }

  // Django rendered them for a few sample numbers.
  #words(name, count) {
    const forms = Object.entries(part(this.root, `${name}-words`)?.dataset ?? {})
      .map(([key, words]) => [Number(key.replace("presenceForm", "")), words])
      .filter(([sample]) => sample >= 0)
      .sort(([a], [b]) => a - b);
    return pluralForm(forms, count, this.root.lang);
  }
}
