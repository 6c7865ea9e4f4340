// The pages of cruddur. Text of people reaches the page by textContent alone.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const byId = (id) => document.getElementById(id);

const MOST_CHARACTERS = 1024;
const LOOK_EVERY_MS = 4000;
const SESSION = "cruddur.session";

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

class Failure extends Error {}

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
async function cognito(flow, parameters) {
  let response;
  try {
    response = await fetch(meta("cognito-endpoint"), {
      method: "POST",
      headers: {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
      },
      body: JSON.stringify({ AuthFlow: flow, ClientId: meta("cognito-client"), AuthParameters: parameters }),
    });
  } catch {
    throw new Failure("Cannot reach the sign-in service. Try again shortly.");
  }
  const answer = await response.json().catch(() => ({}));
  if (answer.AuthenticationResult) {
    return answer.AuthenticationResult;
  }
  if (answer.ChallengeName) {
    throw new Failure("This user has to choose a new password first.");
  }
  const kind = String(answer.__type ?? "").split("#").pop();
  if (kind === "NotAuthorizedException" || kind === "UserNotFoundException") {
    throw new Failure("The username or the password is wrong.");
  }
  throw new Failure("The sign-in service refused. Try again shortly.");
}

async function signIn(username, password) {
  const tokens = await cognito("USER_PASSWORD_AUTH", { USERNAME: username, PASSWORD: password });
  session.write({ username, access: tokens.AccessToken, refresh: tokens.RefreshToken });
}

async function refresh() {
  const current = session.read();
  if (!current?.refresh) {
    return false;
  }
  try {
    const tokens = await cognito("REFRESH_TOKEN_AUTH", { REFRESH_TOKEN: current.refresh });
    session.write({ ...current, access: tokens.AccessToken });
    return true;
  } catch {
    return false;
  }
}

function toSignIn() {
  session.end();
  const next = location.pathname === "/signin" ? "/messages" : location.pathname;
  location.replace(`/signin?next=${encodeURIComponent(next)}`);
  return new Promise(() => {});
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
  if (text !== undefined) made.textContent = text;
  return made;
}

/** A time in the zone of whoever reads it. */
function time(text) {
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
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
  out.addEventListener("click", () => {
    session.end();
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
      const next = new URLSearchParams(location.search).get("next") ?? "/messages";
      // Never to another site.
      location.replace(/^\/(?!\/|\\)/.test(next) ? next : "/messages");
    } else {
      form.password.select();
    }
  });
}

function showInbox(groups, open) {
  const item = (group) => {
    const made = element("li");
    const link = element("a");
    link.href = `/messages/${group.uuid}`;
    if (group.uuid === open) link.setAttribute("aria-current", "page");
    const top = element("span", "top");
    top.append(element("span", "name", group.display_name), time(group.created_at));
    link.append(top, element("p", "last", group.message));
    made.append(link);
    return made;
  };
  const rows = groups.map(item);
  byId("inbox").replaceChildren(...(rows.length ? rows : [element("li", "meta", "No conversations yet.")]));
}

/** One conversation on the page: its messages, each once, the oldest first. */
class Conversation {
  constructor(uuid) {
    this.uuid = uuid;
    this.known = new Set();
    this.oldest = null;
  }

  row(message, others) {
    const made = element("li", message.handle === others ? "" : "mine");
    const head = element("div", "meta");
    head.append(element("span", "name", message.display_name), " ", time(message.created_at));
    made.append(head, element("p", "body", message.message));
    return made;
  }

  async load(others) {
    const found = await api(`/api/messages/${this.uuid}`);
    const scroll = byId("scroll");
    const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
    const fresh = found.filter((message) => !this.known.has(message.uuid));
    for (const message of fresh) {
      this.known.add(message.uuid);
      byId("messages").append(this.row(message, others));
    }
    if (!this.oldest && found.length) {
      this.oldest = found[0].created_at;
      byId("older").hidden = found.length < 20;
    }
    if (fresh.length && atEnd) scroll.scrollTop = scroll.scrollHeight;
  }

  async loadOlder(others) {
    const until = encodeURIComponent(this.oldest);
    const found = await api(`/api/messages/${this.uuid}?limit=50&until=${until}`);
    const fresh = found.filter((message) => !this.known.has(message.uuid));
    const scroll = byId("scroll");
    const below = scroll.scrollHeight - scroll.scrollTop;
    byId("messages").prepend(...fresh.map((message) => this.row(message, others)));
    for (const message of fresh) this.known.add(message.uuid);
    scroll.scrollTop = scroll.scrollHeight - below;
    if (found.length) this.oldest = found[0].created_at;
    byId("older").hidden = found.length < 50;
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
  text.addEventListener("input", countCharacters);
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
    // What was typed stays where it is until it has arrived.
    const sent = await attempt(byId("error"), () => send(text.value));
    button.disabled = false;
    if (sent) {
      text.value = "";
      countCharacters();
    }
    text.focus();
  });
}

const post = (form) =>
  api("/api/messages", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(form),
  });

async function messagesPage() {
  if (!session.read()) return toSignIn();
  const [, , first, second] = location.pathname.split("/");
  const handle = first === "new" ? decodeURIComponent(second ?? "") : null;
  const uuid = handle === null ? first : undefined;
  byId("panes").classList.toggle("open", Boolean(first));
  byId("conversation").hidden = !first;
  byId("new").addEventListener("submit", (event) => {
    event.preventDefault();
    const to = byId("to").value.trim().replace(/^@+/, "");
    if (to) location.assign(`/messages/new/${encodeURIComponent(to)}`);
  });

  const groups = await attempt(byId("inbox-error"), () => api("/api/message_groups"));
  if (groups) showInbox(groups, uuid);
  if (handle !== null) return newConversation(handle);
  const conversation = uuid ? new Conversation(uuid) : null;
  let others = groups?.find((group) => group.uuid === uuid)?.handle;
  const title = (list) => {
    const group = list?.find((one) => one.uuid === uuid);
    others = group?.handle ?? others;
    byId("with").textContent = group ? `${group.display_name} @${group.handle}` : "Conversation";
  };
  if (conversation) {
    title(groups);
    const there = await attempt(byId("error"), async () => {
      await conversation.load(others);
      return true;
    });
    byId("send").hidden = !there;
    byId("scroll").scrollTop = byId("scroll").scrollHeight;
    byId("older").addEventListener("click", () =>
      attempt(byId("error"), () => conversation.loadOlder(others)));
    writeForm(async (text) => {
      const sent = await post({ message: text, message_group_uuid: uuid });
      byId("scroll").scrollTop = byId("scroll").scrollHeight;
      await conversation.load(others);
      return sent;
    });
  }
  const look = async () => {
    if (document.hidden) return;
    const list = await attempt(byId("inbox-error"), () => api("/api/message_groups"));
    if (list) showInbox(list, uuid);
    if (conversation) {
      title(list);
      await attempt(byId("inbox-error"), () => conversation.load(others));
    }
  };
  // One look after the other, however long one takes.
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    await look();
  }
}

async function newConversation(handle) {
  const person = await attempt(byId("error"), () => api(`/api/users/@${encodeURIComponent(handle)}/short`));
  if (person && !person.uuid) {
    byId("with").textContent = `@${handle}`;
    say(byId("error"), new Failure("There is nobody with this handle."));
    byId("send").hidden = true;
    return;
  }
  byId("with").textContent = person ? `${person.display_name} @${person.handle}` : `@${handle}`;
  writeForm(async (text) => {
    const sent = await post({ message: text, handle });
    location.replace(`/messages/${sent.message_group_uuid}`);
    return sent;
  });
}

showWho();
const page = document.body.dataset.page;
document.querySelector(`[data-nav="${page}"]`)?.setAttribute("aria-current", "page");
({ home, signin: signInPage, messages: messagesPage })[page]?.();
