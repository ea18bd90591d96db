// Reports of analytics as charts, each with its numbers beside it.

import { Problem, get } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { setUpHeader } from "../shared/header.js";
import { amount, clock, language, locale, span } from "../shared/i18n.js";
import { bars } from "./chart.js";

const WORDS = {
  en: {
    period: "Period",
    created: "Orders per hour",
    dwell: "Time in each status (half, 90 of 100, 99 of 100)",
    rates: "How orders ended",
    revenue: "Revenue by currency",
    none: "Nothing in this period",
    absent: "Reports are not served here: the role analytics does not run.",
    fold: "Counted until {time}",
    columns: {
      time: "Time", workflow: "Workflow", count: "Orders", status: "Status", p50: "50 %", p90: "90 %", p99: "99 %", ended: "Ended",
      succeeded: "Succeeded", cancelled: "Cancelled", rejected: "Rejected", onTime: "On time", currency: "Currency", total: "Total",
    },
  },
  es: {
    period: "Período",
    created: "Pedidos por hora",
    dwell: "Tiempo en cada estado (la mitad, 90 de 100, 99 de 100)",
    rates: "Cómo terminaron los pedidos",
    revenue: "Ventas por moneda",
    none: "Nada en este período",
    absent: "Aquí no hay informes: el rol analytics no está en marcha.",
    fold: "Contado hasta las {time}",
    columns: {
      time: "Hora", workflow: "Flujo", count: "Pedidos", status: "Estado", p50: "50 %", p90: "90 %", p99: "99 %", ended: "Terminados",
      succeeded: "Logrados", cancelled: "Cancelados", rejected: "Rechazados", onTime: "A tiempo", currency: "Moneda", total: "Total",
    },
  },
};
const words = WORDS[language()];

const number = (/** @type {string | undefined} */ text) => Number(text ?? 0);
const milliseconds = (/** @type {string | undefined} */ text) => Number.parseFloat(text ?? "0") * 1000;
const percent = (/** @type {number} */ part, /** @type {number} */ whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "–");
const whole = (/** @type {number} */ value) => String(Math.round(value * 10) / 10);

/** @param {string} time */
const hour = (time) => new Date(time).toLocaleString(locale(), { day: "numeric", month: "numeric", hour: "2-digit", minute: "2-digit" });

/** @param {string[]} titles @param {string[][]} lines */
function table(titles, lines) {
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
  const body = lines.map((line) => element("tr", {}, ...line.map((cell, at) => element("td", { class: at > 0 ? "number" : null }, cell))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

/** @param {string} title @param {Element | null} chart @param {HTMLElement} numbers */
function report(title, chart, numbers) {
  const box = element("div", { class: "numbers", tabindex: 0, role: "region", "aria-label": title }, numbers);
  return element("section", { class: "report" }, element("h2", {}, title), chart ?? element("p", {}, words.none), box);
}

/** @param {any[]} rows */
function created(rows) {
  const names = words.columns;
  /** @type {Map<string, number>} */
  const byHour = new Map();
  for (const row of rows) byHour.set(row.bucketTime, (byHour.get(row.bucketTime) ?? 0) + number(row.createdCount));
  const groups = [...byHour].map(([time, count]) => ({ label: hour(time), values: [count] }));
  const lines = groups.map((group) => [group.label, String(group.values[0])]);
  return report(words.created, groups.length ? bars(words.created, groups, whole) : null, table([names.time, names.count], lines));
}

/** @param {any[]} rows */
function dwell(rows) {
  const names = words.columns;
  const of = (/** @type {any} */ row) => [row.p50Duration, row.p90Duration, row.p99Duration].map(milliseconds);
  const groups = rows.map((row) => ({ label: row.status, values: of(row) }));
  const lines = rows.map((row) => [`${row.workflow}: ${row.status}`, row.leftCount, ...of(row).map(span)]);
  const numbers = table([names.status, names.count, names.p50, names.p90, names.p99], lines);
  return report(words.dwell, groups.length ? bars(words.dwell, groups, span) : null, numbers);
}

/** @param {any[]} rows */
function rates(rows) {
  const names = words.columns;
  const groups = rows.map((row) => ({ label: row.workflow, values: [row.succeededCount, row.cancelledCount, row.rejectedCount].map(number) }));
  const lines = rows.map((row) => {
    const ended = number(row.endedCount);
    const part = (/** @type {string} */ count) => percent(number(count), ended);
    const onTime = percent(number(row.onTimeCount), number(row.pickupCount));
    return [row.workflow, row.endedCount, part(row.succeededCount), part(row.cancelledCount), part(row.rejectedCount), onTime];
  });
  const titles = [names.workflow, names.ended, names.succeeded, names.cancelled, names.rejected, names.onTime];
  return report(words.rates, groups.length ? bars(words.rates, groups, whole) : null, table(titles, lines));
}

/** @param {any[]} rows */
function revenue(rows) {
  const names = words.columns;
  const value = (/** @type {any} */ money) => Number(money?.units ?? 0) + (money?.nanos ?? 0) / 1e9;
  const groups = rows.map((row) => ({ label: `${row.workflow} ${row.total?.currencyCode ?? ""}`, values: [value(row.total)] }));
  const lines = rows.map((row) => [row.workflow, row.orderCount, amount(row.total)]);
  const numbers = table([names.workflow, names.count, names.total], lines);
  return report(words.revenue, groups.length ? bars(words.revenue, groups, whole) : null, numbers);
}

async function show() {
  const from = new Date(Date.now() - byId("hours").value * 3_600_000).toISOString();
  const ask = (/** @type {string} */ name, /** @type {string} */ bucket) => get(`/v1/analytics/${name}?bucket=${bucket}&from_time=${from}`);
  const bucket = Number(byId("hours").value) > 200 ? "BUCKET_DAY" : "BUCKET_HOUR";
  try {
    const [hours, stays, ends, sales] = await Promise.all([
      ask("rates", bucket),
      ask("dwell", "BUCKET_TOTAL"),
      ask("rates", "BUCKET_TOTAL"),
      ask("revenue", "BUCKET_TOTAL"),
    ]);
    byId("fold").textContent = hours.foldTime ? words.fold.replace("{time}", clock(Date.parse(hours.foldTime))) : "";
    byId("reports").replaceChildren(created(hours.rows), dwell(stays.rows), rates(ends.rows), revenue(sales.rows));
  } catch (error) {
    const isAbsent = error instanceof Problem && error.status === 501;
    byId("reports").replaceChildren(element("p", { role: "alert" }, isAbsent ? words.absent : String(error)));
  }
}

setUpHeader("insights");
byId("label-period").textContent = words.period;
byId("period").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
byId("hours").addEventListener("change", show);
setInterval(show, 60_000);
show();
