/**
 * Renders a feed into the HTML that Django rendered, by the rules of `presence/web/widget.py`: a member
 * that scripts draw looks like the others.
 *
 * Data becomes text, checked URLs and checked colours; never HTML. Every part of the widget but the
 * list of members may be missing, since a site may override each template. Words without forms for
 * numbers stay as they are.
 *
 * @import { Feed } from "./feed.js"
 * @import { Member } from "./presence.js"
 * @import { State } from "./roster.js"
 */

// Milliseconds for which joins and leaves ease.
const MOTION = 400;
// Length from which a list has a field that finds members.
const MANY = 20;
// The name, in English, that the server gives to all who have none.
const ANONYMOUS_NAME = "Anonymous";

/**
 * Return the place of an id in the palette: FNV-1a (32 bit) of its UTF-8 bytes.
 *
 * @param {string} id
 * @returns {number}
 */
export function paletteIndex(id) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % 12;
}

/** A letter that shows anything, as a name needs one: the rule of `presence/roster/names.py`. */
export const SHOWS = /[^\p{M}\p{C}\p{Z}\p{DI}\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u;

function graphemes(word) {
  if (!Intl.Segmenter) return [...word];
  return Array.from(new Intl.Segmenter().segment(word), ({ segment }) => segment);
}

/**
 * Return the first grapheme of the first word and of the last, by the rules of
 * `presence/roster/names.py`; "?" where no word shows anything.
 *
 * @param {string} name
 * @returns {string}
 */
export function initials(name) {
  const shown = (word) => graphemes(word).filter((letter) => SHOWS.test(letter));
  const words = name.split(/[\s\p{Cc}]+/u).map(shown);
  const letters = words.flatMap((word) => word.find((letter) => /[^\p{P}\p{C}]/u.test(letter)) ?? []);
  const [first = words.flat()[0] ?? "?", ...more] = letters;
  // Few fonts have the capitals of Georgian.
  return (first + (more.at(-1) ?? "")).replace(/[^\u10d0-\u10ff]+/gu, (letter) => letter.toUpperCase());
}

const safe = (form) => (value) => (typeof value === "string" && form.test(value) ? value : "");

/** @type {(value: unknown) => string} Return an absolute http(s) URL or a path of this site; "" for the rest. */
export const safeUrl = safe(/^(https?:\/\/|\/(?![/\\]))/iu);

/** @type {(value: unknown) => string} Return `#rgb` or `#rrggbb`; "" for anything else. */
export const safeColour = safe(/^#([\da-f]{3}|[\da-f]{6})$/iu);

/**
 * Return the words for a count, of those that Django rendered for samples: those of the first sample
 * of the same plural category, or else the last.
 *
 * @param {[sample: number, words: string][]} forms
 * @param {number} count
 * @param {string} language Django knows some that `Intl` does not: they have the plurals of English.
 */
export function pluralForm(forms, count, language) {
  const rules = new Intl.PluralRules([language.split("_")[0], "en"]);
  const wanted = rules.select(count);
  return (forms.find(([sample]) => rules.select(sample) === wanted) ?? forms.at(-1))?.[1] ?? "";
}

// Returns members in the order of every list: oneself, then the others by arrival.
const arrange = (members, self) => [...members].sort((a, b) => (b.id === self) - (a.id === self));

// Returns the arranged members that are shown at once: oneself and the newest, `limit` of them at most.
function choose(members, self, limit) {
  const own = members[0]?.id === self ? 1 : 0;
  const newest = members.slice(Math.max(own, members.length - limit + own));
  return [...members.slice(0, own), ...newest].slice(0, limit);
}

const parts = (within, name) => within.querySelectorAll(`[data-presence-part=${name}]`);
const part = (within, name) => parts(within, name)[0];

function write(elements, text) {
  for (const element of elements) if (element.textContent !== text) element.textContent = text;
}

function setAll(element, attributes) {
  for (const name in attributes) element.setAttribute(name, attributes[name]);
}

// The stylesheet reads the colour from the attribute, where the browser can. For the others the element
// itself gets a property by CSSOM, which a policy against style attributes allows: a style sheet of our
// own would grow with the crowd, and would not reach into shadow roots.
function paint({ style, dataset }) {
  if (CSS.supports("color", "attr(x type(<color>))")) return;
  // An empty value removes the property.
  style.setProperty("--presence-colour", safeColour(dataset.presenceColour));
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

/**
 * Draw a member into a copy of the <template> `member` or `face`.
 *
 * @param {HTMLElement} item
 * @param {Member} member
 * @param {string} [anonymous] Shown for the name that the server gives to all who have none.
 */
export function drawMember(item, { id, name, info }, anonymous = name) {
  const shown = name === ANONYMOUS_NAME ? anonymous : name;
  const colour = safeColour(info.color);
  if (item.hasAttribute("data-presence-name")) {
    setAll(item, { "data-presence-name": name, "data-presence-info": JSON.stringify(info) });
  }
  item.classList.add(`presence-colour-${paletteIndex(id)}`);
  item.removeAttribute("data-presence-colour");
  if (colour) setAll(item, { "data-presence-colour": colour });
  paint(item);
  write(parts(item, "name"), shown);
  for (const line of item.querySelectorAll("[data-presence-part=name][title]")) line.title = shown;
  write(parts(item, "initials"), initials(shown));
  drawPicture(part(item, "avatar"), safeUrl(info.avatar));
}

/**
 * Return the words for a count, of the forms in the attributes of an element; "" where it has none.
 *
 * @param {HTMLElement | undefined} element
 * @param {number} count
 * @param {string} language
 */
export function words(element, count, language) {
  const forms = Object.entries({ ...element?.dataset })
    .map(([key, text]) => [Number(key.replace("presenceForm", "")), text])
    .filter(([sample]) => sample >= 0);
  return pluralForm(forms, count, language);
}

// By item, the member it shows: by identity, an unchanged member is not drawn again.
const drawn = new WeakMap();
// By item, the timer that removes it once it has left.
const timers = new WeakMap();

/** The items of one list, of kind `member` or `face`: one for each member that it shows. */
class Items {
  // By id, in the order of the list; also those that are leaving.
  items = new Map();

  constructor(root, kind) {
    this.list = part(root, `${kind}s`);
    this.data = root.dataset;
    this.attribute = `data-presence-${kind}`;
    this.template = root.querySelector(`template[data-presence-template=${kind}]`);
    for (const item of [...this.list?.children ?? []]) {
      const id = item.getAttribute(this.attribute);
      // A library copied the widget while a member was leaving.
      if (id === null || this.items.has(id)) item.remove();
      else this.items.set(id, item);
    }
  }

  /** Take over the items that the server rendered. */
  adopt(members) {
    for (const [id, item] of this.items) {
      drawn.set(item, members?.get(id));
      paint(item);
      // A picture that failed before this script listened.
      const picture = item.querySelector("img");
      if (picture?.complete && !picture.naturalWidth) picture.remove();
    }
  }

  /** Show members, changing only what differs. An item that is leaving keeps its place. */
  show(members, ahead, inSight) {
    const staying = new Set(members.map(({ id }) => id));
    for (const [id, item] of this.items) {
      if (!staying.has(id) && !item.inert) this.#leave(id, item);
    }
    let next = this.list.firstElementChild;
    for (const member of members) {
      const { id } = member;
      const item = this.items.get(id) ?? this.#join(id);
      if (item.inert) this.#turn(id, item, false);
      if (drawn.get(item) !== member) this.#draw(item, member);
      item.toggleAttribute("data-presence-provisional", ahead.includes(member));
      item.toggleAttribute("data-presence-folded", !inSight.has(member));
      while (next?.inert) next = next.nextElementSibling;
      if (item === next) next = next.nextElementSibling;
      else this.list.insertBefore(item, next);
    }
  }

  #draw(item, member) {
    const { presenceAnonymousName, presenceSelfId } = this.data;
    drawn.set(item, member);
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

  // An item that leaves is inert, and may come back: its timer is cleared then.
  #leave(id, item) {
    const remove = () => item.inert && this.items.delete(id) && item.remove();
    this.#turn(id, item, true);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) remove();
    else timers.set(item, setTimeout(remove, MOTION));
  }

  #turn(id, item, leaving) {
    const [from, to] = [this.attribute, "data-presence-leaving"];
    clearTimeout(timers.get(item));
    item.removeAttribute(leaving ? from : to);
    item.setAttribute(leaving ? to : from, id);
    item.inert = leaving;
  }
}

/** Draws one widget. */
export class Renderer {
  // The list of members, and that of the faces where there is one.
  #lists;
  // Oneself, who is shown in a counted room too.
  #own = [];
  // Promise of the search, once it is loaded.
  #search;

  /** @param {HTMLElement} root The widget. */
  constructor(root) {
    this.root = root;
    // `error` and `toggle` do not bubble: both are caught on their way down.
    root.addEventListener("error", ({ target }) => target.matches(".presence-picture") && target.remove(), true);
    root.addEventListener("toggle", () => this.#showOpen(), true);
    root.addEventListener("click", (event) => this.#open(event));
    this.#hush();
  }

  // Escape hides the names of the faces for as long as the pointer or the focus stays: content that shows
  // on hover has to go without a move of the pointer (WCAG 1.4.13).
  #hush() {
    const { root } = this;
    const hush = ({ key }) => key === "Escape" && root.setAttribute("data-presence-quiet", "");
    const begin = () => document.addEventListener("keydown", hush);
    const end = ({ relatedTarget }) => {
      if (root.contains(relatedTarget)) return;
      document.removeEventListener("keydown", hush);
      root.removeAttribute("data-presence-quiet");
    };
    for (const name of ["pointerenter", "focusin"]) root.addEventListener(name, begin);
    for (const name of ["pointerleave", "focusout"]) root.addEventListener(name, end);
  }

  #open(event) {
    const member = drawn.get(event.target.closest("[data-presence-member], [data-presence-face]"));
    if (!member) return;
    const { presenceChannel: channel, presenceVersion } = this.root.dataset;
    const detail = { channel, version: Number(presenceVersion), member };
    const about = { bubbles: true, cancelable: true, detail };
    if (!this.root.dispatchEvent(new CustomEvent("presence:open", about))) event.preventDefault();
  }

  // Browsers open and close the popup by themselves, but set no `aria-expanded`. The search is loaded once a
  // long list is opened.
  async #showOpen() {
    const [button, panel, rest] = ["overflow", "panel", "rest"].map((name) => part(this.root, name));
    // `:is()` forgives a browser that knows no popovers.
    const isOpen = panel ? panel.matches(":is(:popover-open)") : rest?.open;
    if (button && panel?.isConnected) {
      // A copy of a widget has the ids of the original.
      const page = panel.getRootNode();
      while (page.getElementById(panel.id) !== panel) panel.id += "-";
      const { id } = panel;
      setAll(button, { popovertarget: id, "aria-controls": id, "aria-expanded": isOpen });
    }
    const isLong = this.#lists?.[0].items.size >= MANY;
    const url = this.root.dataset.presenceSearchJs;
    if (isOpen && isLong && url) {
      this.#search ??= import(url).then(({ Search }) => new Search(this.root), () => null);
    }
    (await this.#search)?.show(isOpen, isLong);
  }

  /**
   * Take over what was rendered, also where a library rendered it again.
   *
   * @param {(snapshot: any) => State | null} understand `fromSnapshot` of roster.js.
   * @returns {State | null} The state that the HTML shows; null where it shows none.
   */
  adopt(understand) {
    const data = this.root.dataset;
    const lists = [new Items(this.root, "member"), new Items(this.root, "face")];
    this.#lists = lists.filter(({ list, template }) => list && template);
    if (this.#lists[0] !== lists[0]) return null;
    const all = [...lists[0].items.values()].map(({ dataset }) => dataset);
    // A library copied the widget while oneself was shown ahead of the roster.
    const known = all.filter(({ presenceProvisional }) => presenceProvisional === undefined);
    const members = known.map(({ presenceMember: id, presenceName: name, presenceInfo }) => (
      { id, name, info: JSON.parse(presenceInfo) }));
    const listed = data.presenceListed === "true";
    if (!listed) this.#own = members;
    const shown = understand({
      epoch: data.presenceEpoch,
      version: Number(data.presenceVersion),
      members,
      listed,
      total: data.presenceTotal - all.length + known.length,
      anonymous: Number(data.presenceAnonymous),
    });
    for (const list of this.#lists) list.adopt(shown?.members);
    return shown;
  }

  /**
   * Draw what a feed shows, changing only what differs.
   *
   * @param {Feed} feed
   * @param {boolean} [isCounted] Whether the number of anonymous visitors includes this one.
   */
  show({ view, phase: state, self, ahead }, isCounted) {
    const { members: all, ...rest } = view;
    const { presenceSelfId: own, presenceVariant } = this.root.dataset;
    const limit = Number(this.root.dataset.presenceLimit);
    if (self.length) this.#own = self;
    const members = arrange(view.listed ? all : this.#own, own);
    const chosen = choose(members, own, limit);
    const inSight = new Set(presenceVariant === "list" ? chosen : members);
    const [list, faces] = this.#lists;
    list.show(members, ahead, inSight);
    faces?.show(chosen, ahead, inSight);
    const data = { ...rest, state, more: Math.max(0, members.length - limit) };
    for (const name in data) {
      const attribute = `data-presence-${name}`;
      this.root.setAttribute(attribute, data[name]);
      write(this.root.querySelectorAll(`[${attribute}]`), String(data[name]));
    }
    this.#write(data, chosen);
    const seen = {
      anonymous: view.anonymous,
      stranger: isCounted,
      counted: !view.listed,
      rest: data.more || part(this.root, "rest")?.matches(":focus-within"),
      empty: !(view.total + view.anonymous),
    };
    for (const name in seen) for (const line of parts(this.root, name)) line.hidden = !seen[name];
    this.#showOpen();
  }

  // Writes the words that go with a number, and the names of the faces.
  #write(data, faces) {
    const { lang, dataset: { presenceSelfId, presenceAnonymousName } } = this.root;
    for (const line of this.root.querySelectorAll("[data-presence-words]")) {
      const count = data[line.dataset.presenceWords];
      write([line], words(line, count, lang).replace("{n}", count) || line.textContent);
    }
    const you = part(this.#lists[0].template.content, "you")?.textContent ?? "";
    const nodes = faces.flatMap(({ id, name }, at) => {
      const element = document.createElement("bdi");
      element.textContent = name === ANONYMOUS_NAME ? presenceAnonymousName : name;
      return [at ? ", " : "", element, id === presenceSelfId ? ` ${you}` : ""].filter(Boolean);
    });
    const text = nodes.map((node) => node.textContent ?? node).join("");
    for (const line of parts(this.root, "names")) {
      if (line.textContent !== text) line.replaceChildren(...nodes);
    }
  }
}
