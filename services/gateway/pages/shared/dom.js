// Elements, made without HTML as text: names of products and customers are never read as such.

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes] functions are listeners, others are attributes; null and false are left out
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Text of others, isolated from its surroundings. @param {string} text */
export const foreign = (text) => element("bdi", {}, text);
