// The page: sends what is typed, shows what comes back. HTML arrives rendered and sanitised from the server.
// State lives on the server; here are only drafts, and what is on its way.

import * as cards from "./cards.js";
import * as composer from "./composer.js";
import { gate, listen } from "./door.js";
import * as items from "./items.js";
import { $, call, copy, fill, ids, keep, make } from "./pieces.js";

const IDEAS = [
  ["Science", "Why is the sky blue, but the sunset red?"],
  ["Mathematics", "Solve x² − 5x + 6 = 0 step by step and show the formula."],
  ["Code", "Write a Python function that finds the longest palindrome in a text."],
  ["Everyday", "Plan a simple dinner for four people in under 30 minutes."],
];
const SILENCE = 40_000; // the server speaks every 15 s

let thread = "";
let fresh = true; // this chat has nothing on the server yet
let first = 0; // position of the first message shown
let textCap = 100_000;
let source = null;
let heard = 0;
let waits = 0;
let loading = 0;
let held = null; // events that came while the transcript was on its way
let failed = null; // {thread, id, text} that did not get through
let stuck = true; // the reader follows the newest words
let redone = ""; // the chat whose next final takes the place of an older one
let speaking = ""; // the model that answers unless a chat chose another
const busy = new Set();
const shown = new Map(); // chat -> its list items, of those that were looked at last

// ---- messages

function follow() {
  if (stuck) $("scroll").scrollTop = $("scroll").scrollHeight;
  $("newest").hidden = stuck || !$("list").childElementCount;
}

function unanswered(on) { // the last question has no reply, and none is on its way
  $("list").querySelector(".unanswered")?.remove();
  const last = $("list").lastElementChild;
  if (!on || last?.dataset.role !== "user" || last.dataset.aside !== undefined || last.classList.contains("sending")) return;
  $("list").append(make("li", { class: "unanswered" }, make("span", {}, "There is no reply to this."), make("div", { class: "tools" }, items.again())));
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
  partial({ turn, seq, html, asked }) {
    let item = items.ofTurn(turn);
    if (item && (item.words !== null || seq < item.seq)) return;
    if (!item) {
      dropOld();
      item = items.replyItem(turn);
      item.classList.add("growing");
      think(false);
      items.place(item, asked);
      say("Pieria is writing.");
    }
    item.seq = seq;
    fill(item.querySelector(".said"), html);
    setBusy(true);
    think(false);
    follow();
  },
  final({ turn, html, text, buttons, at, asked, failed }) {
    let item = items.ofTurn(turn);
    // the transcript may have brought it already, before it was known which turn it is
    const twin = at && [...$("list").children].findLast((one) => one !== item && one.at === at && !one.dataset.turn);
    if (twin) {
      item?.remove();
      item = twin;
      items.become(item, turn);
    }
    // what was asked by a button has no id; of those only a new try is more than a remark
    const remade = !asked && (redone === thread || item);
    const aside = asked ? items.command(items.ofMessage(asked)?.words || "") : !remade;
    if (!item) {
      if (!aside) dropOld();
      item = items.replyItem(turn);
      think(false);
      items.place(item, asked);
    }
    if (aside) item.dataset.aside = "";
    item.classList.toggle("failed", failed);
    const known = item.words === text;
    items.finish(item, html, text, buttons, at);
    $("welcome").hidden = true;
    if (!aside) setBusy(false);
    else think(busy.has(thread));
    if (items.command(items.ofMessage(asked)?.words || "") === "model") load(); // the line above names the chosen one
    if (remade) { redone = ""; load(); }
    if (!known) say(`Pieria: ${item.querySelector(".said").innerText.slice(0, 4000)}`);
    if (document.hidden && !document.title.startsWith("● ")) document.title = `● ${document.title}`;
    follow();
  },
  again() {
    redo();
  },
  typing() {
    setBusy(true);
    follow();
  },
  said({ id, text }) {
    const item = items.ofMessage(id);
    if (item) {
      if (item.classList.contains("sending")) settled({ thread, text }, draft());
      item.classList.remove("sending");
      return;
    }
    if (failed?.id === id) { // only the answer was lost: it did arrive
      if ($("words").value.trim() === failed.text) composer.write("");
      keep.set(draft(), $("words").value);
      failed = null;
      trouble("");
    }
    $("welcome").hidden = true;
    unanswered(false);
    $("list").append(items.ownItem(text, id));
    think(busy.has(thread));
    follow();
  },
};

function dropOld() {
  $("list").querySelector(".redo")?.remove();
  unanswered(false);
}

function redo() { // the newest reply is made anew, here or on another open page
  const asked = [...$("list").children].findLast((item) => item.dataset.role === "user" && item.dataset.aside === undefined);
  for (let item = asked?.nextElementSibling; item; item = item.nextElementSibling) {
    if (item.dataset.role === "assistant" && item.dataset.aside === undefined) item.classList.add("redo");
  }
  unanswered(false);
  redone = thread;
  stuck = true;
  setBusy(true);
  follow();
}

function receive(event) {
  heard = Date.now();
  if (event.kind === "beat") return;
  if (event.kind === "hello") { waits = 0; online(""); refresh(); return; }
  if (event.kind === "reload") { refresh(); return; }
  if (event.kind === "said" && !items.command(event.text)) cards.remember(event.thread, event.text, thread);
  if (event.thread !== thread) {
    if (event.kind === "typing" || event.kind === "partial") busy.add(event.thread);
    if (event.kind === "final") { busy.delete(event.thread); cards.mark(event.thread); }
    return;
  }
  if (held) held.push(event);
  else happen[event.kind]?.(event);
}

// ---- the transcript

async function load() {
  const mineNow = ++loading;
  const which = thread;
  const begun = performance.now();
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
  show(chat, begun);
  const came = held;
  held = null;
  for (const event of came) happen[event.kind]?.(event);
}

function show({ from, messages, waiting, growing, running, remaking, model }, begun) {
  const list = $("list");
  const wanted = [...messages, ...waiting.map((words) => ({ role: "user", ...words }))];
  for (const item of list.querySelectorAll(".dots, .growing, .unanswered")) item.remove();
  // what is shown already stays as it is, so that nothing flashes; what the transcript never has stays as well
  const old = [...list.children];
  const stays = (item) => item.older || item.born > begun || item.dataset.aside !== undefined || item.matches(".sending, .failed");
  const same = (item, { role, text, at, id }) => item.dataset.role === role
    && (id && item.dataset.id ? id === item.dataset.id : item.words === text || (role === "assistant" && at && item.at === at));
  const next = [];
  let reached = 0;
  for (const message of wanted) {
    const found = old.findIndex((item, i) => i >= reached && same(item, message));
    if (found < 0) { next.push(items.drawn(message)); continue; }
    next.push(...old.slice(reached, found).filter(stays), old[found]);
    reached = found + 1;
  }
  next.push(...old.slice(reached).filter(stays));
  let place = list.firstChild;
  for (const item of next) {
    if (item === place) place = place.nextSibling;
    else list.insertBefore(item, place);
  }
  while (place) { const gone = place; place = place.nextSibling; gone.remove(); }
  first = next.some((item) => item.older) ? Math.min(first, from) : from;
  $("earlier").hidden = first === 0;
  fresh = !wanted.length && !list.childElementCount;
  name(model);
  welcome();
  busy.delete(thread);
  for (const event of growing) happen.partial(event);
  setBusy(running);
  if (remaking) redo();
  unanswered(!running);
  follow();
}

async function earlier() {
  const scroll = $("scroll");
  const before = scroll.scrollHeight - scroll.scrollTop;
  const which = thread;
  try {
    const chat = await call(`/api/chats/${which}?before=${first}`);
    if (which !== thread) return;
    $("list").prepend(...chat.messages.map((message) => Object.assign(items.drawn(message), { older: true })));
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
  const asked = items.command(body);
  if (act(asked, body)) return;
  if (body.length > textCap) {
    trouble(`The message is too long: ${body.length.toLocaleString()} of at most ${textCap.toLocaleString()} characters.`, () => $("words").focus());
    return;
  }
  // the same words after a failure are the same message: if it did arrive, it is not asked twice
  const again = failed && failed.thread === thread && failed.text === body;
  const sent = again ? failed : { thread, id: ids(), text: body };
  failed = null;
  trouble("");
  const item = items.ownItem(body, sent.id);
  item.classList.add("sending");
  $("welcome").hidden = true;
  unanswered(false);
  $("list").append(item);
  stuck = true;
  const running = busy.has(thread);
  composer.write("");
  const place = draft();
  keep.set(place, body); // until it is safe
  setBusy(running || !asked); // commands are answered beside a running reply
  follow();
  try {
    await call("/api/messages", {
      ...sent, zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "", language: navigator.language || "",
    });
  } catch (error) {
    if (item.isConnected && !item.classList.contains("sending")) return settled(sent, place); // the stream has shown it
    items.withdraw(item, sent.id);
    failed = sent;
    if (!running) busy.delete(sent.thread);
    if (sent.thread === thread) {
      const typed = $("words").value;
      composer.write(typed.trim() && typed !== body ? `${body}\n\n${typed}` : body);
      setBusy(busy.has(thread));
      unanswered(!busy.has(thread));
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
  if (!items.command(sent.text)) cards.remember(sent.thread, sent.text, thread);
}

// a command that the page has a button for is that button: a new chat is a chat of its own here
function act(name, body) {
  if (!["new", "stop", "retry"].includes(name)) return false;
  composer.write("");
  keep.set(draft(), "");
  if (name === "stop") halt();
  else if (name === "retry") retry();
  else {
    newChat();
    composer.write(body.replace(/^\S+\s*/, ""));
  }
  return true;
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
  redo();
  if (await press("/retry", "/api/retry")) return;
  redone = "";
  for (const item of $("list").querySelectorAll(".redo")) item.classList.remove("redo");
  setBusy(false);
  unanswered(true);
}

// ---- chats

function draft() {
  return fresh ? "draft" : `draft.${thread}`;
}

function name(chosen) {
  $("model").textContent = chosen || speaking;
  $("model").title = chosen || speaking;
  $("model").hidden = !(chosen || speaking);
}

function turnTo(which, isNew) {
  const early = thread ? "" : $("words").value; // typed before the page knew who is here
  if (thread) {
    keep.set(draft(), $("words").value);
    shown.delete(thread);
    if ($("list").childElementCount) shown.set(thread, [...$("list").children]);
    if (shown.size > 8) shown.delete(shown.keys().next().value);
  }
  thread = which;
  fresh = isNew;
  loading++;
  held = null;
  $("list").replaceChildren(...(shown.get(which) || []));
  const seen = new Set([...shown.values()].flat());
  items.forget((item) => seen.has(item));
  $("earlier").hidden = true;
  stuck = true;
  trouble("");
  say("");
  setBusy(busy.has(thread));
  drawer(false);
  cards.draw(thread);
  name("");
  welcome();
  composer.write(early || keep.get(draft()));
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
    cards.adopt((await call("/api/chats")).chats, thread);
  } catch { /* the transcript's own trouble says it */ }
  if (!fresh || $("list").childElementCount || cards.has(thread)) load();
}

// a tab that nobody looks at gives its connection back: browsers have six for one server
let asleep = 0;
function sleep() {
  clearTimeout(asleep);
  if (document.hidden) {
    asleep = setTimeout(() => { source?.close(); source = null; }, 300_000);
  } else {
    if (document.title.startsWith("● ")) cards.draw(thread);
    if (!$("gate").hidden) return;
    if (!source || Date.now() - heard > SILENCE) connect();
  }
}

async function about() {
  const here = await call("/api/about");
  if (!here.signed_in) return here;
  const { model, note, hint, platforms } = here.about;
  composer.offer(here.commands);
  textCap = here.text_cap;
  $("sign-out").hidden = !here.password;
  const changed = speaking !== (note || model);
  if (changed && [speaking, ""].includes($("model").textContent)) { speaking = note || model; name(""); }
  speaking = note || model;
  const who = $("who");
  who.replaceChildren();
  if (model && model !== note) who.append("You are talking with ", make("b", {}, model), ". ");
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
  if (!here.signed_in) {
    source?.close();
    source = null;
    gate(here.password);
    return;
  }
  online("");
  $("gate").hidden = true;
  call("/api/visit", {}).catch(() => {}); // keeps the cookie young
  const used = location.hash === "#used-link";
  if (used) history.replaceState(null, "", "/");
  route();
  if (used) trouble("That link was used already, or is older than an hour. You are here as a guest.", () => $("words").focus());
  connect();
}

// ---- the beginning

document.addEventListener("DOMContentLoaded", () => {
  $("ideas").append(...IDEAS.map(([name, text]) => make("button", { type: "button", onclick: () => submit(text) },
    make("b", {}, name), make("span", {}, text))));
  $("composer").onsubmit = (event) => { event.preventDefault(); submit($("words").value); $("words").focus(); };
  composer.listen(submit, () => keep.set(draft(), $("words").value));
  $("stop").onclick = () => { halt(); $("words").focus(); };
  $("new").onclick = $("new-small").onclick = newChat;
  $("menu").onclick = () => drawer(true);
  $("close-side").onclick = () => { drawer(false); $("menu").focus(); };
  $("shade").onclick = () => drawer(false);
  $("earlier").onclick = earlier;
  $("newest").onclick = () => { stuck = true; follow(); };
  listen(enter);
  $("cards").onclick = (event) => { if (event.target.closest("a")) drawer(false); };
  $("list").addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    const made = event.target.closest(".choice, .retry");
    if (made) made.dataset.action ? press(made.dataset.action) : retry();
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
