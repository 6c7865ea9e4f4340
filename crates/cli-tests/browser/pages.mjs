// The pages in a real browser, as a person uses them: run by tests/cli/pages.rs with the
// browser, the server's address, the password and a folder for screenshots.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [executablePath, modules, base, password, screenshots] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const { source: axe } = require("axe-core");

const SEEDED = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399";
// Older than the twenty conversations that are shown first; the test makes it.
const OLD = "0a1b2c3d-0000-4000-8000-000000000000";
const SCRIPT = "<script>document.title = 'taken'</script> & <b>bold</b>";

const asRoot = process.getuid() === 0;
const browser = await chromium.launch({ executablePath, chromiumSandbox: !asRoot });

async function open(width, height, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => {
    throw error;
  });
  return page;
}

/** A page as it is kept, and that nobody is kept from it: labels, contrast, order. */
async function shown(page, name) {
  const overflows = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.equal(overflows, false, `${name} is wider than its window`);
  const { violations } = await page.evaluate(`${axe}; axe.run()`);
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], name);
  await page.screenshot({ path: `${screenshots}/${name}.png` });
}

const text = (page, selector) => page.locator(selector).textContent();
const said = async (page, selector = "#error") => {
  await page.waitForSelector(`${selector}:not([hidden])`);
  return text(page, selector);
};
const last = "#messages li:last-child .body";
const lastIs = (page, wanted) =>
  page.waitForFunction(([at, is]) => document.querySelector(at)?.textContent === is, [last, wanted]);

/** With the keyboard alone. */
async function signIn(page, user, word) {
  await page.fill("#username", user);
  await page.press("#username", "Tab");
  await page.keyboard.type(word);
  await page.keyboard.press("Enter");
}

try {
  // Everybody sees the feed; the inbox asks who one is.
  const bayko = await open(1440, 900, "light");
  await bayko.goto(`${base}/`);
  await bayko.waitForSelector("#feed li");
  assert.match(await text(bayko, "#feed"), /The boat floats\. Mostly\./);
  await shown(bayko, "home-1440");
  await bayko.goto(`${base}/messages/${SEEDED}`);
  await bayko.waitForURL(/\/signin\?next=/);
  await signIn(bayko, "bayko", "wrong");
  assert.equal(await said(bayko), "The username or the password is wrong.");
  await shown(bayko, "signin-1440");
  await bayko.fill("#password", "");
  await signIn(bayko, "bayko", password);

  // Back to where it was: the seeded conversation, at its newest message.
  await bayko.waitForURL(`${base}/messages/${SEEDED}`);
  await bayko.waitForSelector("#messages li");
  assert.equal(await bayko.locator("#messages li").count(), 20);
  assert.equal(await text(bayko, "#with"), "Jess Brookes @jess-bk");
  assert.equal(await bayko.locator('#inbox a[aria-current="page"]').count(), 1);
  await shown(bayko, "conversation-1440");
  await bayko.click("#older");
  await bayko.waitForFunction(() => document.querySelectorAll("#messages li").length === 69);

  // A second person, on a small dark screen, sees what the first one sends.
  const jess = await open(360, 740, "dark");
  await jess.goto(`${base}/signin`);
  await shown(jess, "signin-360");
  await signIn(jess, "jess-bk", password);
  await jess.waitForSelector("#inbox a");
  await shown(jess, "inbox-360");
  await jess.click("#inbox a");
  await jess.waitForSelector("#messages li");
  await bayko.fill("#text", SCRIPT);
  await bayko.press("#text", "Enter");
  await lastIs(bayko, SCRIPT);
  assert.equal(await bayko.inputValue("#text"), "");
  await lastIs(jess, SCRIPT);
  assert.equal(await jess.title(), "Bayko Lund · Messages · cruddur", "a script in a message stays text");
  await shown(jess, "conversation-360");

  // What was typed survives an error; Shift+Enter breaks the line.
  await bayko.fill("#text", "x".repeat(1025));
  assert.equal(await text(bayko, "#count"), "1,025 of 1,024");
  await bayko.press("#text", "Enter");
  assert.equal(await said(bayko), "A message has at most 1,024 characters.");
  assert.equal((await bayko.inputValue("#text")).length, 1025);
  await bayko.fill("#text", "two");
  await bayko.press("#text", "Shift+Enter");
  await bayko.keyboard.type("lines");
  await bayko.press("#text", "Enter");
  await lastIs(bayko, "two\nlines");

  // What is typed while a message is on its way stays, and what is not sent survives a reload.
  let letGo;
  let isHeld;
  const held = new Promise((resolve) => (isHeld = resolve));
  await bayko.route("**/api/messages", async (route) => {
    await new Promise((resolve) => {
      letGo = resolve;
      isHeld();
    });
    await route.continue();
  });
  await bayko.fill("#text", "first");
  await bayko.press("#text", "Enter");
  await bayko.keyboard.type(" and second");
  await held;
  letGo();
  await lastIs(bayko, "first");
  await bayko.unroute("**/api/messages");
  assert.equal(await bayko.inputValue("#text"), " and second");
  await bayko.reload();
  await bayko.waitForSelector("#messages li");
  assert.equal(await bayko.inputValue("#text"), " and second");
  await bayko.fill("#text", "");

  // More come than a page has, while nobody looks; and a message that was sent is shown as
  // sent though the list cannot be read.
  await bayko.route("**/api/messages/*", (route) => route.abort());
  const token = await jess.evaluate(() => JSON.parse(sessionStorage.getItem("cruddur.session")).access);
  for (let number = 1; number <= 30; number += 1) {
    const response = await fetch(`${base}/api/messages`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ message: `gap ${number}`, message_group_uuid: SEEDED }),
    });
    assert.equal(response.status, 200);
  }
  await bayko.fill("#text", "in the gap");
  await bayko.press("#text", "Enter");
  await lastIs(bayko, "in the gap");
  assert.equal(await bayko.inputValue("#text"), "");
  assert.equal(await said(bayko, "#look-error"), "Cannot reach the server. Try again shortly.");
  await bayko.unroute("**/api/messages/*");
  await bayko.waitForFunction(
    () => [...document.querySelectorAll("#messages .body")].filter((body) => /^gap /.test(body.textContent)).length === 30,
  );
  const order = await bayko.evaluate(() =>
    [...document.querySelectorAll("#messages li")].every((row, at, rows) => at === 0 || rows[at - 1].dataset.at <= row.dataset.at));
  assert.equal(order, true, "messages are in the order of their times");
  // Nobody is thrown out of the list by a look.
  await bayko.focus("#inbox a");
  await bayko.waitForResponse((response) => response.url().endsWith("/api/message_groups"));
  await bayko.waitForResponse((response) => response.url().endsWith("/api/message_groups"));
  assert.equal(await bayko.evaluate(() => document.activeElement.getAttribute("href")), `/messages/${SEEDED}`);

  // Reload and back.
  await bayko.reload();
  await lastIs(bayko, "in the gap");
  await bayko.click('[data-nav="messages"]');
  await bayko.waitForURL(`${base}/messages`);
  await bayko.goBack();
  await bayko.waitForURL(`${base}/messages/${SEEDED}`);

  // A new conversation, and one that is not there.
  await bayko.fill("#to", "@maren");
  await bayko.press("#to", "Enter");
  await bayko.waitForURL(`${base}/messages/new/maren`);
  await bayko.waitForFunction(() => document.querySelector("#with").textContent === "Maren Holt @maren");
  await bayko.fill("#text", "Hello Maren");
  await bayko.press("#text", "Enter");
  await bayko.waitForURL(/\/messages\/[0-9a-f]{8}-/);
  await lastIs(bayko, "Hello Maren");
  // Who is written to already has a conversation.
  await bayko.goto(`${base}/messages/new/maren`);
  await bayko.waitForURL(/\/messages\/[0-9a-f]{8}-/);
  await lastIs(bayko, "Hello Maren");
  for (const nobody of ["nobody", "%ff"]) {
    await bayko.goto(`${base}/messages/new/${nobody}`);
    assert.equal(await said(bayko), "There is nobody with this handle.");
  }
  await bayko.goto(`${base}/messages/00000000-0000-4000-8000-000000000000`);
  assert.equal(await said(bayko), "There is no such conversation.");
  assert.equal(await bayko.locator("#send").isVisible(), false);
  await shown(bayko, "none-1440");

  // An access token that is no longer good is refreshed; without one it asks again.
  const spoil = (also) =>
    bayko.evaluate((names) => {
      const key = "cruddur.session";
      const session = JSON.parse(sessionStorage.getItem(key));
      for (const name of names) session[name] = "x.y.z";
      sessionStorage.setItem(key, JSON.stringify(session));
    }, also);
  await bayko.goto(`${base}/messages`);
  await bayko.waitForSelector("#inbox a");
  await spoil(["access"]);
  await bayko.reload();
  await bayko.waitForSelector("#inbox a");
  await spoil(["access", "refresh"]);
  await bayko.reload();
  await bayko.waitForURL(`${base}/signin?next=%2Fmessages`);
  assert.match(await said(bayko), /^Your session has ended\./);
  await signIn(bayko, "bayko", password);
  await bayko.waitForSelector("#inbox a");
  // Cognito that cannot be reached has not refused: nobody is signed out by it.
  await spoil(["access"]);
  const cognito = await bayko.getAttribute('meta[name="cognito-endpoint"]', "content");
  await bayko.route(`${cognito}/**`, (route) => route.abort());
  await bayko.reload();
  assert.equal(await said(bayko, "#inbox-error"), "Cannot reach the sign-in service. Try again shortly.");
  await bayko.unroute(`${cognito}/**`);
  await bayko.waitForSelector("#inbox a");

  // No link leads from signing in to another site.
  for (const next of ["//evil.example/", "/%09/evil.example", "/%0a/evil.example", "/%0d%5cevil.example", "https:evil.example", "javascript:alert(1)"]) {
    await bayko.click("#who button");
    await bayko.waitForURL(`${base}/signin`);
    await bayko.goto(`${base}/signin?next=${next}`);
    await signIn(bayko, "bayko", password);
    await bayko.waitForURL(`${base}/messages`);
  }

  // More conversations than a page has: all can be reached, and in an old one everybody is
  // who they are.
  await bayko.waitForSelector("#inbox a");
  await bayko.click("#older-groups");
  await bayko.waitForSelector(`#inbox a[href="/messages/${OLD}"]`);
  await bayko.goto(`${base}/messages/${OLD.toUpperCase()}`);
  await bayko.waitForSelector("#messages li");
  assert.equal(await text(bayko, "#with"), "Old Friend @old-friend");
  assert.equal(await bayko.locator("#messages li.mine").count(), 0);
  assert.equal(await bayko.locator("#messages li").count(), 1);
  await shown(bayko, "many-1440");
} finally {
  await browser.close();
}
