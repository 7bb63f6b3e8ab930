// The page: sends what is typed, shows what comes back. HTML arrives rendered and sanitised from the server.
// State lives on the server; here are only drafts, and what is on its way.

import { call, copy, fill, icon, ids, keep, make, when } from "./pieces.js";

const IDEAS = [
  ["Science", "Why is the sky blue, but the sunset red?"],
  ["Mathematics", "Solve x² − 5x + 6 = 0 step by step and show the formula."],
  ["Code", "Write a Python function that finds the longest palindrome in a text."],
  ["Everyday", "Plan a simple dinner for four people in under 30 minutes."],
];
const SILENCE = 40_000; // the server speaks every 15 s

const $ = (id) => document.getElementById(id);

let thread = "";
let fresh = true; // this chat has nothing on the server yet
let first = 0; // position of the first message shown
let cards = [];
let commands = [];
let textCap = 100_000;
let source = null;
let heard = 0;
let waits = 0;
let loading = 0;
let held = null; // events that came while the transcript was on its way
let failed = null; // {thread, id, text} that did not get through
let stuck = true; // the reader follows the newest words
let redone = false; // the next final takes the place of an older one
const busy = new Set();
const turns = new Map(); // turn -> list item of this chat
const mine = new Map(); // message id -> list item of this chat

// ---- messages

function follow() {
  if (stuck) $("scroll").scrollTop = $("scroll").scrollHeight;
  $("newest").hidden = stuck || !$("list").childElementCount;
}

function ownItem(text, id = "", at = 0, files = []) {
  const item = make("li", { class: "own", title: when(at) }, make("span", { class: "hidden" }, "You:"));
  if (files.length) item.append(make("div", { class: "files" }, files.join(", ")));
  item.append(make("div", { class: "said", dir: "auto" }, text));
  item.words = text;
  item.dataset.role = "user";
  if (id) { mine.set(id, item); item.dataset.id = id; }
  return item;
}

function replyItem(turn = "") {
  const item = make("li", { class: "reply" }, make("span", { class: "hidden" }, "Pieria:"), make("div", { class: "said" }));
  item.words = null;
  item.dataset.role = "assistant";
  if (turn) { turns.set(turn, item); item.dataset.turn = turn; }
  return item;
}

function finish(item, html, text, buttons = [], at = 0) {
  item.classList.remove("growing");
  item.title = when(at);
  item.words = text;
  fill(item.querySelector(".said"), html);
  item.querySelector(".tools")?.remove();
  const tools = make("div", { class: "tools" });
  for (const { label, action } of buttons) {
    tools.append(make("button", { type: "button", class: "choice", onclick: () => press(action) }, label));
  }
  const button = make("button", { type: "button", class: "copy-reply", onclick: () => copy(text, button, (done) => {
    button.replaceChildren(icon(done ? "done" : "copy"), done ? "Copied" : "Copy");
  }) }, icon("copy"), "Copy");
  tools.append(button, make("button", { type: "button", class: "retry", onclick: retry }, icon("retry"), "Try again"));
  item.append(tools);
}

function think(on) {
  const dots = $("list").querySelector(".dots");
  if (!on) { dots?.remove(); return; }
  if ($("list").querySelector(".growing")) return;
  const item = dots || make("li", { class: "dots" }, make("span", { class: "hidden" }, "Pieria is writing"),
    make("div", { class: "thinking", "aria-hidden": "true" }, make("i"), make("i"), make("i")));
  if ($("list").lastElementChild !== item) $("list").append(item);
}

function setBusy(on, which = thread) {
  on ? busy.add(which) : busy.delete(which);
  if (which !== thread) return;
  think(on);
  const growing = busy.has(thread) || Boolean($("list").querySelector(".growing"));
  $("stop").hidden = !growing;
  $("list").setAttribute("aria-busy", String(growing));
}

function say(text) { // for screen readers: the whole reply, once
  $("live").textContent = text;
}

const happen = {
  partial({ turn, seq, html }) {
    let item = turns.get(turn);
    if (item && (item.words !== null || seq < item.seq)) return;
    if (!item) {
      dropOld();
      item = replyItem(turn);
      item.classList.add("growing");
      think(false);
      $("list").append(item);
      say("Pieria is writing.");
    }
    item.seq = seq;
    fill(item.querySelector(".said"), html);
    setBusy(true);
    think(false);
    follow();
  },
  final(event) {
    const { turn, html, text, buttons, at } = event;
    let item = turns.get(turn);
    if (!item) {
      dropOld();
      item = replyItem(turn);
      think(false);
      $("list").append(item);
    }
    const known = item.words === text;
    finish(item, html, text, buttons, at);
    $("welcome").hidden = true;
    setBusy(false);
    if (redone) { redone = false; load(); }
    if (!known) say(`Pieria: ${item.querySelector(".said").innerText.slice(0, 4000)}`);
    if (document.hidden && !document.title.startsWith("● ")) document.title = `● ${document.title}`;
    follow();
  },
  typing() {
    setBusy(true);
    follow();
  },
  said({ id, text }) {
    const item = mine.get(id);
    if (item) {
      if (item.classList.contains("sending")) settled({ thread, text }, draft());
      item.classList.remove("sending");
      return;
    }
    if (failed?.id === id) { // only the answer was lost: it did arrive
      if ($("words").value.trim() === failed.text) write("");
      keep.set(draft(), $("words").value);
      failed = null;
      trouble("");
    }
    $("welcome").hidden = true;
    $("list").append(ownItem(text, id));
    think(busy.has(thread));
    follow();
  },
};

function dropOld() {
  $("list").querySelector(".redo")?.remove();
}

function receive(event) {
  heard = Date.now();
  if (event.kind === "beat") return;
  if (event.kind === "hello") { waits = 0; online(""); refresh(); return; }
  if (event.kind === "reload") { refresh(); return; }
  if (event.kind === "said") remember(event.thread, event.text);
  if (event.thread !== thread) {
    if (event.kind === "typing" || event.kind === "partial") busy.add(event.thread);
    if (event.kind === "final") { busy.delete(event.thread); mark(event.thread); }
    return;
  }
  if (held) held.push(event);
  else happen[event.kind]?.(event);
}

// ---- the transcript

async function load() {
  const mineNow = ++loading;
  const which = thread;
  held = held || [];
  let chat;
  try {
    chat = await call(`/api/chats/${which}`);
  } catch (error) {
    if (mineNow !== loading) return;
    if (error.status === 401) return enter();
    online(`${error.message} Trying again…`);
    setTimeout(() => { if (mineNow === loading) load(); }, 2000);
    return;
  }
  if (mineNow !== loading || which !== thread) return;
  show(chat);
  const came = held;
  held = null;
  for (const event of came) {
    const shown = event.kind === "final" && [...$("list").children].slice(-3).some((item) => item.words === event.text);
    if (shown) { turns.get(event.turn)?.classList.contains("growing") && happen.final(event); setBusy(false); }
    else happen[event.kind]?.(event);
  }
}

function show({ from, messages, waiting, growing, running }) {
  first = from;
  $("earlier").hidden = from === 0;
  const list = $("list");
  const wanted = [...messages, ...waiting.map((words) => ({ role: "user", ...words }))];
  list.querySelector(".dots")?.remove();
  for (const item of list.querySelectorAll(".growing")) item.remove();
  // what is shown already stays as it is; what came meanwhile is added; only a real difference draws all anew
  const items = [...list.children];
  let at = 0;
  let matched = 0;
  for (const { role, text } of wanted) {
    const found = items.findIndex((item, i) => i >= at && item.dataset.role === role && item.words === text);
    if (found < 0) break;
    at = found + 1;
    matched++;
  }
  const rest = wanted.slice(matched);
  const after = items.slice(at).filter((item) => item.dataset.role === "user" ? !item.classList.contains("sending") : false);
  if (items.length && wanted.length && (matched === 0 || (rest.length && after.length))) {
    const sending = items.filter((item) => item.classList.contains("sending"));
    list.replaceChildren(...wanted.map(drawn), ...sending);
  } else {
    const anchor = items.slice(at).find((item) => item.classList.contains("sending")) || null;
    for (const message of rest) list.insertBefore(drawn(message), anchor);
  }
  for (const [turn, item] of turns) if (!item.isConnected) turns.delete(turn);
  fresh = !wanted.length && !list.childElementCount;
  welcome();
  busy.delete(thread);
  for (const event of growing) happen.partial(event);
  setBusy(running);
  follow();
}

function drawn({ role, text, html, at, files, id }) {
  if (role === "user") return ownItem(text, id, at, files);
  const item = replyItem();
  finish(item, html, text, [], at);
  return item;
}

async function earlier() {
  const scroll = $("scroll");
  const before = scroll.scrollHeight - scroll.scrollTop;
  const which = thread;
  try {
    const chat = await call(`/api/chats/${which}?before=${first}`);
    if (which !== thread) return;
    $("list").prepend(...chat.messages.map(drawn));
    first = chat.from;
    $("earlier").hidden = first === 0;
    stuck = false;
    scroll.scrollTop = scroll.scrollHeight - before;
  } catch (error) {
    trouble(error.message, earlier);
  }
}

// ---- sending

function trouble(sentence, again) {
  const box = $("trouble");
  box.hidden = !sentence;
  box.querySelector("span").textContent = sentence || "";
  box.querySelector("button").onclick = () => { box.hidden = true; again(); };
}

async function submit(text) {
  const body = text.trim();
  if (!body || !thread) return;
  if (body.length > textCap) {
    trouble(`The message is too long: ${body.length.toLocaleString()} of at most ${textCap.toLocaleString()} characters.`, () => $("words").focus());
    return;
  }
  // the same words after a failure are the same message: if it did arrive, it is not asked twice
  const again = failed && failed.thread === thread && failed.text === body;
  const sent = again ? failed : { thread, id: ids(), text: body };
  failed = null;
  trouble("");
  const item = ownItem(body, sent.id);
  item.classList.add("sending");
  $("welcome").hidden = true;
  $("list").append(item);
  stuck = true;
  const running = busy.has(thread);
  write("");
  const place = draft();
  keep.set(place, body); // until it is safe
  setBusy(true);
  follow();
  try {
    await call("/api/messages", {
      ...sent, zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "", language: navigator.language || "",
    });
  } catch (error) {
    if (item.isConnected && !item.classList.contains("sending")) return settled(sent, place); // the stream has shown it
    item.remove();
    mine.delete(sent.id);
    failed = sent;
    if (!running) busy.delete(sent.thread);
    if (sent.thread === thread) {
      const typed = $("words").value;
      write(typed.trim() && typed !== body ? `${body}\n\n${typed}` : body);
      setBusy(busy.has(thread));
      welcome();
      trouble(error.message, () => submit($("words").value));
    }
    if (error.status === 401) enter();
    return;
  }
  item.classList.remove("sending");
  settled(sent, place);
}

function settled(sent, place) {
  keep.set(place, "");
  if (sent.thread === thread) {
    fresh = false;
    history.replaceState(null, "", `#c=${thread}`);
    keep.set(draft(), $("words").value);
  }
  remember(sent.thread, sent.text);
}

async function press(action, path = "/api/press") {
  try {
    await call(path, { thread, id: ids(), action });
  } catch (error) {
    trouble(error.message, () => press(action, path));
    return false;
  }
  return true;
}

async function halt() {
  $("stop").disabled = true;
  await press("/stop", "/api/stop");
  $("stop").disabled = false;
}

async function retry() {
  const last = $("list").lastElementChild;
  last?.classList.add("redo");
  redone = true;
  stuck = true;
  setBusy(true);
  follow();
  if (!(await press("/retry", "/api/retry"))) {
    last?.classList.remove("redo");
    redone = false;
    setBusy(false);
  }
}

// ---- writing

function draft() {
  return fresh ? "draft" : `draft.${thread}`;
}

function write(text) {
  $("words").value = text;
  typed();
}

function typed() {
  const area = $("words");
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
  $("send").disabled = !area.value.trim();
  suggest();
}

function suggest() {
  const box = $("commands");
  const start = $("words").value;
  const fitting = /^\/\w*$/.test(start) ? commands.filter(({ name }) => `/${name}`.startsWith(start.toLowerCase())) : [];
  box.hidden = !fitting.length;
  box.replaceChildren(...fitting.map(({ name, about }, i) => make("div",
    { role: "option", id: `command-${name}`, "aria-selected": String(i === 0), onclick: () => choose(name) },
    make("b", {}, `/${name}`), make("span", {}, about))));
  mark0();
}

function mark0() {
  const chosen = $("commands").querySelector('[aria-selected="true"]');
  if ($("commands").hidden || !chosen) $("words").removeAttribute("aria-activedescendant");
  else { $("words").setAttribute("aria-activedescendant", chosen.id); chosen.scrollIntoView({ block: "nearest" }); }
}

function choose(name) {
  write(`/${name} `);
  $("commands").hidden = true;
  $("words").focus();
}

function keys(event) {
  const box = $("commands");
  if (!box.hidden) {
    const options = [...box.children];
    const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      options[at].setAttribute("aria-selected", "false");
      options[(at + step + options.length) % options.length].setAttribute("aria-selected", "true");
      mark0();
      return;
    }
    const name = options[at]?.id.slice("command-".length);
    if (event.key === "Tab" || (event.key === "Enter" && `/${name}` !== $("words").value.trim())) {
      event.preventDefault();
      choose(name);
      return;
    }
    if (event.key === "Escape") { box.hidden = true; event.stopPropagation(); return; }
  }
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    submit($("words").value);
  }
}

// ---- chats

function title(text) {
  const words = text.replace(/\s+/g, " ").trim();
  return words.length > 60 ? `${words.slice(0, 58).replace(/\s\S*$/, "")}…` : words;
}

function remember(which, text) {
  const known = cards.find((card) => card.thread === which);
  if (!known && text.startsWith("/")) return;
  cards = [{ thread: which, title: known?.title || title(text), at: Date.now() }, ...cards.filter((card) => card !== known)];
  list();
}

function mark(which) {
  const link = $("cards").querySelector(`[data-thread="${CSS.escape(which)}"]`);
  if (link && !link.textContent.startsWith("● ")) link.prepend("● ");
}

function list() {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const groups = [["Today", midnight], ["Yesterday", midnight - 864e5], ["The week before", midnight - 7 * 864e5], ["Earlier", -Infinity]];
  const parts = [];
  let until = Infinity;
  for (const [name, from] of groups) {
    const some = cards.filter(({ at }) => at >= from && at < until);
    until = from;
    if (!some.length) continue;
    parts.push(make("h2", {}, name), ...some.map((card) => make("a", {
      href: `#c=${card.thread}`, dir: "auto", title: card.title, "data-thread": card.thread,
      ...(card.thread === thread ? { "aria-current": "page" } : {}),
    }, card.title || "Chat")));
  }
  $("cards").replaceChildren(...(parts.length ? parts : [make("p", { class: "none" }, "Your chats will stand here.")]));
  const here = cards.find((card) => card.thread === thread)?.title || "New chat";
  $("title").textContent = here;
  document.title = here === "New chat" ? "Pieria" : `${here} · Pieria`;
}

function turnTo(which, isNew) {
  const early = thread ? "" : $("words").value; // typed before the page knew who is here
  if (thread) keep.set(draft(), $("words").value);
  thread = which;
  fresh = isNew;
  loading++;
  held = null;
  turns.clear();
  mine.clear();
  $("list").replaceChildren();
  $("earlier").hidden = true;
  stuck = true;
  trouble("");
  say("");
  setBusy(busy.has(thread));
  drawer(false);
  list();
  welcome();
  write(early || keep.get(draft()));
  if (!isNew) load();
  if (!matchMedia("(pointer: coarse)").matches) $("words").focus();
}

function newChat() {
  if (fresh && !$("list").childElementCount) { drawer(false); $("words").focus(); return; }
  history.pushState(null, "", location.pathname);
  turnTo(ids(), true);
}

function route() {
  const named = /^#c=([A-Za-z0-9_-]{16,64})$/.exec(location.hash);
  if (named && named[1] !== thread) turnTo(named[1], false);
  else if (!named && (!thread || !fresh)) turnTo(ids(), true);
}

function welcome() {
  $("welcome").hidden = !fresh || $("list").childElementCount > 0;
}

function drawer(shown) {
  $("side").classList.toggle("shown", shown);
  $("shade").hidden = !shown;
  $("menu").setAttribute("aria-expanded", String(shown));
  if (shown) $("close-side").focus();
}

// ---- the connection

function online(sentence) {
  $("lost").hidden = !sentence;
  $("lost").textContent = sentence;
}

function connect() {
  source?.close();
  source = new EventSource("/api/events");
  heard = Date.now();
  source.onmessage = ({ data }) => receive(JSON.parse(data));
  source.onerror = () => {
    setTimeout(() => { if (source && source.readyState !== EventSource.OPEN) online("Connection lost. Reconnecting…"); }, 1200);
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(enter, Math.min(15_000, 1000 * 2 ** waits++));
    }
  };
}

async function refresh() {
  try {
    const got = await call("/api/chats");
    const local = cards.filter((card) => card.thread === thread && !got.chats.some((one) => one.thread === thread));
    cards = [...local, ...got.chats];
    list();
  } catch { /* the transcript's own trouble says it */ }
  if (!fresh || $("list").childElementCount || cards.some((card) => card.thread === thread)) load();
}

// a tab that nobody looks at gives its connection back: browsers have six for one server
let asleep = 0;
function sleep() {
  clearTimeout(asleep);
  if (document.hidden) {
    asleep = setTimeout(() => { source?.close(); source = null; }, 300_000);
  } else {
    if (document.title.startsWith("● ")) list();
    if (!$("gate").hidden) return;
    if (!source || Date.now() - heard > SILENCE) connect();
  }
}

async function about() {
  const here = await call("/api/about");
  if (!here.signed_in) return here;
  const { model, note, hint, platforms } = here.about;
  commands = here.commands;
  textCap = here.text_cap;
  $("sign-out").hidden = !here.password;
  $("model").hidden = !model && !note;
  $("model").textContent = note || model;
  $("model").title = note || model;
  const who = $("who");
  who.replaceChildren();
  if (model) who.append("You are talking with ", make("b", {}, model), ". ");
  if (note) who.append(`${note.charAt(0).toUpperCase()}${note.slice(1).replace(/[.…]*$/, "")}. `);
  if (hint) who.append(...hint.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part)), " ");
  const others = platforms.filter((name) => name !== "Web page");
  if (others.length) who.append(`Also on: ${others.join(", ")}.`);
  if (note) setTimeout(() => about().catch(() => {}), 2000);
  return here;
}

async function enter() {
  let here;
  try {
    here = await about();
    if (!here.signed_in && here.open) {
      await call("/api/visit", {});
      here = await about();
    }
  } catch (error) {
    online(`${error.message} Trying again…`);
    setTimeout(enter, Math.min(15_000, 1000 * 2 ** waits++));
    return;
  }
  if (!here.signed_in) { gate(here.password); return; }
  online("");
  $("gate").hidden = true;
  call("/api/visit", {}).catch(() => {}); // keeps the cookie young
  const used = location.hash === "#used-link";
  if (used) history.replaceState(null, "", "/");
  route();
  if (used) trouble("That link was used already, or is older than an hour. You are here as a guest.", () => $("words").focus());
  connect();
}

function gate(password) {
  source?.close();
  source = null;
  $("gate").hidden = false;
  $("gate-text").textContent = password
    ? "This assistant is private. Sign in with its password."
    : "This assistant is private. Open the link that it printed when it was started.";
  for (const part of $("sign-in").querySelectorAll("label, input, button")) part.hidden = !password;
  if (location.hash === "#used-link") $("gate-trouble").textContent = "That link was used already, or is older than an hour.";
  if (password) $("password").focus();
}

async function signIn(event) {
  event.preventDefault();
  const button = $("sign-in").querySelector("button");
  button.disabled = true;
  try {
    await call("/api/signin", { password: $("password").value });
    $("password").value = "";
    $("gate-trouble").textContent = "";
    if (location.hash === "#used-link") history.replaceState(null, "", "/");
    await enter();
  } catch (error) {
    $("gate-trouble").textContent = error.message;
    $("password").select();
  }
  button.disabled = false;
}

async function signOut() {
  await call("/api/signout", {}).catch(() => {});
  for (const key of Object.keys(localStorage)) if (key.startsWith("pieria.draft")) localStorage.removeItem(key);
  location.assign("/");
}

// ---- the beginning

document.addEventListener("DOMContentLoaded", () => {
  $("ideas").append(...IDEAS.map(([name, text]) => make("button", { type: "button", onclick: () => submit(text) },
    make("b", {}, name), make("span", {}, text))));
  $("composer").onsubmit = (event) => { event.preventDefault(); submit($("words").value); $("words").focus(); };
  $("words").oninput = () => { typed(); keep.set(draft(), $("words").value); };
  $("words").onkeydown = keys;
  $("stop").onclick = () => { halt(); $("words").focus(); };
  $("new").onclick = $("new-small").onclick = newChat;
  $("menu").onclick = () => drawer(true);
  $("close-side").onclick = () => { drawer(false); $("menu").focus(); };
  $("shade").onclick = () => drawer(false);
  $("earlier").onclick = earlier;
  $("newest").onclick = () => { stuck = true; follow(); };
  $("sign-in").onsubmit = signIn;
  $("sign-out").onclick = signOut;
  $("cards").onclick = (event) => { if (event.target.closest("a")) drawer(false); };
  $("list").addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button.closest("figure").querySelector("code").textContent, button, (done) => { button.textContent = done ? "Copied" : "Copy"; });
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "o") { event.preventDefault(); newChat(); }
    else if (event.key === "Escape" && $("side").classList.contains("shown")) { drawer(false); $("menu").focus(); }
    else if (event.key === "Escape" && !$("stop").hidden) halt();
  });

  // the reader who scrolls back is left in peace; at the end, the page follows again
  const scroll = $("scroll");
  let top = 0;
  scroll.addEventListener("scroll", () => {
    if (scroll.scrollTop < top - 2) stuck = false;
    if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 6) stuck = true;
    top = scroll.scrollTop;
    $("newest").hidden = stuck || !$("list").childElementCount;
  }, { passive: true });
  scroll.addEventListener("wheel", (event) => { if (event.deltaY < 0) stuck = false; }, { passive: true });
  new ResizeObserver(follow).observe(scroll);

  addEventListener("hashchange", route);
  addEventListener("popstate", route);
  addEventListener("online", () => { if (!source) enter(); });
  document.addEventListener("visibilitychange", sleep);
  setInterval(() => { if (source && !document.hidden && Date.now() - heard > SILENCE) connect(); }, 5000);
  enter();
});
