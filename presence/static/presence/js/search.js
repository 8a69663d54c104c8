/**
 * The field that finds members in a long list. Loaded once somebody opens a list of twenty or more.
 *
 * Members that do not match are `hidden`. The field itself is never drawn again, so that it keeps the
 * focus, and what was typed, while members come and go.
 */

// Letters that no normalization takes apart.
const ALIKE = { Ø: "O", Ł: "L", Đ: "D", Ð: "D", Þ: "TH", Æ: "AE", Œ: "OE", Ħ: "H", Ŧ: "T", ẞ: "SS" };

/**
 * Return a name as it is typed: without case, accents, apostrophes and what is invisible. Dashes part
 * words.
 *
 * @param {string} text
 * @returns {string}
 */
export function fold(text) {
  const plain = text.normalize("NFKD").replace(/[\p{M}\p{Cf}\p{Lm}'‘’]/gu, "").replace(/\p{Pd}/gu, " ");
  return plain.toUpperCase().replace(/[^A-Z]/gu, (letter) => ALIKE[letter] ?? letter);
}

/** The search of one widget. */
export class Search {
  // By item, the text of its name and that folded.
  #folded = new WeakMap();

  /** @param {HTMLElement} root The widget, with the parts `search`, `field`, `nobody` and `members`. */
  constructor(root) {
    this.root = root;
    root.addEventListener("input", () => this.#filter());
  }

  #part(name, within = this.root) {
    return within.querySelector(`[data-presence-part=${name}]`);
  }

  /**
   * Show the field where the list is open and long, and hide the members that do not match.
   *
   * @param {boolean} isOpen
   * @param {boolean} isLong
   */
  show(isOpen, isLong) {
    const [box, field] = ["search", "field"].map((name) => this.#part(name));
    if (!box || !field) return;
    if (!isOpen) field.value = "";
    // A list that gets short keeps the field while it is in use: the focus would be lost.
    const isUsed = field.value || box.matches(":focus-within");
    box.hidden = !isOpen || !(isLong || isUsed);
    this.#filter();
  }

  #filter() {
    const [field, list, line] = ["field", "members", "nobody"].map((name) => this.#part(name));
    const wanted = fold(field.value).split(/\s+/u);
    let found = false;
    for (const item of list.children) {
      const name = this.#nameOf(item);
      const isFound = wanted.every((word) => name.includes(word));
      if (item.hidden === isFound) item.hidden = !isFound;
      found ||= isFound;
    }
    const text = found ? "" : line?.dataset.presenceNobody;
    if (line && line.textContent !== text) line.textContent = text;
  }

  #nameOf(item) {
    const text = this.#part("name", item)?.textContent ?? item.dataset.presenceName ?? "";
    const known = this.#folded.get(item);
    if (known?.text === text) return known.folded;
    const folded = fold(text);
    this.#folded.set(item, { text, folded });
    return folded;
  }
}
