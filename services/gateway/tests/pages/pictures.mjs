// Takes pictures of a busy evening, for people who read about the board: node pictures.mjs FOLDER

import { Gateway, item, launch, order } from "./harness.mjs";

const folder = process.argv[2];
const MENU = [
  ["Margherita", "Tiramisù"],
  ["Empanada de pino", "Pebre"],
  ["Completo italiano"],
  ["Cazuela", "Sopaipilla"],
  ["Pastel de choclo", "Ensalada chilena"],
  ["Diavola", "Acqua"],
  ["Lomo a lo pobre"],
  ["Quattro formaggi", "Insalata"],
];

const gateway = await Gateway.start();
const browser = await launch();

/** Orders from the menu, with one to three of the first dish. */
async function take(count) {
  const taken = [];
  for (let n = 0; n < count; n += 1) {
    const [dish, side] = MENU[n % MENU.length];
    const items = [item(dish, 1 + (n % 3)), ...(side ? [item(side)] : [])];
    taken.push((await gateway.post("/v1/orders", order(`table-${n + 1}`, ...items))).order);
  }
  return taken;
}

const move = (taken, verb, version, body = {}) =>
  gateway.post(`/v1/orders/${taken.orderId}/${verb}`, body, { "if-match": `"${version}"` });

async function picture(locale, colorScheme, name) {
  const context = await browser.newContext({ locale, colorScheme, viewport: { width: 1280, height: 720 } });
  const page = await context.newPage();
  await page.goto(`${gateway.url}/board`);
  await page.waitForSelector('#connection[data-state="live"]');
  return { page, shoot: () => page.screenshot({ path: `${folder}/${name}.png` }) };
}

const early = await take(9);
for (const taken of early.slice(0, 3)) {
  await move(taken, "advance", 1);
  await move(taken, "advance", 2);
}
await move(early[0], "advance", 3);
for (const taken of early.slice(3, 7)) await move(taken, "advance", 1);
await move(early[6], "cancel", 2, { reason: "The guest has left" });

const [day, night] = [await picture("en-US", "light", "board"), await picture("es-CL", "dark", "board-dark")];
// When the first ones are nearly late, others have just come.
await day.page.waitForSelector('.card[data-late="nearly"]', { timeout: 180_000 });
const late = await take(3);
await move(late[1], "advance", 1);
await day.page.locator(`button.number:text-is("#${late[2].number}")`).waitFor();
for (const { page } of [day, night]) await page.waitForFunction(() => !document.body.innerText.includes("…"));
if ((await day.page.locator('.card[data-late="nearly"]').count()) === 0) throw new Error("this machine is too busy: nothing is nearly late any more");
await day.shoot();
await night.shoot();
await day.page.locator('section[data-status="preparing"] button.number').first().click();
await day.page.locator("#detail h3").first().waitFor();
await day.page.screenshot({ path: `${folder}/detail.png` });
await browser.close();
await gateway.kill();
