// The page on which a customer follows one order. Its address is the credential.

import { Problem, get, now } from "../shared/api.js";
import { label } from "../board/workflow.js";
import { byId, element, foreign } from "../shared/dom.js";
import { setUpHeader } from "../shared/header.js";
import { amount, language, minute, word } from "../shared/i18n.js";

/** Servers send something every 15 s. */
const SILENCE = 45_000;
const LONGEST_WAIT = 15_000;
const here = location.pathname.replace(/\/$/, "");

/** What is known. @type {{order: any, workflow: any, steps: Map<number, any>, courier: any}} */
const known = { order: null, workflow: undefined, steps: new Map(), courier: null };
const isOver = () => known.order && known.order.phase !== "PHASE_ACTIVE";

/** @param {any} step */
function takeStep(step) {
  known.steps.set(Number(step.version), step);
  if (!known.order || Number(step.version) <= Number(known.order.version)) return;
  const { version, toStatus: status, phase, transitionTime: statusTime, nextTransitionTime } = step;
  known.order = { ...known.order, version, status, phase, statusTime, nextTransitionTime };
}

/** @param {any} order */
async function takeOrder(order) {
  if (known.order && Number(order.version) < Number(known.order.version)) return;
  const isNew = known.order?.workflow !== order.workflow;
  known.order = order;
  if (!isNew) return;
  // Without it statuses have their names.
  const path = `${here}/workflows/${encodeURIComponent(order.workflow)}?revision=${order.workflowRevision}`;
  known.workflow = (await get(path).catch(() => null))?.workflow;
}

const called = (/** @type {string} */ status) => label(known.workflow, status, language());

function show() {
  const { order } = known;
  if (!order) return;
  byId("title").textContent = word("yourOrder", { number: order.number });
  document.title = `${called(order.status)} · ${order.number}`;
  set(byId("status"), called(order.status));
  byId("status").dataset.phase = order.phase;
  byId("courier").replaceChildren(...courier());
  byId("steps").replaceChildren(...[...known.steps.values()].sort((a, b) => Number(a.version) - Number(b.version)).map(line));
  byId("items").replaceChildren(...(order.items ?? []).map((/** @type {any} */ item) => element("li", {}, `${item.quantity} × `, foreign(item.name))));
  byId("total").textContent = order.total ? `${word("total")}: ${amount(order.total)}` : "";
  tick();
}

/** What the clock changes. */
function tick() {
  if (known.order) set(byId("next"), next());
}

function next() {
  if (isOver()) return word("over");
  const due = Date.parse(known.order.nextTransitionTime ?? "");
  const edge = known.workflow?.edges.find((/** @type {any} */ edge) => edge.fromStatus === known.order.status && edge.trigger === "TRIGGER_TIMER");
  if (Number.isNaN(due) || !edge) return "";
  const status = called(edge.toStatus);
  return due - now() < 60_000 ? word("soon", { status }) : word("expected", { status, time: minute(due) });
}

/** @param {any} step */
function line(step) {
  const time = Date.parse(step.transitionTime);
  const reason = step.reason ? element("q", {}, foreign(step.reason)) : null;
  return element("li", {}, element("time", { datetime: step.transitionTime }, minute(time)), called(step.toStatus), reason);
}

function courier() {
  const { courier } = known;
  if (isOver() || !courier?.attempt) return [];
  const who = [courier.name, courier.vehicle, courier.plate].filter(Boolean).join(", ");
  const [name, time] = courier.expectedPickupTime ? ["pickup", courier.expectedPickupTime] : ["dropoff", courier.expectedDropoffTime];
  const when = time ? ` · ${word(/** @type {"pickup" | "dropoff"} */ (name), { time: minute(Date.parse(time)) })}` : "";
  return [`${word("courier")}: `, foreign(who), when];
}

/** Text is set only where it changes: screen readers read it again otherwise. @param {HTMLElement} where @param {string} text */
function set(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

const stream = { source: /** @type {EventSource | null} */ (null), heard: Date.now(), wait: 1000, lastId: "" };

function open() {
  stream.source?.close();
  const source = new EventSource(`${here}/events${stream.lastId ? `?last_event_id=${stream.lastId}` : ""}`);
  stream.source = source;
  stream.heard = Date.now();
  for (const name of ["transition", "current", "courier", "heartbeat", "problem", "end"]) {
    source.addEventListener(name, (event) => source === stream.source && take(name, event));
  }
  source.onerror = () => source === stream.source && broken(source);
}

/** @param {string} name @param {MessageEvent} event */
async function take(name, event) {
  stream.heard = Date.now();
  stream.lastId = event.lastEventId;
  if (name === "problem") return away();
  stream.wait = 1000;
  set(byId("connection"), "");
  const data = JSON.parse(event.data);
  if (name === "transition") takeStep(data);
  if (name === "current") await takeOrder(data);
  if (name === "courier") known.courier = data;
  if (name === "end") stream.source?.close();
  show();
}

function away() {
  set(byId("connection"), word("away", { time: minute(stream.heard + now() - Date.now()) }));
}

/** @param {EventSource} source */
function broken(source) {
  if (isOver()) return source.close();
  away();
  // Otherwise the browser comes again by itself.
  if (source.readyState === EventSource.CLOSED) again();
}

/** A browser does not tell a script why a stream was refused, so the order is asked for. */
async function again() {
  stream.source?.close();
  try {
    await get(`${here}/order`);
  } catch (error) {
    // The page itself says what has become of it.
    if (error instanceof Problem && error.status === 404) return location.reload();
  }
  setTimeout(open, stream.wait * (1 + Math.random()));
  stream.wait = Math.min(stream.wait * 2, LONGEST_WAIT);
}

function wake() {
  const isQuiet = Date.now() - stream.heard > SILENCE;
  if (document.visibilityState === "visible" && isQuiet && !isOver()) open();
}

setUpHeader(null);
document.addEventListener("visibilitychange", wake);
addEventListener("pageshow", wake);
addEventListener("online", wake);
setInterval(wake, 5000);
setInterval(tick, 5000);
open();
