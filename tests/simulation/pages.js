/**
 * Pages for the simulator: the real feed and reducer, each page with a clock and a network of its own.
 *
 * Each line of the input is an order to one page; the line of the output says what the page did and what
 * it shows after that. Nothing here waits for real time.
 */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { Centrifuge, MODULES, configOf, makePage, settle } from "../js/stub.js";

// A seeded generator: mulberry32.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class SimulatedPage {
  #answers = new Map();
  #shown = new Map();
  #listed;
  steps = [];
  problems = [];
  reports = 0;

  async open({ now, seed, channel, shown, position, user }) {
    const { roster } = MODULES;
    // A change that is applied is a step; so is a snapshot that is taken.
    const reduce = (state, publication) => {
      const base = state.version;
      const result = roster.reduce(state, publication);
      if (result.changes) this.steps.push(["diff", state.epoch, base, state.version]);
      return result;
    };
    const splice = (state, snapshot, kept) => {
      const next = roster.splice(state, snapshot, kept);
      if (next) this.steps.push(["snapshot", next.state.epoch, 0, next.state.version]);
      return next;
    };
    const modules = { ...MODULES, roster: { ...roster, reduce, splice } };
    const { world, page } = makePage({ user, ahead: Boolean(user), hidden: false, modules });
    Object.assign(this, { world, page });
    world.time = now;
    world.host.random = random(seed);
    world.routes.set("/snapshot", () => new Promise((resolve) => {
      this.#answers.set(world.requests.length, resolve);
      this.requests.push(world.requests.length);
    }));
    world.routes.set("/check", () => {
      this.reports += 1;
      return [204, undefined];
    });
    this.requests = [];
    const config = configOf(channel, { position, asOf: now });
    page.follow(config, roster.fromSnapshot(shown), (feed, news) => {
      this.feed = feed;
      this.#fold(feed, news);
    });
    await world.pass(20);
    [this.client] = Centrifuge.made;
    this.sub = this.client.getSubscription(channel);
    this.client.state = "connected";
    return this.sub.options.since;
  }

  /** A listener that reads only the news knows who is shown: nobody joins or leaves twice. */
  #fold({ view }, { joined, left, updated, synced }) {
    try {
      for (const { id } of left) assert.equal(this.#shown.delete(id), true, `${id} left, not shown`);
      for (const member of joined) {
        assert.equal(this.#shown.has(member.id), false, `${member.id} joined, but shown`);
        this.#shown.set(member.id, member);
      }
      for (const member of updated) this.#shown.set(member.id, member);
      if (view.listed !== this.#listed || synced || !view.version || !this.started) {
        this.#shown = new Map(view.members.map((member) => [member.id, member]));
      }
      this.started = view.version;
      this.#listed = view.listed;
      assert.deepEqual([...this.#shown.keys()].sort(), view.members.map(({ id }) => id).sort());
    } catch (error) {
      this.problems.push(error.message);
    }
  }

  subscribed({ recovered, publications }) {
    this.sub.trigger("subscribed", { wasRecovering: true, recovered });
    for (const data of publications) this.publication({ data });
  }

  publication({ data }) {
    this.sub.trigger("publication", { data });
  }

  pulse({ data }) {
    this.client.trigger("publication", { channel: "presence.tick", data });
  }

  interrupted() {
    this.sub.trigger("subscribing", {});
  }

  ended({ code }) {
    this.client.end(code, "ended");
  }

  answer({ request, status, body }) {
    this.#answers.get(request)([status, body ?? undefined]);
    this.#answers.delete(request);
  }

  pass() {}

  report() {
    const { phase, revoked, refusal, state } = this.feed;
    const { epoch, version, listed, total, anonymous } = state;
    const due = Math.min(...this.world.timers.map((timer) => timer.due));
    const told = {
      phase, refusal, revoked: Boolean(revoked), epoch, version, listed, total, anonymous,
      members: [...state.members.values()], view: this.feed.view.members.map(({ id }) => id),
      steps: this.steps, problems: this.problems, requests: this.requests, reports: this.reports,
      next: due < Infinity ? due : null,
    };
    this.steps = [];
    this.requests = [];
    this.reports = 0;
    return told;
  }
}

const pages = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  const { op, page: id, now, ...order } = JSON.parse(line);
  let since = null;
  if (op === "reset") pages.clear();
  else if (op === "open") {
    pages.set(id, new SimulatedPage());
    since = await pages.get(id).open({ now, ...order });
  } else if (op === "close") pages.delete(id);
  const page = pages.get(id);
  if (page && op !== "open") {
    await page.world.pass(Math.max(0, now - page.world.time));
    page[op](order);
    await settle();
  }
  process.stdout.write(`${JSON.stringify({ since, ...page?.report() })}\n`);
}
