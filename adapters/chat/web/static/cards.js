// The list of past chats, newest first, by day.

import { $, make } from "./pieces.js";

let cards = [];

export function has(which) {
  return cards.some((card) => card.thread === which);
}

// what the server knows, and the chat in view even if the server has no reply in it yet
export function adopt(known, current) {
  const local = cards.filter((card) => card.thread === current && !known.some((one) => one.thread === current));
  cards = [...local, ...known];
  draw(current);
}

export function remember(which, text, current) {
  const known = cards.find((card) => card.thread === which);
  cards = [{ thread: which, title: known?.title || title(text), at: Date.now() }, ...cards.filter((card) => card !== known)];
  draw(current);
}

export function mark(which) { // something new stands there
  const card = cards.find(({ thread }) => thread === which);
  if (!card || card.news) return;
  card.news = true;
  link(which)?.prepend(dot());
}

export function draw(current) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const groups = [["Today", midnight], ["Yesterday", midnight - 864e5], ["The week before", midnight - 7 * 864e5], ["Earlier", -Infinity]];
  const parts = [];
  let until = Infinity;
  for (const card of cards) if (card.thread === current) card.news = false;
  for (const [name, from] of groups) {
    const some = cards.filter(({ at }) => at >= from && at < until);
    until = from;
    if (!some.length) continue;
    parts.push(make("h2", {}, name), ...some.map((card) => make("a", {
      href: `#c=${card.thread}`, dir: "auto", title: card.title, "data-thread": card.thread,
      ...(card.thread === current ? { "aria-current": "page" } : {}),
    }, ...(card.news ? [dot()] : []), card.title || "Chat")));
  }
  $("cards").replaceChildren(...(parts.length ? parts : [make("p", { class: "none" }, "Your chats will stand here.")]));
  const here = cards.find((card) => card.thread === current)?.title || "New chat";
  $("title").textContent = here;
  document.title = here === "New chat" ? "Pieria" : `${here} · Pieria`;
}

function link(which) {
  return $("cards").querySelector(`[data-thread="${CSS.escape(which)}"]`);
}

function dot() {
  return make("i", { class: "news", role: "img", "aria-label": "New reply: " });
}

function title(text) {
  const words = text.replace(/\s+/g, " ").trim();
  return words.length > 60 ? `${words.slice(0, 58).replace(/\s\S*$/, "")}…` : words;
}
