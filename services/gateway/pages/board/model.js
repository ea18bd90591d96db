// The orders that the board knows, by the rules of the API: versions of an order rise, and what is not above the last one seen is dropped.
// Nothing here touches the page, so that it can be tested without one.

/**
 * @typedef {object} Card
 * @property {string} id order_id
 * @property {string} number the number for people
 * @property {number} version
 * @property {string} workflow
 * @property {string} status
 * @property {string} phase
 * @property {number} since when it entered its status, in milliseconds
 * @property {number | null} due when its timer is due
 * @property {string} customer
 * @property {{name: string, quantity: number}[] | null} items null while they are not known
 * @property {{currencyCode: string, units?: string, nanos?: number} | null} total
 */

/** Ended orders that are kept to be looked at. */
export const MOST_ENDED = 100;

const time = (/** @type {string | undefined} */ text) => (text ? Date.parse(text) : null);

/** @param {any} order of the API @returns {Card} */
export function ofOrder(order) {
  return {
    id: order.orderId,
    number: order.number,
    version: Number(order.version),
    workflow: order.workflow,
    status: order.status,
    phase: order.phase,
    since: time(order.statusTime) ?? time(order.createTime) ?? 0,
    due: time(order.nextTransitionTime),
    customer: order.customer?.customerId ?? "",
    items: (order.items ?? []).map((/** @type {any} */ item) => ({ name: item.name, quantity: item.quantity })),
    total: order.total ?? null,
  };
}

/** @param {any} transition of the API @param {Card | undefined} before @returns {Card} */
export function ofTransition(transition, before) {
  return {
    id: transition.orderId,
    number: transition.number,
    version: Number(transition.version),
    workflow: transition.workflow,
    status: transition.toStatus,
    phase: transition.phase,
    since: time(transition.transitionTime) ?? 0,
    due: time(transition.nextTransitionTime),
    customer: transition.customerId,
    items: before?.items ?? null,
    total: transition.total ?? before?.total ?? null,
  };
}

export const isActive = (/** @type {Card} */ card) => card.phase === "PHASE_ACTIVE";

export class Model {
  constructor() {
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** Ids that changed since `take` was last called. @type {Set<string>} */
    this.changed = new Set();
    /** Ids whose items are not known. @type {Set<string>} */
    this.incomplete = new Set();
    /** Ids that the present snapshot has shown; null while none is read. @type {Set<string> | null} */
    this.shown = null;
    /** Orders that were created since `news` was last called. */
    this.created = 0;
    /** Steps that were taken since then. */
    this.moved = 0;
  }

  /** What was shown stays until the snapshot is complete: it may be all that there is to look at for a while. */
  beginSnapshot() {
    this.shown = new Set();
  }

  /** @returns {string[]} orders that were moving before and that the snapshot did not show: they must be asked for */
  completeSnapshot() {
    const shown = this.shown ?? new Set();
    this.shown = null;
    return [...this.cards.values()].filter((card) => isActive(card) && !shown.has(card.id)).map((card) => card.id);
  }

  /** @param {any} order */
  order(order) {
    const card = ofOrder(order);
    this.shown?.add(card.id);
    const before = this.cards.get(card.id);
    if (before && before.version === card.version && (before.items === null || before.due === null)) {
      // The same state, told more fully.
      this.#put(card);
    } else if (!before || before.version < card.version) {
      this.#put(card);
    }
  }

  /** @param {any} transition */
  transition(transition) {
    const before = this.cards.get(transition.orderId);
    const card = ofTransition(transition, before);
    this.shown?.add(card.id);
    if (before && before.version >= card.version) return;
    if (card.version === 1) this.created += 1;
    else this.moved += 1;
    this.#put(card);
  }

  /** @param {Card} card as another tab has it */
  card(card) {
    const before = this.cards.get(card.id);
    if (!before || before.version < card.version || (before.version === card.version && before.items === null)) this.#put(card);
  }

  /** An order that does not exist any more. @param {string} id */
  remove(id) {
    if (this.cards.delete(id)) this.changed.add(id);
    this.incomplete.delete(id);
  }

  clear() {
    for (const id of [...this.cards.keys()]) this.remove(id);
  }

  /** @param {Card} card */
  #put(card) {
    this.cards.set(card.id, card);
    this.changed.add(card.id);
    if (card.items === null) this.incomplete.add(card.id);
    else this.incomplete.delete(card.id);
  }

  /** What changed since the last call. @returns {Set<string>} */
  take() {
    this.#forgetOldEnds();
    const changed = this.changed;
    this.changed = new Set();
    return changed;
  }

  #forgetOldEnds() {
    const ended = [...this.cards.values()].filter((card) => !isActive(card));
    if (ended.length <= MOST_ENDED) return;
    ended.sort((one, other) => other.since - one.since);
    for (const card of ended.slice(MOST_ENDED)) this.remove(card.id);
  }

  /** Up to `most` ids whose items are to be asked for. @param {number} most @returns {string[]} */
  takeIncomplete(most) {
    const ids = [...this.incomplete].slice(0, most);
    for (const id of ids) this.incomplete.delete(id);
    return ids;
  }

  /** What happened since the last call. @returns {{created: number, moved: number}} */
  news() {
    const news = { created: this.created, moved: this.moved };
    this.created = 0;
    this.moved = 0;
    return news;
  }
}
