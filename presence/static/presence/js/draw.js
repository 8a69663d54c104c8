const FACES = 5;
const MOTION = 400;

export function paletteIndex(id) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % 12;
}

const SHOWS = /[^\p{M}\p{C}\p{Z}\p{DI}\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u;

function graphemes(word) {
  if (!Intl.Segmenter) return [...word];
  return Array.from(new Intl.Segmenter().segment(word), ({ segment }) => segment);
}

export function initials(name) {
  const shown = (word) => graphemes(word).filter((letter) => SHOWS.test(letter));
  const words = name.split(/[\s\p{Cc}]+/u).map(shown);
  const letters = words.flatMap((word) => word.find((letter) => /[^\p{P}\p{C}]/u.test(letter)) ?? []);
  const [first = words.flat()[0] ?? "?", ...more] = letters;
  // Few fonts have the capitals of Georgian.
  return (first + (more.at(-1) ?? "")).replace(/[^\u10d0-\u10ff]+/gu, (letter) => letter.toUpperCase());
}

const safe = (form) => (value) => (typeof value === "string" && form.test(value) ? value : "");
export const safeUrl = safe(/^(https?:\/\/|\/(?![/\\]))/iu);
export const safeColour = safe(/^#([\da-f]{3}|[\da-f]{6})$/iu);

// Django knows languages that `Intl` does not.
export function pluralForm(forms, count, language) {
  const rules = new Intl.PluralRules([language.split("_")[0], "en"]);
  const wanted = rules.select(count);
  return (forms.find(([sample]) => rules.select(sample) === wanted) ?? forms.at(-1))?.[1] ?? "";
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

export function words(element, count, language) {
  const forms = Object.entries({ ...element?.dataset })
    .map(([key, text]) => [Number(key.replace("presenceForm", "")), text])
    .filter(([sample]) => sample >= 0);
  return pluralForm(forms, count, language);
}

class Items {
  items = new Map();
  #drawn = new WeakMap();
  #timers = new WeakMap();

  constructor(root, kind, most) {
    this.list = part(root, `${kind}s`);
    this.most = most;
    this.data = root.dataset;
    this.attribute = `data-presence-${kind}`;
    this.template = root.querySelector(`template[data-presence-template=${kind}]`);
    for (const item of [...this.list?.children ?? []]) {
      const id = item.getAttribute(this.attribute);
      // In a copy of a widget that somebody was leaving.
      if (id === null || this.items.has(id)) item.remove();
      else this.items.set(id, item);
    }
  }

  adopt(members) {
    for (const [id, item] of this.items) {
      this.#drawn.set(item, members?.get(id));
      paint(safeColour(item.dataset.presenceColour));
      const picture = item.querySelector("img");
      if (picture?.complete && !picture.naturalWidth) picture.remove();
    }
  }

  show(all, provisional) {
    const members = all.slice(0, this.most);
    const staying = new Set(members.map(({ id }) => id));
    for (const [id, item] of this.items) {
      if (!staying.has(id) && !item.inert) this.#leave(id, item);
    }
    let next = this.list.firstElementChild;
    for (const member of members) {
      const { id } = member;
      const item = this.items.get(id) ?? this.#join(id);
      if (item.inert) this.#turn(id, item, false);
      if (this.#drawn.get(item) !== member) this.#draw(item, member);
      item.toggleAttribute("data-presence-provisional", provisional.has(id));
      while (next?.inert) next = next.nextElementSibling;
      if (item === next) next = next.nextElementSibling;
      else this.list.insertBefore(item, next);
    }
  }

  #draw(item, member) {
    const { presenceAnonymousName, presenceSelfId } = this.data;
    this.#drawn.set(item, member);
    drawMember(item, member, presenceAnonymousName);
    const isSelf = member.id === presenceSelfId;
    item.toggleAttribute("data-presence-self", isSelf);
    for (const you of parts(item, "you")) you.hidden = !isSelf;
  }

  #join(id) {
    const item = this.template.content.firstElementChild.cloneNode(true);
    this.items.set(id, item);
    setAll(item, { [this.attribute]: id, "data-presence-joining": "" });
    setTimeout(() => item.removeAttribute("data-presence-joining"), MOTION);
    return item;
  }

  #leave(id, item) {
    const remove = () => item.inert && this.items.delete(id) && item.remove();
    this.#turn(id, item, true);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) remove();
    else this.#timers.set(item, setTimeout(remove, MOTION));
  }

  #turn(id, item, leaving) {
    const [from, to] = [this.attribute, "data-presence-leaving"];
    clearTimeout(this.#timers.get(item));
    item.removeAttribute(leaving ? from : to);
    item.setAttribute(leaving ? to : from, id);
    item.inert = leaving;
  }
}

export class Drawing {
  #lists;

  constructor(root) {
    this.root = root;
    root.addEventListener("error", ({ target }) => {
      if (target.matches(".presence-picture")) target.remove();
    }, true);
    root.addEventListener("toggle", () => this.#bind(), true);
  }

  #bind() {
    const [button, panel] = ["overflow", "panel"].map((name) => part(this.root, name));
    if (!button || !panel?.isConnected) return;
    // A copy has the ids of the other.
    const page = panel.getRootNode();
    while (page.getElementById(panel.id) !== panel) panel.id += "-";
    const { id } = panel;
    // Not every browser knows popovers.
    const open = panel.matches(":is(:popover-open)");
    setAll(button, { popovertarget: id, "aria-controls": id, "aria-expanded": open });
  }

  adopt(understand) {
    const data = this.root.dataset;
    const lists = [new Items(this.root, "member", Infinity), new Items(this.root, "face", FACES)];
    this.#lists = lists.filter(({ list, template }) => list && template);
    if (this.#lists[0] !== lists[0]) return null;
    this.#bind();
    const all = [...lists[0].items.values()].map(({ dataset }) => dataset);
    // Who is ahead of the roster is not in it.
    const known = all.filter(({ presenceProvisional }) => presenceProvisional === undefined);
    const shown = understand({
      epoch: data.presenceEpoch,
      version: Number(data.presenceVersion),
      members: known.map(({ presenceMember: id, presenceName: name, presenceInfo }) => (
        { id, name, info: JSON.parse(presenceInfo) })),
      listed: data.presenceListed === "true",
      total: data.presenceTotal - all.length + known.length,
      anonymous: Number(data.presenceAnonymous),
    });
    for (const list of this.#lists) list.adopt(shown?.members);
    return shown;
  }

  show({ view, phase: state }) {
    const { members, provisional, ...rest } = view;
    const more = Math.max(0, members.length - FACES);
    for (const list of this.#lists) list.show(members, provisional);
    const data = { ...rest, state, more };
    for (const name in data) {
      const attribute = `data-presence-${name}`;
      this.root.setAttribute(attribute, data[name]);
      write(this.root.querySelectorAll(`[${attribute}]`), String(data[name]));
    }
    for (const one of parts(this.root, "anonymous-words")) {
      write([one], words(one, view.anonymous, this.root.lang) || one.textContent);
    }
    const hidden = { anonymous: !view.anonymous, empty: view.total + view.anonymous };
    for (const name in hidden) for (const line of parts(this.root, name)) line.hidden = hidden[name];
  }
}
