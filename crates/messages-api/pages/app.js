// The pages of cruddur. Text of people reaches the page by textContent alone.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const byId = (id) => document.getElementById(id);

const MOST_CHARACTERS = 1024;
const LOOK_EVERY_MS = 4000;
const SESSION = "cruddur.session";
const ENDED = "cruddur.ended";
const DRAFT = `cruddur.draft ${location.pathname}`;
const PAGE = 20;

/** Each code of the routes in words. */
const WORDS = {
  message_blank: "Write something first.",
  message_exceed_max_chars_1024: "A message has at most 1,024 characters.",
  message_group_uuid_blank: "There is no conversation to send it to.",
  user_reciever_handle_blank: "There is nobody else with this handle.",
  cognito_user_id_blank: "You are signed in, but this app does not know you yet. Ask whoever runs it.",
  conversation_broken: "This conversation is damaged. Ask whoever runs the app.",
  service_unavailable: "The service cannot be reached at the moment. Try again shortly.",
};

class Failure extends Error {
  /** Whether whoever was asked has said no: another attempt would end alike. */
  refused = false;
}

function refusal(text) {
  return Object.assign(new Failure(text), { refused: true });
}

// --- who is signed in ---

const session = {
  read() {
    try {
      return JSON.parse(sessionStorage.getItem(SESSION));
    } catch {
      return null;
    }
  },
  write(value) {
    sessionStorage.setItem(SESSION, JSON.stringify(value));
  },
  end() {
    sessionStorage.removeItem(SESSION);
  },
};

/** Asks Cognito itself: no password is sent to this server. */
function ask(operation, body) {
  return fetch(meta("cognito-endpoint"), {
    method: "POST",
    headers: {
      "Content-Type": "application/x-amz-json-1.1",
      "X-Amz-Target": `AWSCognitoIdentityProviderService.${operation}`,
    },
    body: JSON.stringify({ ClientId: meta("cognito-client"), ...body }),
  });
}

async function cognito(flow, parameters) {
  let response;
  try {
    response = await ask("InitiateAuth", { AuthFlow: flow, AuthParameters: parameters });
  } catch {
    throw new Failure("Cannot reach the sign-in service. Try again shortly.");
  }
  const answer = await response.json().catch(() => ({}));
  if (answer.AuthenticationResult) {
    return answer.AuthenticationResult;
  }
  if (answer.ChallengeName) {
    throw refusal("This user has to choose a new password first.");
  }
  const kind = String(answer.__type ?? "").split("#").pop();
  if (kind === "NotAuthorizedException" || kind === "UserNotFoundException") {
    throw refusal("The username or the password is wrong.");
  }
  throw new Failure("The sign-in service refused. Try again shortly.");
}

async function signIn(username, password) {
  const tokens = await cognito("USER_PASSWORD_AUTH", { USERNAME: username, PASSWORD: password });
  session.write({ username, access: tokens.AccessToken, refresh: tokens.RefreshToken });
}

/** A new access token. `false`: Cognito gives none any more. */
async function refresh() {
  const current = session.read();
  if (!current?.refresh) {
    return false;
  }
  try {
    const tokens = await cognito("REFRESH_TOKEN_AUTH", { REFRESH_TOKEN: current.refresh });
    session.write({ ...current, access: tokens.AccessToken });
    return true;
  } catch (error) {
    if (error.refused) return false;
    throw error;
  }
}

function toSignIn() {
  if (session.read()) sessionStorage.setItem(ENDED, "yes");
  session.end();
  const next = location.pathname === "/signin" ? "/messages" : location.pathname;
  location.replace(`/signin?next=${encodeURIComponent(next)}`);
  return new Promise(() => {});
}

/** The page to go to after signing in: one of these pages, and never another site. */
function nextPage() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/messages(\/[\w%.~@-]+){0,2}$/.test(next) || next === "/" ? next : "/messages";
}

// --- the routes ---

async function api(path, options = {}, again = true) {
  const current = session.read();
  const headers = { ...options.headers };
  if (current?.access) {
    headers.Authorization = `Bearer ${current.access}`;
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Failure("Cannot reach the server. Try again shortly.");
  }
  if (response.status === 401) {
    return again && (await refresh()) ? api(path, options, false) : toSignIn();
  }
  const body = await response.json().catch(() => null);
  if (response.ok) {
    return body;
  }
  if (response.status === 404) {
    throw new Failure("There is no such conversation.");
  }
  const codes = Array.isArray(body) ? body : [];
  throw new Failure(codes.map((code) => WORDS[code] ?? code).join(" ") || "Something went wrong.");
}

// --- what is shown ---

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) {
    made.textContent = text;
    made.dir = "auto";
  }
  return made;
}

/** A time in the zone of whoever reads it; `brief`: of another day the day alone. */
function time(text, brief = false) {
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  const style = { ...(!today && { dateStyle: "medium" }), ...((today || !brief) && { timeStyle: "short" }) };
  const made = element("time", "", new Intl.DateTimeFormat(undefined, style).format(at));
  made.dateTime = text;
  return made;
}

function say(place, error) {
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

/** Runs what may fail, and says so in its place. */
async function attempt(place, work) {
  try {
    const result = await work();
    say(place, null);
    return result;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say(place, error);
    return undefined;
  }
}

function showWho() {
  const who = byId("who");
  const current = session.read();
  if (!current) {
    const link = element("a", "", "Sign in");
    link.href = "/signin";
    who.replaceChildren(link);
    return;
  }
  const out = element("button", "link", "Sign out");
  out.type = "button";
  out.addEventListener("click", async () => {
    out.disabled = true;
    // Signed out here in any case, and at Cognito where it can be reached.
    await ask("RevokeToken", { Token: current.refresh }).catch(() => {});
    sessionStorage.clear();
    location.assign("/signin");
  });
  who.replaceChildren(`Signed in as ${current.username} · `, out);
}

async function home() {
  const activities = await attempt(byId("error"), () => api("/api/activities/home"));
  const item = (activity) => {
    const made = element("li");
    made.append(
      element("span", "name", activity.display_name),
      " ",
      element("span", "handle", `@${activity.handle}`),
      " · ",
      time(activity.created_at),
      element("p", "body", activity.message),
    );
    return made;
  };
  byId("feed").replaceChildren(...(activities ?? []).map(item));
  if (activities?.length === 0) {
    byId("feed").append(element("li", "", "Nobody has said anything lately."));
  }
}

function signInPage() {
  if (session.read()) return location.replace(nextPage());
  if (sessionStorage.getItem(ENDED)) {
    sessionStorage.removeItem(ENDED);
    say(byId("error"), new Failure("Your session has ended. Sign in again: what you typed is kept."));
  }
  const form = byId("signin");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    const done = await attempt(byId("error"), async () => {
      await signIn(form.username.value.trim(), form.password.value);
      return true;
    });
    button.disabled = false;
    if (done) {
      location.replace(nextPage());
    } else {
      form.password.select();
    }
  });
}

/** The list of conversations: the newest, and older ones on demand. */
class Inbox {
  constructor(open) {
    this.open = open;
    this.groups = new Map();
    this.rows = new Map();
    byId("older-groups").addEventListener("click", () =>
      attempt(byId("inbox-error"), async () => {
        await this.loadOlder();
        this.show();
      }));
  }

  async load() {
    const found = await api("/api/message_groups");
    if (this.groups.size === 0) this.mayHaveMore = found.length === PAGE;
    for (const group of found) this.groups.set(group.uuid, group);
    this.show();
  }

  async loadOlder() {
    const oldest = this.sorted().at(-1);
    const found = await api(`/api/message_groups?limit=100&until=${encodeURIComponent(oldest.created_at)}`);
    const before = this.groups.size;
    for (const group of found) if (!this.groups.has(group.uuid)) this.groups.set(group.uuid, group);
    this.mayHaveMore = found.length === 100 && this.groups.size > before;
  }

  /** The first that is so, however old it is. */
  async find(is) {
    for (;;) {
      const found = [...this.groups.values()].find(is);
      if (found || !this.mayHaveMore) return found;
      await this.loadOlder();
    }
  }

  sorted() {
    return [...this.groups.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  }

  /** Rows that are there stay: who reads or moves in the list is not thrown out of it. */
  show() {
    const list = byId("inbox");
    const rows = this.sorted().map((group) => this.row(group));
    byId("older-groups").hidden = !this.mayHaveMore;
    if (rows.length === 0) {
      if (!list.firstChild) list.append(element("li", "meta", "No conversations yet."));
      return;
    }
    if (rows.length === list.children.length && rows.every((row, at) => row === list.children[at])) return;
    const focused = document.activeElement;
    list.replaceChildren(...rows);
    if (list.contains(focused)) focused.focus({ preventScroll: true });
  }

  row(group) {
    let row = this.rows.get(group.uuid);
    if (!row) {
      row = element("li");
      const link = element("a");
      link.href = `/messages/${group.uuid}`;
      if (group.uuid === this.open) link.setAttribute("aria-current", "page");
      row.append(link);
      this.rows.set(group.uuid, row);
    }
    const now = JSON.stringify(group);
    if (row.dataset.shown !== now) {
      row.dataset.shown = now;
      const top = element("span", "top");
      const who = element("span", "who");
      who.append(element("span", "name", group.display_name), " ", element("span", "handle", `@${group.handle}`));
      top.append(who, time(group.created_at, true));
      row.firstChild.replaceChildren(top, element("p", "last", group.message));
    }
    return row;
  }
}

/** One conversation on the page: its messages, each once, the oldest first. */
class Conversation {
  constructor(uuid) {
    this.uuid = uuid;
    this.known = new Set();
    /** the handle of the other person */
    this.other = undefined;
    /** the time up to which nothing is missing */
    this.upTo = "";
  }

  get(query = "") {
    return api(`/api/messages/${this.uuid}${query}`);
  }

  row(message) {
    const made = element("li", message.handle === this.other ? "" : "mine");
    made.dataset.at = message.created_at;
    const head = element("div", "meta");
    head.append(element("span", "name", message.display_name), " ", time(message.created_at));
    made.append(head, element("p", "body", message.message));
    return made;
  }

  /** Where it belongs by its time: what was sent here may be there before what came. */
  add(message) {
    if (this.known.has(message.uuid)) return false;
    this.known.add(message.uuid);
    const list = byId("messages");
    let before = null;
    for (let row = list.lastElementChild; row && row.dataset.at > message.created_at; row = row.previousElementSibling) {
      before = row;
    }
    list.insertBefore(this.row(message), before);
    return true;
  }

  async load() {
    const first = this.known.size === 0;
    let page = await this.get();
    const found = [...page];
    // More came since the last look than a page has.
    while (!first && page.length && page[0].created_at > this.upTo) {
      const older = await this.get(`?limit=100&until=${encodeURIComponent(page[0].created_at)}`);
      page = older.filter((message) => !found.some((one) => one.uuid === message.uuid));
      found.unshift(...page);
    }
    const scroll = byId("scroll");
    const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
    const fresh = found.filter((message) => this.add(message));
    this.upTo = found.at(-1)?.created_at ?? this.upTo;
    if (first) byId("older").hidden = found.length < PAGE;
    if (fresh.length && (atEnd || first)) this.toEnd();
  }

  async loadOlder() {
    const oldest = byId("messages").firstElementChild.dataset.at;
    const found = await this.get(`?limit=50&until=${encodeURIComponent(oldest)}`);
    const scroll = byId("scroll");
    const below = scroll.scrollHeight - scroll.scrollTop;
    const fresh = found.filter((message) => this.add(message));
    scroll.scrollTop = scroll.scrollHeight - below;
    byId("older").hidden = found.length < 50 || fresh.length === 0;
  }

  toEnd() {
    byId("scroll").scrollTop = byId("scroll").scrollHeight;
  }
}

/** Characters as the routes count them. */
const length = (text) => [...text].length;

function countCharacters() {
  const characters = length(byId("text").value);
  byId("count").textContent = `${characters.toLocaleString("en")} of 1,024`;
  byId("count").classList.toggle("over", characters > MOST_CHARACTERS);
}

function writeForm(send) {
  const text = byId("text");
  text.value = sessionStorage.getItem(DRAFT) ?? "";
  countCharacters();
  const changed = () => {
    sessionStorage.setItem(DRAFT, text.value);
    countCharacters();
    say(byId("error"), null);
  };
  text.addEventListener("input", changed);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      byId("send").requestSubmit();
    }
  });
  byId("send").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = byId("send").querySelector("button");
    if (button.disabled) return;
    button.disabled = true;
    const typed = text.value;
    const sent = await attempt(byId("error"), () => send(typed));
    button.disabled = false;
    // What was typed stays until it has arrived, and what was typed meanwhile stays too.
    if (sent && text.value.startsWith(typed)) {
      text.value = text.value.slice(typed.length);
      changed();
    }
    text.focus();
  });
  // Whoever types elsewhere already goes on there; and a keyboard that comes up by itself
  // would cover a small screen.
  const isFree = document.activeElement === document.body;
  if (isFree && matchMedia("(min-width: 44.01rem)").matches) text.focus();
}

const post = (form) =>
  api("/api/messages", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(form),
  });

/** Part of a path; nothing where it is no text. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

async function messagesPage() {
  if (!session.read()) return toSignIn();
  const [, , first, second] = location.pathname.split("/");
  const handle = first === "new" ? decoded(second ?? "") : null;
  const uuid = first && handle === null ? first.toLowerCase() : undefined;
  byId("panes").classList.toggle("open", Boolean(first));
  byId("conversation").hidden = !first;
  byId("new").addEventListener("submit", (event) => {
    event.preventDefault();
    const to = byId("to").value.trim().replace(/^@+/, "");
    if (to) location.assign(`/messages/new/${encodeURIComponent(to)}`);
  });

  const inbox = new Inbox(uuid);
  await attempt(byId("inbox-error"), () => inbox.load());
  const conversation = uuid ? new Conversation(uuid) : null;
  if (conversation) await openConversation(conversation, inbox);
  if (handle !== null) await newConversation(handle, inbox);
  // One look after the other, however long one takes.
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    if (document.hidden) continue;
    await attempt(byId("inbox-error"), () => inbox.load());
    if (conversation) await attempt(byId("look-error"), () => conversation.load());
  }
}

async function openConversation(conversation, inbox) {
  byId("with").textContent = "Conversation";
  const there = await attempt(byId("error"), async () => {
    const group = await inbox.find((one) => one.uuid === conversation.uuid);
    if (group) showPerson(group);
    conversation.other = group?.handle;
    await conversation.load();
    inbox.show();
    return true;
  });
  byId("send").hidden = !there;
  byId("older").addEventListener("click", () => attempt(byId("look-error"), () => conversation.loadOlder()));
  if (!there) return;
  writeForm(async (text) => {
    const sent = await post({ message: text, message_group_uuid: conversation.uuid });
    conversation.add(sent);
    conversation.toEnd();
    return sent;
  });
}

function showPerson(person) {
  byId("with").textContent = `${person.display_name} @${person.handle}`;
  document.title = `${person.display_name} · Messages · cruddur`;
}

async function newConversation(handle, inbox) {
  byId("with").textContent = `@${handle}`;
  const path = `/api/users/@${encodeURIComponent(handle)}/short`;
  const person = await attempt(byId("error"), () => (handle ? api(path) : {}));
  if (person && !person.uuid) {
    say(byId("error"), new Failure("There is nobody with this handle."));
    byId("send").hidden = true;
    return;
  }
  const group = await attempt(byId("error"), () => inbox.find((one) => one.handle === handle));
  if (group) return location.replace(`/messages/${group.uuid}`);
  if (person) showPerson(person);
  writeForm(async (text) => {
    const sent = await post({ message: text, handle });
    sessionStorage.removeItem(DRAFT);
    location.replace(`/messages/${sent.message_group_uuid}`);
    return new Promise(() => {});
  });
}

showWho();
const page = document.body.dataset.page;
document.querySelector(`[data-nav="${page}"]`)?.setAttribute("aria-current", "page");
({ home, signin: signInPage, messages: messagesPage })[page]?.();
