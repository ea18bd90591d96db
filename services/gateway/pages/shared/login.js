// Asks for a key where the server wants one. The tab keeps it until it is closed; it is in no address and in no other tab.

import { element } from "./dom.js";
import { word } from "./i18n.js";

const KEPT = "comanda-key";

/** The key of this tab; empty where there is none. */
export const key = () => sessionStorage.getItem(KEPT) ?? "";

/** What shows the key. @returns {Record<string, string>} */
export const credentials = () => (key() ? { authorization: `Bearer ${key()}` } : {});

/** @param {string} wanted */
function keep(wanted) {
  if (wanted) sessionStorage.setItem(KEPT, wanted);
  else sessionStorage.removeItem(KEPT);
  // Nothing that another key showed stays on the page.
  location.reload();
}

/** Asks for a key, and only once, even if several requests find that one is needed. */
export function ask() {
  const open = document.querySelector("dialog#login");
  if (open instanceof HTMLDialogElement) {
    // Browsers let a dialog be closed after all.
    if (!open.open) open.showModal();
    return;
  }
  const field = element("input", { type: "password", name: "key", id: "key", autocomplete: "off", spellcheck: "false" });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    keep(/** @type {HTMLInputElement} */ (field).value.trim());
  };
  const title = element("h2", { id: "login-title" }, word("logIn"));
  const label = element("label", { for: "key" }, word("key"));
  const said = key() ? element("p", { role: "alert" }, word("keyRefused")) : element("p", {}, word("keyHelp"));
  const form = element("form", { submit }, title, said, label, field, element("button", { type: "submit" }, word("logIn")));
  const dialog = /** @type {HTMLDialogElement} */ (element("dialog", { id: "login", "aria-labelledby": "login-title" }, form));
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
}

/** A button that forgets the key; null where there is none. */
export const logOut = () => (key() ? element("button", { type: "button", id: "log-out", click: () => keep("") }, word("logOut")) : null);
