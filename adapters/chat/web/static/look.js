// The chosen look, set before the first paint.
"use strict";

const dusk = matchMedia("(prefers-color-scheme: dark)");
const LOOKS = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
let look = "auto";
try { look = localStorage.getItem("pieria.look") || "auto"; } catch { /* private mode */ }

function paint() {
  document.documentElement.dataset.look = look === "auto" ? (dusk.matches ? "dark" : "light") : look;
}

paint();
dusk.addEventListener("change", paint);
document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const label = button.querySelector("span");
  label.textContent = LOOKS[look] || LOOKS.auto;
  button.onclick = () => {
    const names = Object.keys(LOOKS);
    look = names[(names.indexOf(look) + 1) % names.length];
    try { localStorage.setItem("pieria.look", look); } catch { /* private mode */ }
    paint();
    label.textContent = LOOKS[look];
  };
});
