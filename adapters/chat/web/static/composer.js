// Where people write: a box that grows with its text, and the commands that are offered as they are typed.

import { $, make } from "./pieces.js";

let commands = [];
let send = () => {};

export function offer(known) {
  commands = known;
}

export function listen(submit, changed) {
  send = submit;
  $("words").oninput = () => { typed(); changed(); };
  $("words").onkeydown = keys;
}

export function write(text) {
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
    { role: "option", id: `command-${name}`, "aria-selected": String(i === 0), onclick: () => { send(`/${name}`); $("words").focus(); } },
    make("b", {}, `/${name}`), make("span", {}, about))));
  point();
}

function point() {
  const chosen = $("commands").querySelector('[aria-selected="true"]');
  if ($("commands").hidden || !chosen) $("words").removeAttribute("aria-activedescendant");
  else { $("words").setAttribute("aria-activedescendant", chosen.id); chosen.scrollIntoView({ block: "nearest" }); }
}

function keys(event) {
  const typing = event.isComposing || event.keyCode === 229;
  const box = $("commands");
  if (!box.hidden && !typing) {
    const options = [...box.children];
    const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    const name = options[at]?.id.slice("command-".length);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      options[at].setAttribute("aria-selected", "false");
      options[(at + step + options.length) % options.length].setAttribute("aria-selected", "true");
      point();
      return;
    }
    if (event.key === "Tab" && !event.shiftKey) { // complete it, to write on
      event.preventDefault();
      write(`/${name} `);
      return;
    }
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send(`/${name}`);
      return;
    }
    if (event.key === "Escape") { box.hidden = true; point(); event.stopPropagation(); return; }
  }
  if (event.key === "Enter" && !event.shiftKey && !typing) {
    event.preventDefault();
    send($("words").value);
  }
}
