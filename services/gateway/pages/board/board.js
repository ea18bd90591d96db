// The board: puts the parts together.

import { get, post } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { clock, word } from "../shared/i18n.js";
import { setUpHeader } from "../shared/header.js";
import { Detail } from "./detail.js";
import { Model } from "./model.js";
import { Share } from "./share.js";
import * as sound from "./sound.js";
import { View } from "./view.js";

/** @typedef {import("./workflow.js").Workflow} Workflow */

const COMPLETE_EVERY = 300;
const BATCH = 100;
const SUMMARY_EVERY = 10_000;

const model = new Model();
/** @type {Map<string, Promise<Workflow>>} */
const revisions = new Map();
/** @type {Workflow[]} */
let workflows = [];
/** @type {Share | null} */
let share = null;
let heard = 0;

const detail = new Detail(byId("detail"), workflowOf, (order) => {
  model.order(order);
  view.schedule();
});
const view = new View(byId("columns"), model, (id) => detail.open(id));

/** One revision of a workflow; it never changes. @param {string} name @param {number} revision @returns {Promise<Workflow>} */
function workflowOf(name, revision) {
  const key = `${name}/${revision}`;
  let found = revisions.get(key);
  if (!found) {
    found = get(`/v1/workflows/${encodeURIComponent(name)}?revision=${revision}`).then((answer) => answer.workflow);
    found.catch(() => revisions.delete(key));
    revisions.set(key, found);
  }
  return found;
}

/** @param {string} name @param {any} data */
function take(name, data) {
  heard = Date.now();
  if (name === "snapshot_begin") model.beginSnapshot();
  if (name === "current") model.order(data);
  if (name === "transition") {
    model.transition(data);
    if (data.version === "1") sound.play();
    detail.refresh(data.orderId);
  }
  if (name === "snapshot_complete") lookUp(model.completeSnapshot());
  if (model.changed.size > 0) view.schedule();
}

/** Asks for orders by id, all of them, in batches. @param {string[]} ids */
async function lookUp(ids) {
  for (let at = 0; at < ids.length; at += BATCH) {
    const batch = ids.slice(at, at + BATCH);
    try {
      const found = await post("/v1/orders/batch-get", { orderIds: batch, view: "ORDER_VIEW_BASIC" });
      for (const order of found.orders) model.order(order);
      for (const id of found.missingOrderIds) model.remove(id);
      for (const id of found.leftOutOrderIds) model.incomplete.add(id);
    } catch {
      for (const id of batch) if (model.cards.has(id)) model.incomplete.add(id);
    }
    view.schedule();
  }
}

/** @param {"connecting" | "live" | "broken" | "pages"} state */
function tell(state) {
  const told = byId("connection");
  told.dataset.state = state;
  byId("columns").classList.toggle("old", state === "broken" || state === "connecting");
  const since = heard ? clock(heard) : "";
  if (state === "live") told.textContent = word("live");
  else if (state === "pages") told.textContent = word("pages");
  else told.textContent = since ? word("asOf", { time: since }) : word("connecting");
}

function filter() {
  const query = new URLSearchParams();
  const [workflow, customer] = [byId("workflow").value, byId("customer").value.trim()];
  if (workflow) query.set("workflow", workflow);
  if (customer) query.set("customer_id", customer);
  return query;
}

let typing = 0;

/** Waits until somebody has stopped typing. */
function watchSoon() {
  clearTimeout(typing);
  typing = setTimeout(watch, 400);
}

/** Begins to watch by what the filters say, unless that is watched already. */
function watch() {
  clearTimeout(typing);
  if (workflows.length === 0 || share?.filter.toString() === filter().toString()) return;
  share?.close();
  model.clear();
  const workflow = workflows.find((workflow) => workflow.name === byId("workflow").value);
  if (workflow) view.show(workflow);
  share = new Share(filter(), {
    event: take,
    state: tell,
    dump: () => [...model.cards.values()],
    load: (cards) => {
      for (const card of cards) model.card(card);
      view.schedule();
    },
  });
  showEnded();
}

/** Some that have ended already: a board that begins empty looks broken. */
async function showEnded() {
  const query = filter();
  for (const phase of ["SUCCEEDED", "CANCELLED", "REJECTED", "FAILED"]) query.append("phase", `PHASE_${phase}`);
  query.set("page_size", "20");
  const answer = await get(`/v1/orders?${query}`).catch(() => ({ orders: [] }));
  for (const order of answer.orders) model.order(order);
  view.schedule();
}

function search() {
  const wanted = byId("search").value.trim().replace(/^#/, "");
  view.refilter((card) => card.number.startsWith(wanted));
}

/** Opens an order that the board may not show. */
async function openNumber() {
  const number = byId("search").value.trim().replace(/^#/, "");
  if (!/^\d+$/.test(number)) return;
  try {
    const { order } = await get(`/v1/orders/by-number/${number}?view=ORDER_VIEW_BASIC`);
    await detail.open(order.orderId);
  } catch {
    byId("said").textContent = word("notFound", { number });
  }
}

function setUpControls() {
  byId("filters").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  byId("workflow").addEventListener("change", watch);
  byId("customer").addEventListener("input", watchSoon);
  byId("customer").addEventListener("change", watch);
  byId("search").addEventListener("input", search);
  byId("search").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && openNumber());
  byId("sound").addEventListener("click", () => {
    sound.toggle();
    byId("sound").setAttribute("aria-pressed", String(sound.isOn()));
  });
  addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      byId("search").focus();
    }
  });
}

function say() {
  const news = model.news();
  if (news.created + news.moved > 0) byId("said").textContent = word("summary", news);
}

async function start() {
  setUpHeader("board");
  for (const [id, name] of Object.entries({ "label-workflow": "workflow", "label-search": "search", "label-customer": "customer" })) {
    byId(id).textContent = word(/** @type {any} */ (name));
  }
  byId("sound").textContent = word("sound");
  byId("keys").textContent = word("keys");
  setUpControls();
  tell("connecting");
  workflows = await allWorkflows();
  const wanted = new URLSearchParams(location.search).get("workflow") ?? "delivery";
  const options = workflows.map((workflow) => element("option", { value: workflow.name, selected: workflow.name === wanted }, workflow.name));
  byId("workflow").replaceChildren(...options);
  document.title = word("board");
  watch();
  setInterval(() => view.tick(), 1000);
  setInterval(() => lookUp(model.takeIncomplete(BATCH)), COMPLETE_EVERY);
  setInterval(say, SUMMARY_EVERY);
}

/** Tries until the servers answer. @returns {Promise<Workflow[]>} */
async function allWorkflows() {
  for (let wait = 1000; ; wait = Math.min(wait * 2, 15_000)) {
    try {
      return (await get("/v1/workflows?page_size=100")).workflows;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

start();

// For tests and the curious: what the page knows.
Object.assign(globalThis, { comandaBoard: { model, view, watched: () => share?.filter.toString() } });
