// The messages of a chat as list items: drawn, finished, and found again by turn or by message id.

import { $, copy, fill, icon, make, when } from "./pieces.js";

const turns = new Map(); // turn -> list item
const mine = new Map(); // message id -> list item

export function ownItem(text, id = "", at = 0, files = []) {
  const item = make("li", { class: "own", title: when(at) }, make("span", { class: "hidden" }, "You:"));
  if (files.length) item.append(make("div", { class: "files" }, files.join(", ")));
  item.append(make("div", { class: "said", dir: "auto" }, text));
  item.words = text;
  item.born = performance.now();
  item.dataset.role = "user";
  if (command(text)) item.dataset.aside = "";
  if (id) { mine.set(id, item); item.dataset.id = id; }
  return item;
}

export function replyItem(turn = "") {
  const item = make("li", { class: "reply" }, make("span", { class: "hidden" }, "Pieria:"), make("div", { class: "said" }));
  item.words = null;
  item.dataset.role = "assistant";
  if (turn) become(item, turn);
  return item;
}

export function command(text) { // what it is, if it is one: these leave no trace in the transcript
  return /^[/!](help|new|stop|retry|model|usage|status|whoami|budget|start)(?!\S)/i.exec(text)?.[1].toLowerCase()
    || (/^\/[a-z]\w*(?!\S)/i.test(text) ? "unknown" : "");
}

export function finish(item, html, text, buttons = [], at = 0) {
  item.classList.remove("growing");
  item.title = when(at);
  item.words = text;
  item.at = at;
  item.born = performance.now();
  fill(item.querySelector(".said"), html);
  item.querySelector(".tools")?.remove();
  const tools = make("div", { class: "tools" });
  for (const { label, action } of buttons) {
    if (action === "/retry") continue; // every reply has that one here
    tools.append(make("button", { type: "button", class: "choice", "data-action": action }, label));
  }
  const button = make("button", { type: "button", class: "copy-reply", onclick: () => copy(text, button, (done) => {
    button.replaceChildren(icon(done ? "done" : "copy"), done ? "Copied" : "Copy");
  }) }, icon("copy"), "Copy");
  tools.append(button);
  if (item.dataset.aside === undefined) tools.append(again());
  item.append(tools);
}

export function again() {
  return make("button", { type: "button", class: "retry" }, icon("retry"), "Try again");
}

export function drawn({ role, text, html, at, files, id }) {
  if (role === "user") return ownItem(text, id, at, files);
  const item = replyItem();
  finish(item, html, text, [], at);
  return item;
}

export function place(item, asked) { // below its question, above those that wait
  const question = mine.get(asked);
  if (question?.isConnected) question.after(item);
  else $("list").append(item);
}

export function ofTurn(turn) {
  const item = turns.get(turn);
  return item?.isConnected ? item : null;
}

export function ofMessage(id) {
  return mine.get(id);
}

export function become(item, turn) {
  item.dataset.turn = turn;
  turns.set(turn, item);
}

export function withdraw(item, id) {
  item.remove();
  mine.delete(id);
}

export function forget(stays) {
  for (const known of [turns, mine]) for (const [id, item] of known) if (!stays(item)) known.delete(id);
}
