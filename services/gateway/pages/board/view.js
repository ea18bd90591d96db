// The columns. What changed since the last frame is drawn in one go.

import { element } from "../shared/dom.js";
import { language, word } from "../shared/i18n.js";
import { CardView } from "./card.js";
import { isActive } from "./model.js";
import { activeStatuses, label } from "./workflow.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").Card} Card */
/** @typedef {import("./workflow.js").Workflow} Workflow */

/** Cards that a column shows; the others are counted. */
export const MOST_CARDS = 200;
/** With more moves in a frame, movement would only flicker. */
const MOST_ANIMATED = 30;
const ENDED = "(ended)";

/** @typedef {{status: string, list: HTMLElement, count: HTMLElement, more: HTMLElement, ids: Set<string>}} Column */

export class View {
  /** @param {HTMLElement} root @param {Model} model @param {(id: string) => void} open */
  constructor(root, model, open) {
    this.root = root;
    this.model = model;
    this.open = open;
    /** @type {Map<string, CardView>} */
    this.cards = new Map();
    /** @type {Map<string, Column>} */
    this.columns = new Map();
    /** @type {Workflow | undefined} */
    this.workflow = undefined;
    /** Which cards are shown. @type {(card: Card) => boolean} */
    this.filter = () => true;
    this.scheduled = false;
    root.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Draws everything again, for a workflow. @param {Workflow} workflow */
  show(workflow) {
    this.workflow = workflow;
    this.cards.clear();
    const statuses = [...activeStatuses(workflow).map((status) => status.name), ENDED];
    this.columns = new Map(statuses.map((status) => [status, this.#column(status)]));
    this.root.replaceChildren(...[...this.columns.values()].map((column) => /** @type {Node} */ (column.list.closest("section"))));
    for (const id of this.model.cards.keys()) this.model.changed.add(id);
    this.schedule();
  }

  /** @param {string} status @returns {Column} */
  #column(status) {
    const title = status === ENDED ? word("ended") : label(this.workflow, status, language());
    const id = `column-${this.columns.size}-${status}`.replace(/[^\w-]/g, "_");
    const count = element("span", { class: "count" }, "0");
    const list = element("ul", { class: "cards", "aria-labelledby": id });
    const more = element("p", { class: "more", hidden: true });
    element("section", { class: "column", "data-status": status }, element("h2", { id }, element("span", { class: "title" }, title), " ", count), list, more);
    return { status, list, count, more, ids: new Set() };
  }

  /** Draws what changed, in the next frame. */
  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.#draw(this.model.take());
    });
  }

  /** Draws every card again, with another filter. @param {(card: Card) => boolean} filter */
  refilter(filter) {
    this.filter = filter;
    for (const id of this.model.cards.keys()) this.model.changed.add(id);
    this.schedule();
  }

  tick() {
    for (const view of this.cards.values()) view.tick();
  }

  /** @param {Set<string>} ids */
  #draw(ids) {
    const focused = this.#focused();
    const animated = ids.size <= MOST_ANIMATED;
    const touched = new Set();
    for (const id of ids) {
      for (const column of this.columns.values()) if (column.ids.delete(id)) touched.add(column);
      const card = this.model.cards.get(id);
      const column = card && this.filter(card) ? this.#columnOf(card) : undefined;
      if (card && column) {
        column.ids.add(id);
        touched.add(column);
        this.cards.get(id)?.update(card, this.workflow);
        if (animated) this.#mark(id);
      } else {
        this.cards.get(id)?.root.remove();
        this.cards.delete(id);
      }
    }
    for (const column of touched) this.#fill(column);
    if (focused) this.cards.get(focused)?.number.focus({ preventScroll: true });
  }

  /** The card that has the focus keeps it when it moves. */
  #focused() {
    const active = document.activeElement;
    return active instanceof HTMLElement && this.root.contains(active) ? active.closest("li")?.dataset.id : undefined;
  }

  /** @param {Card} card */
  #columnOf(card) {
    if (this.workflow && card.workflow !== this.workflow.name) return undefined;
    return this.columns.get(isActive(card) ? card.status : ENDED);
  }

  /** Those that wait longest come first; of the ended ones the latest. @param {Column} column */
  #fill(column) {
    const cards = [...column.ids].map((id) => /** @type {Card} */ (this.model.cards.get(id)));
    const direction = column.status === ENDED ? -1 : 1;
    cards.sort((one, other) => direction * (one.since - other.since) || Number(one.number) - Number(other.number));
    const shown = cards.slice(0, MOST_CARDS).map((card) => this.#view(card).root);
    for (const card of cards.slice(MOST_CARDS)) {
      this.cards.get(card.id)?.root.remove();
      this.cards.delete(card.id);
    }
    place(column.list, shown);
    column.count.textContent = String(cards.length);
    column.more.hidden = cards.length <= MOST_CARDS;
    column.more.textContent = word("more", { count: cards.length - MOST_CARDS });
  }

  /** @param {Card} card */
  #view(card) {
    let view = this.cards.get(card.id);
    if (!view) {
      view = new CardView(card, this.workflow, this.open);
      this.cards.set(card.id, view);
    }
    return view;
  }

  /** @param {string} id */
  #mark(id) {
    const root = this.cards.get(id)?.root;
    root?.classList.remove("moved");
    requestAnimationFrame(() => root?.classList.add("moved"));
  }

  /** Arrow keys move between cards. @param {KeyboardEvent} event */
  #move(event) {
    const card = event.target instanceof HTMLElement ? event.target.closest("li") : null;
    const steps = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
    if (!card || !steps) return;
    event.preventDefault();
    const columns = [...this.columns.values()].filter((column) => column.list.children.length > 0);
    const at = columns.findIndex((column) => column.list.contains(card));
    const row = [...columns[at].list.children].indexOf(card);
    const list = columns[Math.min(Math.max(at + steps[0], 0), columns.length - 1)].list.children;
    const next = list[Math.min(Math.max(row + steps[1], 0), list.length - 1)];
    /** @type {HTMLElement | null} */ (next.querySelector("button.number"))?.focus();
  }
}

/** Brings the children of a list into an order, and moves only those that are not there already. @param {HTMLElement} list @param {HTMLElement[]} wanted */
function place(list, wanted) {
  const keep = new Set(wanted);
  for (const child of [...list.children]) if (!keep.has(/** @type {HTMLElement} */ (child))) child.remove();
  let at = list.firstElementChild;
  for (const child of wanted) {
    if (child === at) at = at.nextElementSibling;
    else list.insertBefore(child, at);
  }
}
