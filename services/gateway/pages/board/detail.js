// One order, whole: what happened, mails, courier, and what can be done with it.

import { Problem, get, post, uuid } from "../shared/api.js";
import { element, foreign } from "../shared/dom.js";
import { amount, clock, language, word } from "../shared/i18n.js";
import { ofOrder } from "./model.js";
import { label, targets } from "./workflow.js";

/** @typedef {import("./workflow.js").Workflow} Workflow */

export class Detail {
  /** @param {HTMLDialogElement} dialog @param {(name: string, revision: number) => Promise<Workflow>} workflowOf @param {(order: any) => void} changed */
  constructor(dialog, workflowOf, changed) {
    this.dialog = dialog;
    this.workflowOf = workflowOf;
    this.changed = changed;
    this.id = "";
    dialog.addEventListener("close", () => (this.id = ""));
  }

  /** @param {string} id */
  async open(id) {
    this.id = id;
    try {
      await this.#load(id);
    } catch (error) {
      this.#show([element("p", { role: "alert" }, text(error))]);
    }
  }

  /** Looks again if this order is open. @param {string} id */
  refresh(id) {
    // Not while somebody is about to decide.
    if (this.id === id && !this.dialog.querySelector("form.sure")) this.open(id);
  }

  /** @param {string} id */
  async #load(id) {
    const part = (/** @type {string} */ path) => get(`/v1/orders/${id}/${path}`).catch(() => null);
    const [{ order }, transitions, mails, job] = await Promise.all([
      get(`/v1/orders/${id}?view=ORDER_VIEW_BASIC`),
      get(`/v1/orders/${id}/transitions?page_size=500`),
      part("mails"),
      part("assignment"),
    ]);
    const workflow = await this.workflowOf(order.workflow, order.workflowRevision);
    if (this.id !== id) return;
    this.changed(order);
    this.#show([
      head(order, workflow),
      this.#actions(order, workflow),
      content(order),
      courier(job?.assignment),
      timeline(transitions.transitions, workflow),
      mailList(mails?.mails ?? [], workflow),
    ]);
  }

  /** @param {(HTMLElement | null)[]} parts */
  #show(parts) {
    const close = element("button", { type: "button", class: "close", click: () => this.dialog.close() }, word("close"));
    const hadFocus = this.dialog.contains(document.activeElement);
    this.dialog.replaceChildren(...parts.filter((part) => part !== null), close);
    if (!this.dialog.open) this.dialog.showModal();
    // What had it is gone; without it a keyboard would begin at the top of the page.
    else if (hadFocus) close.focus();
  }

  /** @param {any} order @param {Workflow} workflow */
  #actions(order, workflow) {
    const box = element("div", { class: "actions" });
    const button = (/** @type {string} */ what, /** @type {string} */ verb, /** @type {any} */ body, /** @type {boolean} */ asks) =>
      element("button", { type: "button", class: verb, click: () => this.#ask(box, order, { what, verb, body, asks }) }, what);
    for (const status of targets(workflow, order.status, "TRIGGER_ADVANCE")) {
      box.append(button(word("advance", { status: label(workflow, status, language()) }), "advance", { toStatus: status }, false));
    }
    for (const verb of /** @type {("cancel" | "reject")[]} */ (["cancel", "reject"])) {
      if (targets(workflow, order.status, `TRIGGER_${verb.toUpperCase()}`).length > 0) box.append(button(word(verb), verb, {}, true));
    }
    return box;
  }

  /**
   * Asks whether it is meant, and for the reason where one is told.
   * @param {HTMLElement} box @param {any} order @param {{what: string, verb: string, body: any, asks: boolean}} intent
   */
  #ask(box, order, intent) {
    const before = [...box.children];
    const reason = element("input", { name: "reason", maxlength: 500, autocomplete: "off" });
    const told = element("p", { role: "status" });
    const yes = element("button", { type: "submit", class: intent.verb }, word("sure", { what: intent.what }));
    const back = element("button", { type: "button", click: () => box.replaceChildren(...before) }, word("back"));
    // One key for one intent: however often it is tried, it is done once.
    const key = uuid();
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#do(order, intent, key, /** @type {HTMLInputElement} */ (reason).value, told, yes);
    };
    const ask = intent.asks ? element("label", {}, word("reason"), reason) : null;
    box.replaceChildren(element("form", { class: "sure", submit }, ask, yes, back, told));
    (intent.asks ? reason : yes).focus();
  }

  /** @param {any} order @param {any} intent @param {string} key @param {string} reason @param {HTMLElement} told @param {HTMLElement} yes */
  async #do(order, intent, key, reason, told, yes) {
    yes.setAttribute("disabled", "");
    const headers = { "idempotency-key": key, "if-match": `"${order.version}"` };
    try {
      await post(`/v1/orders/${order.orderId}/${intent.verb}`, { ...intent.body, ...(reason ? { reason } : {}) }, headers);
      await this.open(order.orderId);
    } catch (error) {
      told.textContent = text(error);
      yes.textContent = word("again");
      yes.removeAttribute("disabled");
      if (error instanceof Problem && error.status === 412) setTimeout(() => this.open(order.orderId), 2500);
    }
  }
}

/** @param {unknown} error */
function text(error) {
  if (!(error instanceof Problem)) return String(error);
  if (error.status === 412) return word("stale");
  return word(error.unknown ? "unknown" : "failed", { detail: error.message });
}

/** @param {any} order @param {Workflow} workflow */
function head(order, workflow) {
  const status = label(workflow, order.status, language());
  return element("h2", { id: "detail-title" }, `#${order.number} · ${status}`);
}

/** @param {any} order */
function content(order) {
  const card = ofOrder(order);
  const lines = (order.items ?? []).map((/** @type {any} */ item) =>
    element("li", {}, `${item.quantity} × `, foreign(item.name), ` · ${amount(item.unitPrice)}`),
  );
  const customer = element("p", {}, `${word("customer")}: `, foreign(card.customer), ` · ${word("total")}: ${amount(order.total)}`);
  return element("section", {}, element("ul", { class: "lines" }, ...lines), customer);
}

/** @param {any} job */
function courier(job) {
  if (!job || job.state === "ASSIGNMENT_STATE_ENDED") return null;
  const who = [job.courier?.name, job.courier?.vehicle, job.courier?.plate].filter(Boolean).join(", ");
  return element("p", {}, `${word("courier")}: `, foreign(who || job.courierId));
}

/** @param {any[]} transitions @param {Workflow} workflow */
function timeline(transitions, workflow) {
  const lines = transitions.map((step) =>
    element(
      "li",
      {},
      `${clock(Date.parse(step.transitionTime))} · ${label(workflow, step.toStatus, language())} `,
      element("small", {}, word("by", { actor: step.actor })),
      step.reason ? element("q", {}, foreign(step.reason)) : null,
    ),
  );
  return element("section", {}, element("h3", {}, word("timeline")), element("ol", { class: "timeline" }, ...lines));
}

/** @param {any[]} mails @param {Workflow} workflow */
function mailList(mails, workflow) {
  const lines = mails.map((mail) => {
    const state = word(mail.state.replace("MAIL_STATE_", "mail"));
    return element("li", {}, `${label(workflow, mail.status, language())}: ${state} `, foreign(mail.lastReply ?? ""));
  });
  const list = lines.length > 0 ? element("ul", { class: "lines" }, ...lines) : element("p", {}, word("noMails"));
  return element("section", {}, element("h3", {}, word("mails")), list);
}
