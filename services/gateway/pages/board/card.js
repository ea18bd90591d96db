// One order as a card. A card is made once and then changed where something changed.

import { now } from "../shared/api.js";
import { element, foreign } from "../shared/dom.js";
import { amount, language, minute, span, word } from "../shared/i18n.js";
import { isActive } from "./model.js";
import { label, lateness, timerOf } from "./workflow.js";

/** @typedef {import("./model.js").Card} Card */
/** @typedef {import("./workflow.js").Workflow} Workflow */

/** What two lines hold. */
const MOST_ITEMS = 4;

export class CardView {
  /** @param {Card} card @param {Workflow | undefined} workflow @param {(id: string) => void} open */
  constructor(card, workflow, open) {
    this.card = card;
    this.workflow = workflow;
    this.number = element("button", { type: "button", class: "number", click: () => open(card.id) });
    this.age = element("span", { class: "age" });
    this.items = element("p", { class: "items" });
    this.next = element("span", { class: "next" });
    this.total = element("span", { class: "total" });
    const head = element("div", { class: "head" }, element("h3", {}, this.number), this.age);
    const foot = element("p", { class: "foot" }, this.next, this.total);
    this.root = element("li", { class: "card", "data-id": card.id }, head, this.items, foot);
    this.update(card, workflow);
  }

  /** Says what is new. @param {Card} card @param {Workflow | undefined} workflow */
  update(card, workflow) {
    this.card = card;
    this.workflow = workflow;
    this.number.textContent = `#${card.number}`;
    this.items.replaceChildren(...items(card));
    set(this.total, amount(card.total));
    this.tick();
  }

  /** What the clock changes. */
  tick() {
    if (!isActive(this.card)) return this.#ended();
    const time = now();
    const late = lateness(this.workflow, this.card, time);
    if (this.root.dataset.late !== late) this.root.dataset.late = late;
    const note = late === "fine" ? "" : ` · ${word(late)}`;
    set(this.age, span(time - this.card.since) + note);
    set(this.next, this.#nextStep(time));
  }

  #ended() {
    delete this.root.dataset.late;
    this.root.dataset.phase = this.card.phase;
    set(this.age, minute(this.card.since));
    set(this.next, label(this.workflow, this.card.status, language()));
  }

  /** @param {number} time */
  #nextStep(time) {
    const edge = timerOf(this.workflow, this.card.status);
    if (!edge || this.card.due === null) return "";
    const status = label(this.workflow, edge.toStatus, language());
    if (this.card.due <= time) return word("nextDue", { status });
    return word("next", { status, time: span(this.card.due - time) });
  }
}

/** @param {Card} card */
function items(card) {
  if (card.items === null) return [word("loading")];
  const shown = card.items.slice(0, MOST_ITEMS).flatMap((item, index) => [
    index > 0 ? ", " : "",
    item.quantity > 1 ? `${item.quantity} × ` : "",
    foreign(item.name),
  ]);
  const more = card.items.length > MOST_ITEMS ? [` + ${card.items.length - MOST_ITEMS}`] : [];
  return [...shown, ...more];
}

/** Changes a text only where it differs: layout is expensive. @param {HTMLElement} element @param {string} text */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
