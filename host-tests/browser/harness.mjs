// What journeys share: a browser, people who use it, and an identity provider.

import { createHmac } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Bytes a page may weigh, with everything it loads. */
const WEIGHT = 150_000;
const LOOKS = [["light", "light", 1200], ["dark", "dark", 1200], ["phone", "light", 360]];
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

export const settings = JSON.parse(process.argv[2]);
export const { front, clientId, secret } = settings;
const require = createRequire(join(settings.modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(settings.pictures, { recursive: true });

// On a starved machine the browser may die while it starts; what it shows once it runs is what is tested.
const launch = () => chromium.launch({ executablePath: settings.chromium, headless: true, args: FLAGS });
const browser = await launch().catch(launch);

/** Whatever a page does that it should not. */
export const complaints = [];
/** What is wrong with pages that were inspected. */
const problems = [];
/** Addresses the browser asked for. */
export const asked = new Set();

/** A browser of its own: nobody is signed in. */
export async function visitor(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    asked.add(request.url());
    if (!request.url().startsWith(front)) complaints.push(`request to ${request.url()}`);
  });
  return page;
}

export const page = await visitor({ permissions: ["clipboard-read", "clipboard-write"] });

/** Pictures in light, dark and at phone width, no axe violation, no sideways scrolling, little weight. */
export async function inspect(name, of = page) {
  for (const [look, scheme, width] of LOOKS) {
    await of.emulateMedia({ colorScheme: scheme });
    await of.setViewportSize({ width, height: width === 360 ? 740 : 800 });
    await of.screenshot({ path: join(settings.pictures, `${name}-${look}.png`), fullPage: true });
    const { wide, weight } = await of.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      weight: [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource").filter((entry) => entry.initiatorType !== "fetch")]
        .reduce((sum, entry) => sum + entry.decodedBodySize, 0),
    }));
    if (wide > 0) problems.push(`${name}, ${look}: ${wide} pixels too wide`);
    if (weight === 0 || weight > WEIGHT) problems.push(`${name}: ${weight} bytes`);
    const found = await of.evaluate(`(() => { const module = undefined; ${axe}; return axe.run(); })()`);
    for (const violation of found.violations) {
      problems.push(`${name}, ${look}: ${violation.id} at ${violation.nodes.map((node) => node.target).join(" and ")}`);
    }
  }
  await of.setViewportSize({ width: 1200, height: 800 });
  await of.emulateMedia({ colorScheme: "light" });
}

/** One journey: prints `ok NAME`, or `FAILED NAME: why`. */
export async function journey(name, body) {
  const [before, heard] = [problems.length, complaints.length];
  const failures = await body().then(() => [], (error) => [`${String(error.message).split("\n").slice(0, 4).join(" ")} at ${page.url()}`]);
  failures.push(...problems.slice(before), ...complaints.slice(heard));
  if (failures.length) process.exitCode = 1;
  console.log(failures.length ? `FAILED ${name}: ${failures.join("; ")}` : `ok ${name}`);
}

export const end = () => browser.close();

export const text = (selector, of = page) => of.locator(selector).first().innerText();
export const go = (path, of = page) => of.goto(front + path);
export const press = (name, of = page) => of.getByRole("button", { name }).first().click();

/** Sends a form, and waits for the page it leads to. */
export async function submit(name, of = page) {
  const loaded = of.waitForEvent("load");
  await press(name, of);
  await loaded;
}

/** The vendor's staff. */
export async function signIn(of = page) {
  await go("/dashboard/login", of);
  await of.getByLabel("Client id").fill(clientId);
  await of.getByLabel("Secret").fill(secret);
  await press("Sign in", of);
  await of.waitForURL("**/dashboard");
}

export async function toggle(on) {
  await signIn();
  const button = page.getByRole("button", { name: on ? "Switch on" : "Switch off" });
  if (await button.count()) {
    await button.click();
    await page.waitForURL("**done=*");
  }
}

/** Creates a connection by the form at `path`, and reads what the next page says once. */
export async function create(name, provider, path, of = page) {
  await go(path, of);
  await of.getByRole("radio", { name: provider }).check();
  await of.getByLabel("Name", { exact: true }).fill(name);
  await press("Create connection", of);
  await of.waitForURL("**/setup");
  return { url: await text("#the-url", of), token: await text("#the-token", of), id: of.url().split("/").at(-2) };
}

/** The identity provider. */
export async function provision(made, path, body, method = "POST") {
  const headers = { authorization: `Bearer ${made.token}`, "content-type": "application/scim+json", "user-agent": "Okta SCIM Client 1.0" };
  const response = await fetch(made.url + path, { method, headers, body: JSON.stringify(body) });
  return { status: response.status, body: response.status === 204 ? null : await response.json() };
}

export const user = (name, display = name.split("@")[0]) => ({
  schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"], userName: name, displayName: display, externalId: `x-${name}`,
  name: { givenName: "Ada", familyName: "Lovelace" }, emails: [{ value: name, type: "work", primary: true }],
});
export const group = (displayName, members = []) => ({
  schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group"], displayName, members: members.map((value) => ({ value })),
});

/** The customer's user, as the vendor's application knows it. */
export const right = (verb) => `fe.secure.${verb}.provisioningConfiguration`;
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
export function userToken(wanted, header = { alg: "HS256" }, sign = shared) {
  const { permissions = ["fe.secure.*"], roles = [], tenantId, life = 600 } = wanted;
  const claims = { sub: "ann", tenantId, permissions, roles, exp: Math.floor(Date.now() / 1000) + life };
  const signed = `${base64(header)}.${base64(claims)}`;
  return `${signed}.${sign(signed).toString("base64url")}`;
}
const shared = (signed) => createHmac("sha256", settings.jwtSecret).update(signed).digest();

/** Opens the portal as the vendor's application does: with a form that posts the user's token. */
export async function postToken(token, of = page) {
  await go("/portal/elsewhere", of);
  await of.evaluate((token) => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: "/portal/session" });
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "token", value: token }));
    document.body.append(form);
    form.submit();
  }, token);
}

/** The same, as a user of these claims. */
export const enterPortal = (claims, of = page) => openPortal(userToken(claims), of);

/** The same, up to the portal's first page. */
export async function openPortal(token, of = page) {
  await postToken(token, of);
  await of.waitForURL((url) => url.pathname === "/portal");
  await of.waitForLoadState();
}
