/** The site's own handlers: notes what they were given, where a test finds it. */
const note = (name) => (detail, element) => {
  const notes = (globalThis.handled ??= []);
  notes.push({ name, channel: detail.channel, id: detail.member?.id, tag: element.localName });
};

export const handlers = {
  join: note("join"), leave: note("leave"), sync: note("sync"), event: note("event"),
};
