// What all pages have at their top: links, language, and light or dark.

import { byId, element } from "./dom.js";
import { language, setLanguage, word } from "./i18n.js";
import { logOut } from "./login.js";

const KEPT = "comanda-theme";

/** Dark where somebody chose it here, or has chosen it for everything. */
const isDark = () => (localStorage.getItem(KEPT) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function applyTheme() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
}

/** @param {"board" | "insights" | "docs" | null} here null on a page for customers, which has no links */
export function setUpHeader(here) {
  document.documentElement.lang = language();
  applyTheme();
  const link = (/** @type {"board" | "insights" | "docs"} */ name) =>
    element("a", { href: `/${name}`, "aria-current": name === here ? "page" : null }, word(name));
  const theme = element("button", { type: "button", id: "theme", "aria-pressed": String(isDark()) }, word("theme"));
  theme.addEventListener("click", () => {
    localStorage.setItem(KEPT, isDark() ? "light" : "dark");
    applyTheme();
    theme.setAttribute("aria-pressed", String(isDark()));
  });
  const other = element("button", { type: "button", id: "language" }, word("language"));
  other.addEventListener("click", () => {
    setLanguage(language() === "en" ? "es" : "en");
    location.reload();
  });
  if (here) byId("links").replaceChildren(link("board"), link("insights"), link("docs"));
  byId("settings").append(...[theme, other, here && logOut()].filter((button) => button !== null));
}
