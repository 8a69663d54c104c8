const ALIKE = { Ø: "O", Ł: "L", Đ: "D", Ð: "D", Þ: "TH", Æ: "AE", Œ: "OE", Ħ: "H", Ŧ: "T", ẞ: "SS" };

// As a name is typed: without accents, apostrophes and what is invisible; dashes part words.
export function fold(text) {
  const plain = text.normalize("NFKD").replace(/[\p{M}\p{Cf}\p{Lm}'‘’]/gu, "").replace(/\p{Pd}/gu, " ");
  return plain.toUpperCase().replace(/[^A-Z]/gu, (letter) => ALIKE[letter] ?? letter);
}

export class Search {
  #folded = new WeakMap();

  constructor(root) {
    this.root = root;
    root.addEventListener("input", () => this.#filter());
  }

  #part(name, within = this.root) {
    return within.querySelector(`[data-presence-part=${name}]`);
  }

  show(isOpen, isLong) {
    const [box, field] = ["search", "field"].map((name) => this.#part(name));
    if (!box || !field) return;
    if (!isOpen) field.value = "";
    // The focus, or what was typed, would be lost.
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
