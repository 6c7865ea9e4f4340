// The calls of the app's React front end, from a page of its own origin in a real browser:
// with preflight, and with an answer read only where CORS lets it be. Run by
// tests/cli/pages.rs with the browser, the server's address and an access token.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const [executablePath, modules, backend, token] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");

const SEEDED = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399";

// Where the pages come from, whatever listens on the real port.
const pages = createServer((_, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end("<!doctype html><title>front end</title>");
});
await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
const at = `127.0.0.1:${pages.address().port}`;
const browser = await chromium.launch({
  executablePath,
  chromiumSandbox: process.getuid() !== 0,
  args: [`--host-resolver-rules=MAP localhost:3000 ${at}, MAP localhost:3001 ${at}`],
});
try {
  const open = async (origin) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${origin}/messages`);
    return page;
  };
  const page = await open("http://localhost:3000");
  const call = (from, path, options) =>
    from.evaluate(
      async ([url, options]) => {
        const res = await fetch(url, options);
        return { status: res.status, body: await res.json() };
      },
      [backend + path, options],
    );
  const authorized = { headers: { Authorization: `Bearer ${token}` }, method: "GET" };
  const form = (body) => ({
    method: "POST",
    headers: {
      Authorization: `Bearer ${token}`,
      Accept: "application/json",
      "Content-Type": "application/json",
    },
    body: JSON.stringify(body),
  });

  // MessageGroupsPage
  const groups = await call(page, "/api/message_groups", authorized);
  assert.equal(groups.status, 200);
  assert.equal(groups.body[0].uuid, SEEDED);
  assert.equal(groups.body[0].display_name, "Jess Brookes");

  // MessageGroupPage
  const messages = await call(page, `/api/messages/${groups.body[0].uuid}`, authorized);
  assert.equal(messages.status, 200);
  assert.equal(messages.body.length, 20);
  for (const name of ["uuid", "display_name", "handle", "message", "created_at"]) {
    assert.equal(typeof messages.body[0][name], "string", name);
  }

  // MessageGroupNewPage sends no token.
  const maren = await call(page, "/api/users/@maren/short", { method: "GET" });
  assert.equal(maren.status, 200);
  assert.equal(maren.body.handle, "maren");

  // MessageForm, in a conversation and to a person: it opens the conversation that it is told.
  const sent = await call(page, "/api/messages", form({ message: "Hi", message_group_uuid: SEEDED }));
  assert.equal(sent.status, 200);
  assert.equal(sent.body.message_group_uuid, SEEDED);
  const first = await call(page, "/api/messages", form({ message: "Hello", handle: "maren" }));
  assert.equal(first.status, 200);
  const opened = await call(page, `/api/messages/${first.body.message_group_uuid}`, authorized);
  assert.equal(opened.body[0].message, "Hello");
  // Its errors are a list to map over.
  const blank = await call(page, "/api/messages", form({ message: "", message_group_uuid: SEEDED }));
  assert.deepEqual(blank, { status: 422, body: ["message_blank"] });

  // HomeFeedPage sends what token it has, be it expired.
  const home = await call(page, "/api/activities/home", { headers: { Authorization: "Bearer null" }, method: "GET" });
  assert.equal(home.status, 200);
  assert.equal(home.body[0].handle, "bayko");
  // An expired session is read too: the page is let see that it is 401.
  const expired = { headers: { Authorization: "Bearer null" }, method: "GET" };
  assert.deepEqual(await call(page, "/api/message_groups", expired), { status: 401, body: {} });

  // A page of somebody else may not read the answers.
  const other = await open("http://localhost:3001");
  await assert.rejects(call(other, "/api/message_groups", authorized), /Failed to fetch/);
} finally {
  await browser.close();
  pages.close();
}
