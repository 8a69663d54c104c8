/**
 * Draws a view into the widget's own HTML: reads what Django rendered, then changes only what differs.
 *
 * Data becomes text, validated URLs and validated colours; never HTML, never a style attribute.
 *
 * @typedef {import("./roster.js").Member} Member
 * @typedef {import("./roster.js").View} View
 */

const PALETTE = 12;

/** The place of an id in the palette: FNV-1a (32 bit) of its UTF-8 bytes, as the template tag has it.
 * @param {string} id */
export function paletteIndex(id) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % PALETTE;
}

/** The first character of the first word and of the last; "?" where there is no word.
 * @param {string} name */
export function initials(name) {
  const words = name.split(/\s+/u).filter(Boolean);
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => [...word][0]).join("").toUpperCase() || "?";
}

/** An absolute http(s) URL or a path of this site; else empty. @param {unknown} value */
export function safeUrl(value) {
  return typeof value === "string" && /^(https?:\/\/|\/(?![/\\]))/iu.test(value) ? value : "";
}

/** `#rgb` or `#rrggbb`; else empty. @param {unknown} value */
export function safeColour(value) {
  return typeof value === "string" && /^#([\da-f]{3}|[\da-f]{6})$/iu.test(value) ? value : "";
}

/** Black or white, whichever reads better on a colour (WCAG contrast). @param {string} colour */
export function inkOn(colour) {
  const hex = colour.length === 4 ? colour.replace(/[\da-f]/giu, "$&$&") : colour;
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}

/** The words for a number. Django rendered them for a few sample numbers, of which one at least is
 * of the same plural category in the language of the page.
 * @param {[sample: number, words: string][]} forms the last one serves where none fits
 * @param {number} count
 * @param {string} language */
export function pluralForm(forms, count, language) {
  const [known] = Intl.PluralRules.supportedLocalesOf(language.split("_"));
  const rules = new Intl.PluralRules(known ?? "en");
  const wanted = rules.select(count);
  return (forms.find(([sample]) => rules.select(sample) === wanted) ?? forms.at(-1))?.[1] ?? "";
}

/** @param {ParentNode} within @param {string} name @returns {HTMLElement | null} */
const part = (within, name) => within.querySelector(`[data-presence-part="${name}"]`);

/** @param {Element | null} element @param {boolean} shown */
const toggle = (element, shown) => element?.toggleAttribute("hidden", !shown);

/** @param {string | undefined} text @returns {Record<string, unknown>} */
function parseInfo(text) {
  try {
    const info = JSON.parse(text || "{}");
    return typeof info === "object" && info !== null && !Array.isArray(info) ? info : {};
  } catch {
    return {};
  }
}

export class Drawing {
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();
  /** @type {Map<string, Member>} */
  #drawn = new Map();

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.list = /** @type {HTMLElement} */ (part(root, "members"));
    // Error events do not bubble, but they can be captured: a picture that fails uncovers the initials.
    root.addEventListener("error", ({ target }) => this.#unpicture(target), true);
  }

  /** The snapshot that the HTML shows. */
  read() {
    const { presenceEpoch, presenceVersion, presenceTotal, presenceAnonymous, presenceListed } =
      this.root.dataset;
    const members = [];
    let ahead = 0;
    for (const item of this.list.querySelectorAll("[data-presence-member]")) {
      const { presenceMember: id = "", presenceName: name = "", presenceInfo, presenceProvisional } =
        /** @type {HTMLElement} */ (item).dataset;
      this.#items.set(id, /** @type {HTMLElement} */ (item));
      // Left by a script that copied a live widget: who is shown ahead is not in the roster.
      if (presenceProvisional !== undefined) ahead += 1;
      else members.push({ id, name, info: parseInfo(presenceInfo) });
    }
    return {
      epoch: presenceEpoch ?? "",
      version: Number(presenceVersion ?? 0),
      members,
      listed: presenceListed !== "false",
      total: Number(presenceTotal ?? 0) - ahead,
      anonymous: Number(presenceAnonymous ?? 0),
    };
  }

  /** Takes over what was rendered: colours, and pictures that failed before this script ran.
   * @param {Map<string, Member>} members that the HTML shows already */
  adopt(members) {
    this.#drawn = members;
    for (const item of this.#items.values()) {
      this.#paint(item, parseInfo(item.dataset.presenceInfo), item.dataset.presenceMember ?? "");
      const picture = item.querySelector("img");
      if (picture?.complete && picture.naturalWidth === 0) this.#unpicture(picture);
    }
  }

  /**
   * @param {View} view
   * @param {string | null} self the id of oneself; null while it is not known
   */
  show(view, self) {
    const gone = new Set(this.#items.keys());
    let next = this.list.querySelector(":scope > [data-presence-member]");
    for (const member of view.members) {
      gone.delete(member.id);
      const item = this.#items.get(member.id) ?? this.#create(member);
      if (this.#drawn.get(member.id) !== member) this.#fill(item, member);
      item.toggleAttribute("data-presence-provisional", view.provisional === member.id);
      if (self !== null) this.#mark(item, self === member.id);
      if (item === next) next = next.nextElementSibling;
      else this.list.insertBefore(item, next);
    }
    for (const id of gone) {
      this.#items.get(id)?.remove();
      this.#items.delete(id);
    }
    this.#count(view);
    this.#drawn = new Map(view.members.map((member) => [member.id, member]));
  }

  /** @param {"static" | "live" | "stale"} phase @param {boolean} refused */
  enter(phase, refused) {
    this.root.dataset.presenceState = phase;
    const status = part(this.root, "status");
    const text = refused ? status?.dataset.presenceText ?? "" : "";
    if (status && status.textContent !== text) status.textContent = text;
  }

  /** @param {Member} member */
  #create({ id }) {
    const template = /** @type {HTMLTemplateElement} */ (
      this.root.querySelector('template[data-presence-template="member"]')
    );
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    const item = /** @type {HTMLElement} */ (copy.querySelector("[data-presence-member]"));
    item.dataset.presenceMember = id;
    this.#items.set(id, item);
    return item;
  }

  /** @param {HTMLElement} item @param {Member} member */
  #fill(item, { id, name, info }) {
    item.dataset.presenceName = name;
    item.dataset.presenceInfo = JSON.stringify(info);
    const label = part(item, "name");
    if (label) label.textContent = name;
    const letters = part(item, "initials");
    if (letters) letters.textContent = initials(name);
    this.#picture(part(item, "avatar"), safeUrl(info.avatar));
    this.#paint(item, info, id);
  }

  /** @param {HTMLElement | null} avatar @param {string} url */
  #picture(avatar, url) {
    const shown = avatar?.querySelector("img");
    if (!avatar || (shown?.getAttribute("src") ?? "") === url) return;
    shown?.remove();
    if (!url) return;
    const picture = document.createElement("img");
    picture.className = "presence-picture";
    picture.alt = "";
    picture.src = url;
    avatar.append(picture);
  }

  /** @param {unknown} target */
  #unpicture(target) {
    if (target instanceof HTMLImageElement && target.closest("[data-presence-member]")) target.remove();
  }

  /** @param {HTMLElement} item @param {Record<string, unknown>} info @param {string} id */
  #paint(item, info, id) {
    const colour = safeColour(info.color);
    for (let index = 0; index < PALETTE; index += 1) {
      item.classList.toggle(`presence-colour-${index}`, index === paletteIndex(id));
    }
    if (colour) {
      item.style.setProperty("--presence-colour", colour);
      item.style.setProperty("--presence-ink", inkOn(colour));
    } else {
      item.style.removeProperty("--presence-colour");
      item.style.removeProperty("--presence-ink");
    }
  }

  /** @param {HTMLElement} item @param {boolean} isSelf */
  #mark(item, isSelf) {
    item.toggleAttribute("data-presence-self", isSelf);
    toggle(part(item, "you"), isSelf);
  }

  /** @param {View} view */
  #count({ epoch, version, listed, total, anonymous }) {
    const { dataset } = this.root;
    dataset.presenceEpoch = epoch;
    dataset.presenceVersion = String(version);
    dataset.presenceListed = String(listed);
    dataset.presenceTotal = String(total);
    dataset.presenceAnonymous = String(anonymous);
    for (const count of this.root.querySelectorAll("[data-presence-total]")) {
      count.textContent = String(total);
    }
    for (const count of this.root.querySelectorAll("[data-presence-anonymous]")) {
      count.textContent = String(anonymous);
    }
    toggle(part(this.root, "anonymous"), anonymous > 0);
    toggle(part(this.root, "empty"), total + anonymous === 0);
    const words = part(this.root, "anonymous-words");
    if (words) words.textContent = this.#words(words, anonymous);
  }

  /** @param {HTMLElement} element @param {number} count */
  #words(element, count) {
    const forms = Object.entries(element.dataset)
      .filter(([key]) => /^presenceForm\d+$/u.test(key))
      .map(([key, words]) => /** @type {[number, string]} */ ([Number(key.slice(12)), words]))
      .sort(([a], [b]) => a - b);
    return pluralForm(forms, count, this.root.lang || "en");
  }
}
