import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Tokens, backoff, chunks } from "../../presence/static/presence/js/connection.js";
import { FINAL, PASSING, makePage } from "./stub.js";

function make(...channels) {
  const { world } = makePage();
  const tokens = new Tokens("/tokens", world.host);
  for (const channel of channels) tokens.grants.set(channel, `grant ${channel}`);
  return { world, tokens };
}

describe("Tokens", () => {
  it("tokens_asked_for_together_take_one_post", async () => {
    const { world, tokens } = make("a", "b");
    const asked = [tokens.entry("a"), tokens.entry("b"), tokens.ask()];
    assert.deepEqual(await world.tick(), [10]);
    const [a, b, all] = await Promise.all(asked);
    assert.equal(a.entry.token, "token a");
    assert.equal(b.entry.token, "token b");
    assert.equal(all.connection, "connection token");
    const [post, ...others] = world.requests;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [post.method, post.cache, post.headers["Content-Type"], post.body],
      ["POST", "no-store", "application/json", '{"grants":["grant a","grant b"]}'],
    );
  });

  it("tokens_share_a_post_under_way_only_for_the_same_grant", async () => {
    const { world, tokens } = make("a");
    let answer;
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) =>
      new Promise((resolve) => { answer = () => resolve(usual(request)); }));
    const first = tokens.entry("a");
    await world.tick();
    const second = tokens.ask();
    tokens.grants.set("b", "grant b");
    const third = tokens.entry("b");
    answer();
    await Promise.all([first, second]);
    assert.equal(world.requests.length, 1);
    await world.tick();
    answer();
    assert.equal((await third).entry.token, "token b");
    assert.equal(world.requests.length, 2);
  });

  it("tokens_are_renewed_with_the_newest_grant", async () => {
    const { world, tokens } = make("a");
    for (const expected of ["grant a", "next a"]) {
      assert.equal(tokens.grants.get("a"), expected);
      const asked = tokens.ask();
      await world.tick();
      await asked;
    }
    assert.equal(world.requests[1].body, '{"grants":["next a"]}');
  });

  it("tokens_are_refused_by_a_final_status_in_the_words_of_the_server", async () => {
    const { world, tokens } = make("a");
    for (const [status, body] of [[403, { error: "the grant is for another user" }], [403, { refused: { a: "why" } }], [400, {}], ...FINAL.filter(([code]) => code > 200)]) {
      world.routes.set("/tokens", () => [status, body]);
      const asked = assert.rejects(tokens.ask(), (error) =>
        !error.passing && error.message.includes(body?.error ?? String(status)));
      await world.tick();
      await asked;
    }
  });

  it("tokens_are_not_refused_by_a_passing_status", async () => {
    const { world, tokens } = make("a");
    for (const answer of PASSING) {
      world.routes.set("/tokens", () => answer);
      const asked = assert.rejects(tokens.ask(), (error) => error.passing);
      await world.tick();
      await asked;
    }
  });

  it("tokens_are_refused_by_a_foreign_answer_with_a_hint", async () => {
    const { world, tokens } = make("a");
    for (const answer of [[0, undefined], [200, undefined], [302, undefined], [403, undefined]]) {
      world.routes.set("/tokens", () => answer);
      const asked = assert.rejects(tokens.ask(), ({ passing, message }) =>
        !passing && /^\/tokens answered (a redirect|\d+): sign in and reload, or exempt/u.test(message));
      await world.tick();
      await asked;
    }
  });

  it("tokens_do_not_follow_a_redirect", async () => {
    const { world, tokens } = make("a");
    const asked = tokens.ask();
    await world.tick();
    await asked;
    assert.equal(world.requests[0].redirect, "manual");
  });

  it("tokens_refuse_only_the_refused_channel", async () => {
    const { world, tokens } = make("a", "__proto__");
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) => {
      const [status, answer] = usual({ ...request, body: '{"grants":["grant a"]}' });
      return [status, { ...answer, refused: { b: "not yours" } }];
    });
    tokens.grants.set("b", "grant b");
    const asked = [
      tokens.entry("a"),
      assert.rejects(tokens.entry("b"), /b: not yours/u),
      assert.rejects(tokens.entry("__proto__"), ({ passing }) => !passing),
    ];
    await world.tick();
    await Promise.all(asked);
  });

  it("tokens_ask_anew_after_a_failure", async () => {
    const { world, tokens } = make("a");
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", () => new TypeError("offline"));
    const failed = assert.rejects(tokens.ask());
    await world.tick();
    await failed;
    world.routes.set("/tokens", usual);
    const asked = tokens.entry("a");
    await world.tick();
    assert.equal((await asked).entry.token, "token a");
  });
});

describe("Tokens with many grants", () => {
  const many = Array.from({ length: 250 }, (_, at) => `c${at}`);
  const grantsOf = ({ body }) => JSON.parse(body).grants;

  it("tokens_of_many_channels_are_sent_in_parts_together", async () => {
    const { world, tokens } = make(...many);
    const asked = Promise.all(many.map((channel) => tokens.entry(channel)));
    assert.deepEqual(await world.tick(), [10]);
    const found = await asked;
    assert.deepEqual(found.map(({ entry }) => entry.token), many.map((channel) => `token ${channel}`));
    assert.deepEqual(world.requests.map((request) => grantsOf(request).length), [100, 100, 50]);
    assert.deepEqual(world.requests.flatMap(grantsOf), many.map((channel) => `grant ${channel}`));
    assert.equal(tokens.grants.get("c249"), "next c249");
  });

  it("tokens_of_many_channels_are_refused_and_fail_by_parts", async () => {
    const { world, tokens } = make(...many);
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) => {
      if (grantsOf(request).includes("grant c0")) return [403, { error: "not yours" }];
      return grantsOf(request).includes("grant c100") ? [503, {}] : usual(request);
    });
    const asked = [
      assert.rejects(tokens.entry("c0"), (error) => !error.passing && /not yours/u.test(error.message)),
      assert.rejects(tokens.entry("c199"), (error) => error.passing),
      tokens.entry("c249"),
    ];
    await world.tick();
    assert.equal((await Promise.all(asked))[2].entry.token, "token c249");
  });

  it("chunks_hold_a_hundred_items", () => {
    const sizes = [0, 1, 100, 101].map((size) => chunks(Array(size).fill("x")).map((chunk) => chunk.length));
    assert.deepEqual(sizes, [[], [1], [100], [100, 1]]);
  });
});

describe("backoff", () => {
  it("backoff_doubles_from_half_a_second_to_half_a_minute_less_up_to_half", () => {
    const waits = [0, 1, 2, 6, 60].map((attempt) => backoff(attempt, () => 1));
    assert.deepEqual(waits, [500, 1000, 2000, 30_000, 30_000]);
    assert.equal(backoff(0, () => 0), 250);
  });
});
