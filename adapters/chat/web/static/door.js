// Signing in and out, where the page asks for it.

import { $, call } from "./pieces.js";

export function listen(enter) {
  $("sign-in").onsubmit = (event) => signIn(event, enter);
  $("sign-out").onclick = signOut;
}

// ask who is here
export function gate(password) {
  $("gate").hidden = false;
  $("gate-text").textContent = password
    ? "This assistant is private. Sign in with its password."
    : "This assistant is private. Open the link that it printed when it was started.";
  for (const part of $("sign-in").querySelectorAll("label, input, button")) part.hidden = !password;
  if (location.hash === "#used-link") $("gate-trouble").textContent = "That link was used already, or is older than an hour.";
  if (password) $("password").focus();
}

async function signIn(event, enter) {
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
