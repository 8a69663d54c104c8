/** Defines `<presence-cursors>`. The module exports nothing: the element is the interface. */
export {};
