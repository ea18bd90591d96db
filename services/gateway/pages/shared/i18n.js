// The words of the pages, in English and Spanish.

const WORDS = {
  en: {
    board: "Orders",
    insights: "Insights",
    docs: "API",
    workflow: "Workflow",
    search: "Search by number",
    customer: "Customer",
    all: "All",
    sound: "Sound",
    soundOn: "Sound is on",
    theme: "Dark",
    language: "Español",
    live: "Live",
    connecting: "Connecting",
    asOf: "Not connected, as of {time}",
    pages: "Very many orders: reading them page by page",
    ended: "Ended",
    empty: "No orders",
    more: "and {count} more: narrow the filter",
    next: "{status} in {time}",
    nextDue: "{status} any moment",
    since: "for {time}",
    loading: "…",
    items: "{count} items",
    summary: "{created} new orders, {moved} steps",
    close: "Close",
    timeline: "What happened",
    mails: "Mails",
    noMails: "No mails",
    mailDUE: "waiting",
    mailSENDING: "being sent",
    mailSENT: "sent",
    mailDEAD: "failed",
    mailSUPPRESSED: "not sent",
    courier: "Courier",
    total: "Total",
    advance: "Move to {status}",
    cancel: "Cancel order",
    reject: "Reject order",
    reason: "Reason (customers and watchers read it)",
    sure: "Yes, {what}",
    back: "Back",
    done: "Done",
    stale: "The order has moved meanwhile. Look again and decide.",
    failed: "Not done: {detail}",
    unknown: "It is not known whether this was done: {detail} Trying again is safe.",
    again: "Try again",
    notFound: "There is no order {number}",
    late: "late",
    nearly: "nearly late",
    by: "by {actor}",
    yourOrder: "Your order {number}",
    expected: "{status} at about {time}",
    soon: "{status} any moment",
    over: "Nothing more will happen.",
    pickup: "Expected at the pickup at {time}",
    dropoff: "Expected with you at {time}",
    gone: "This link is not valid any more, or never was.",
    goneHelp: "Links work for some days after an order. Ask the shop for news of older ones.",
    away: "No connection, as of {time}. Trying again.",
    logIn: "Log in",
    logOut: "Log out",
    key: "Key or token",
    keyHelp: "This server needs a key, as `comanda key create` makes them. This tab keeps it until it is closed.",
    keyRefused: "The server does not take this key, or takes it no more.",
    keys: "Arrow keys move between orders, Enter opens one, / searches.",
  },
  es: {
    board: "Pedidos",
    insights: "Informes",
    docs: "API",
    workflow: "Flujo",
    search: "Buscar por número",
    customer: "Cliente",
    all: "Todos",
    sound: "Sonido",
    soundOn: "Con sonido",
    theme: "Oscuro",
    language: "English",
    live: "En vivo",
    connecting: "Conectando",
    asOf: "Sin conexión, datos de las {time}",
    pages: "Muchísimos pedidos: se leen página por página",
    ended: "Terminados",
    empty: "Sin pedidos",
    more: "y {count} más: acote el filtro",
    next: "{status} en {time}",
    nextDue: "{status} en cualquier momento",
    since: "hace {time}",
    loading: "…",
    items: "{count} productos",
    summary: "{created} pedidos nuevos, {moved} pasos",
    close: "Cerrar",
    timeline: "Lo que pasó",
    mails: "Correos",
    noMails: "Sin correos",
    mailDUE: "en espera",
    mailSENDING: "enviándose",
    mailSENT: "enviado",
    mailDEAD: "falló",
    mailSUPPRESSED: "no se envía",
    courier: "Repartidor",
    total: "Total",
    advance: "Pasar a {status}",
    cancel: "Cancelar pedido",
    reject: "Rechazar pedido",
    reason: "Motivo (lo leen los clientes)",
    sure: "Sí, {what}",
    back: "Volver",
    done: "Hecho",
    stale: "El pedido avanzó mientras tanto. Mírelo de nuevo y decida.",
    failed: "No se hizo: {detail}",
    unknown: "No se sabe si se hizo: {detail} Repetir es seguro.",
    again: "Repetir",
    notFound: "No hay un pedido {number}",
    late: "atrasado",
    nearly: "casi atrasado",
    by: "por {actor}",
    yourOrder: "Tu pedido {number}",
    expected: "{status} hacia las {time}",
    soon: "{status} en cualquier momento",
    over: "No pasará nada más.",
    pickup: "Llega al retiro hacia las {time}",
    dropoff: "Llega contigo hacia las {time}",
    gone: "Este enlace ya no vale, o nunca valió.",
    goneHelp: "Los enlaces sirven algunos días después del pedido. Pregunta a la tienda por pedidos anteriores.",
    away: "Sin conexión, datos de las {time}. Se vuelve a intentar.",
    logIn: "Entrar",
    logOut: "Salir",
    key: "Clave",
    keyHelp: "Este servidor pide una clave, como las que crea `comanda key create`. Esta pestaña la guarda hasta que se cierre.",
    keyRefused: "El servidor no acepta esta clave, o ya no la acepta.",
    keys: "Las flechas pasan de pedido en pedido, Intro abre uno, / busca.",
  },
};

const KEPT = "comanda-language";

/** The language of the page. @returns {"en" | "es"} */
export function language() {
  const wanted = localStorage.getItem(KEPT) ?? navigator.language;
  return wanted.startsWith("es") ? "es" : "en";
}

/** @param {"en" | "es"} language */
export const setLanguage = (language) => localStorage.setItem(KEPT, language);

/** The words of the language, with what stands in braces filled in. @param {keyof typeof WORDS.en} name @param {Record<string, unknown>} [values] */
export function word(name, values = {}) {
  return WORDS[language()][name].replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

/** Time that has passed, as people say it: 0:07, 12:30, 3 h 05. @param {number} milliseconds */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)}`;
}

/** The language as people here write it: with the times and amounts of their country, where the browser names it. */
export const locale = () => (navigator.language.startsWith(language()) ? navigator.language : language());

/** A time of day, to the second. @param {number} time */
export const clock = (time) => new Date(time).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A time of day, to the minute. @param {number} time */
export const minute = (time) => new Date(time).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" });

/** An amount of money. @param {{currencyCode: string, units?: string, nanos?: number} | null | undefined} money */
export function amount(money) {
  if (!money?.currencyCode) return "";
  const value = Number(money.units ?? 0) + (money.nanos ?? 0) / 1e9;
  return new Intl.NumberFormat(locale(), { style: "currency", currency: money.currencyCode }).format(value);
}
