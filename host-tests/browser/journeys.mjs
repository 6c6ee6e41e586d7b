// Journeys through the dashboard and the portal in real Chromium, as the issue tells them. Prints `ok NAME` for each,
// or `FAILED NAME: why`, and leaves a picture of every page.
//
// node journeys.mjs FRONT CLIENT_ID SECRET JWT_SECRET MODULES SCREENSHOTS

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [front, clientId, secret, jwtSecret, modules, pictures] = process.argv.slice(2);
const require = createRequire(join(modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(pictures, { recursive: true });

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const profile = mkdtempSync(join(tmpdir(), "browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: flags, bypassCSP: false,
});
const page = await context.newPage();
page.setDefaultTimeout(15000);
const complaints = [];
page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) complaints.push(message.text()); });
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => { if (!request.url().startsWith(front) && !request.url().startsWith("data:")) complaints.push(`request to ${request.url()}`); });

const account = `acme-${Date.now()}`;
const run = Date.now();
const problems = [];

/** Pictures in light, dark and at phone width, no axe violation, no sideways scrolling, little weight. */
async function inspect(name) {
  for (const [look, scheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["phone", "light", 360]]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: width === 360 ? 740 : 800 });
    await page.screenshot({ path: join(pictures, `${name}-${look}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) problems.push(`${name}, ${look}: ${wide} pixels too wide`);
    const found = await page.evaluate(`(() => { const module = undefined; ${axe}; return axe.run(); })()`);
    for (const violation of found.violations) {
      problems.push(`${name}, ${look}: ${violation.id} at ${violation.nodes.map((node) => node.target).join(" and ")}`);
    }
  }
  await page.setViewportSize({ width: 1200, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
}

async function journey(name, body) {
  const before = problems.length;
  try {
    await body();
    const found = problems.slice(before);
    console.log(found.length ? `FAILED ${name}: ${found.join("; ")}` : `ok ${name}`);
    if (found.length) process.exitCode = 1;
  } catch (error) {
    console.log(`FAILED ${name}: ${String(error.message).split("\n").slice(0, 4).join(" ")} at ${page.url()}`);
    process.exitCode = 1;
  }
}

const text = (selector) => page.locator(selector).first().innerText();
const go = (path) => page.goto(front + path);
const press = (name) => page.getByRole("button", { name, exact: false }).first().click();

async function signIn() {
  await go("/dashboard/login");
  await page.getByLabel("Client id").fill(clientId);
  await page.getByLabel("Secret").fill(secret);
  await press("Sign in");
  await page.waitForURL("**/dashboard");
}

async function create(name, provider, path) {
  await go(path);
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel(provider).check();
  await press("Create connection");
  await page.waitForURL("**/setup");
  return { url: await text("#the-url"), token: await text("#the-token"), id: page.url().split("/").at(-2) };
}

async function provision(made, path, body, method = "POST") {
  const headers = { authorization: `Bearer ${made.token}`, "content-type": "application/scim+json", "user-agent": "Okta SCIM Client 1.0" };
  const response = await fetch(`${made.url}${path}`, { method, headers, body: JSON.stringify(body) });
  return { status: response.status, body: response.status === 204 ? null : await response.json() };
}
const user = (name) => ({ schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"], userName: name, displayName: name.split("@")[0],
  name: { givenName: "Ada", familyName: "Lovelace" }, emails: [{ value: name, type: "work", primary: true }] });

const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
function userToken(permissions, tenantId = account, life = 600) {
  const signed = `${base64({ alg: "HS256" })}.${base64({ sub: "ann", tenantId, permissions, exp: Math.floor(Date.now() / 1000) + life })}`;
  return `${signed}.${createHmac("sha256", jwtSecret).update(signed).digest("base64url")}`;
}
async function enterPortal(token) {
  await go("/portal/elsewhere");
  await page.evaluate((token) => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: "/portal/session" });
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "token", value: token }));
    document.body.append(form);
    form.submit();
  }, token);
  await page.waitForURL((url) => url.pathname === "/portal");
  await page.waitForLoadState();
}
async function toggle(on) {
  await signIn();
  const name = on ? "Switch on" : "Switch off";
  if (await page.getByRole("button", { name }).count()) { await press(name); await page.waitForURL("**done=*"); }
}
const right = (verb) => `fe.secure.${verb}.provisioningConfiguration`;
let made;

await journey("a stranger is asked to sign in", async () => {
  await go("/dashboard");
  assert.match(page.url(), /login$/);
  await inspect("login");
  await page.getByLabel("Client id").fill("nobody");
  await page.getByLabel("Secret").fill("wrong");
  await press("Sign in");
  assert.match(await text(".wrong"), /not right/);
  await inspect("login-wrong");
});
await journey("a vendor sees empty pages that say what to do next", async () => {
  await signIn();
  for (const [name, path] of [["overview-empty", ""], ["roles-empty", "/roles"], ["deleted-empty", "/residue"], ["account-empty", `/accounts/${account}`]]) {
    await go(`/dashboard${path}`);
    await inspect(name);
  }
});
await journey("a vendor creates a connection and its token is shown once", async () => {
  await go(`/dashboard/accounts/${account}/new`);
  await inspect("new");
  made = await create("Workforce", "Okta", `/dashboard/accounts/${account}/new`);
  assert.match(made.token, /^scim_/);
  await inspect("setup-pending");
  made = { ...made };
  await page.reload();
  assert.equal(await page.locator("#the-token").count(), 0);
  assert.match(await text("[data-live=waiting]"), /Waiting for the first request/);
});
await journey("a taken name is refused beside its field", async () => {
  await go(`/dashboard/accounts/${account}/new`);
  await page.getByLabel("Name", { exact: true }).fill("workforce");
  await press("Create connection");
  assert.match(await text("#connectionName-wrong"), /taken/);
  await inspect("new-taken");
});
await journey("the first request of the identity provider turns Pending into Linked by itself", async () => {
  await go(`/dashboard/connections/${made.id}/setup`);
  const first = await provision(made, "/Users", user("ada@example.com"));
  assert.equal(first.status, 201);
  await page.waitForFunction(() => /Linked/.test(document.querySelector("[data-live=waiting]").innerText));
  await provision(made, "/Groups", { schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group"], displayName: "Engineers", members: [{ value: first.body.id }] });
  for (let n = 0; n < 60; n += 1) await provision(made, "/Users", user(`user${String(n).padStart(2, "0")}@example.com`));
  await provision(made, "/Users", user("ada@example.com"));
  await go(`/dashboard/connections/${made.id}`);
  assert.match(await text(".title .status"), /Linked/);
  await inspect("connection");
  await go(`/dashboard/connections/${made.id}/setup`);
  await inspect("setup-linked");
});
await journey("users are searched, paged and shown in full", async () => {
  await go(`/dashboard/connections/${made.id}/users`);
  assert.equal(await page.locator("tbody tr").count(), 50);
  await inspect("users");
  await page.getByRole("link", { name: "Next page" }).click();
  await page.waitForURL("**cursor=*");
  assert.equal(await page.locator("tbody tr").count(), 11);
  await go(`/dashboard/connections/${made.id}/users`);
  await page.locator("#q").fill("ada");
  await press("Search");
  await page.waitForURL("**q=ada*");
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.getByRole("link", { name: "ada@example.com" }).click();
  await page.waitForURL("**/users/*-*");
  assert.match(await text("#json"), /"userName": "ada@example.com"/);
  assert.match(await text("[aria-labelledby=related]"), /Engineers/);
  await inspect("user");
  await go(`/dashboard/connections/${made.id}/groups`);
  await inspect("groups");
  await page.getByRole("link", { name: "Engineers" }).click();
  await page.waitForURL("**/groups/*-*");
  assert.match(await text("[aria-labelledby=related]"), /ada/);
  await inspect("group");
});
await journey("the log tells what was refused and what to do, and follows live", async () => {
  await go(`/dashboard/connections/${made.id}/log?outcome=failure`);
  await page.waitForFunction(() => /What to do/.test(document.body.innerText));
  await inspect("log-refused");
  await go(`/dashboard/connections/${made.id}/log`);
  const before = await text("[data-live=log] li");
  await provision(made, "/Groups", { schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group"], displayName: "Live" });
  await page.waitForFunction(() => /Create group/.test(document.querySelector("[data-live=log] li").innerText));
  assert.match(before, /Create user/);
  await inspect("log");
});
await journey("pause refuses writes and resume takes them again", async () => {
  await go(`/dashboard/connections/${made.id}`);
  await press("Pause");
  await page.waitForURL("**done=paused");
  await inspect("connection-paused");
  assert.equal((await provision(made, "/Users", user("late@example.com"))).status, 403);
  await press("Resume");
  await page.waitForURL("**done=resumed");
});
await journey("a connection is renamed and its token rotated without a gap", async () => {
  await page.getByLabel("Name", { exact: true }).fill("Workforce EU");
  await press("Rename");
  await page.waitForURL("**done=renamed");
  assert.equal(await text("h1"), "Workforce EU");
  await press("New token");
  await page.waitForURL("**/setup");
  const fresh = { ...made, token: await text("#the-token") };
  assert.equal((await provision(made, "/Users", user("gap1@example.com"))).status, 201);
  assert.equal((await provision(fresh, "/Users", user("gap2@example.com"))).status, 201);
});
await journey("roles are made, changed and deleted", async () => {
  await go("/dashboard/roles");
  const name = `Viewer ${run}`;
  await page.getByLabel("Name", { exact: true }).fill(name);
  await press("Create role");
  await page.waitForURL("**done=role");
  await inspect("roles");
  await page.getByRole("link", { name: `Delete… ${name}` }).click();
  await page.waitForURL("**/delete");
  await inspect("role-delete");
  await press("Delete role");
  await page.waitForURL("**done=role-deleted");
});
await journey("overview and accounts show it all", async () => {
  await go("/dashboard");
  await inspect("overview");
  await go("/dashboard/accounts");
  await inspect("accounts");
  await go(`/dashboard/accounts/${account}`);
  await inspect("account");
});
await journey("the portal is closed while self-service is off", async () => {
  await toggle(false);
  await context.clearCookies({ name: "session", path: "/portal" });
  await go("/portal");
  assert.match(await text("h1"), /session has ended/);
  await inspect("portal-ended");
  await enterPortal(userToken(["fe.secure.*"]));
  assert.match(await text("main"), /switched off/);
});
await journey("each permission shows just what it allows", async () => {
  await toggle(true);
  await enterPortal(userToken([]));
  assert.match(await text("main"), /does not include provisioning/);
  await inspect("portal-denied");
  await enterPortal(userToken([right("read")]));
  assert.equal(await page.getByRole("link", { name: "New connection" }).count(), 0);
  await inspect("portal-read");
  await go(`/portal/connections/${made.id}`);
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "Delete" }).count(), 0);
  assert.equal((await go("/portal/new")).status(), 403);
  assert.equal((await go(`/portal/connections/${made.id}/delete`)).status(), 403);
  await enterPortal(userToken([right("read"), right("write")]));
  await go(`/portal/connections/${made.id}`);
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 1);
  assert.equal(await page.getByRole("link", { name: "Delete" }).count(), 0);
  await enterPortal(userToken([right("read"), right("delete")]));
  await go(`/portal/connections/${made.id}`);
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "Delete" }).count(), 1);
});
await journey("a customer sets up a connection, and another account never sees it", async () => {
  await enterPortal(userToken(["fe.secure.*"]));
  await inspect("portal");
  const own = await create("Contractors", "Microsoft Entra ID", "/portal/new");
  await inspect("portal-setup");
  await provision(own, "/Users", user("eve@example.com"));
  await page.waitForFunction(() => /Linked/.test(document.querySelector("[data-live=waiting]").innerText));
  await go(`/portal/connections/${own.id}`);
  await inspect("portal-connection");
  await enterPortal(userToken(["fe.secure.*"], "someone-else"));
  await inspect("portal-empty");
  assert.equal((await go(`/portal/connections/${own.id}`)).status(), 404);
  assert.equal((await go(`/portal/connections/${own.id}/users`)).status(), 404);
  await inspect("portal-not-found");
});
await journey("an expired session changes nothing", async () => {
  await enterPortal(userToken(["fe.secure.*"], account, 2));
  await page.waitForTimeout(2500);
  assert.equal((await go("/portal")).status(), 401);
  await context.clearCookies();
  await go(`/dashboard/connections/${made.id}`);
  assert.match(page.url(), /login/);
});
await journey("a form without its proof is refused", async () => {
  await signIn();
  const status = await page.evaluate(async (path) => (await fetch(path, { method: "POST", body: new URLSearchParams({ proof: "x" }) })).status,
    `/dashboard/connections/${made.id}/pause`);
  assert.equal(status, 403);
});
await journey("deletion without users leaves residue that the vendor removes", async () => {
  const kept = await create("Kept", "JumpCloud", `/dashboard/accounts/${account}/new`);
  await provision(kept, "/Users", user("kept@example.com"));
  await go(`/dashboard/connections/${kept.id}/delete`);
  assert.ok(await page.getByRole("checkbox").isChecked());
  assert.match(await text("main form"), /1 users/);
  await page.getByRole("checkbox").uncheck();
  await press("Delete connection");
  await page.waitForURL("**done=deleted");
  assert.equal((await provision(kept, "/Users", user("x@example.com"))).status, 401);
  await go("/dashboard/residue");
  await inspect("deleted");
  await page.goto(`${front}/dashboard/residue/${kept.id}`);
  await inspect("deleted-remove");
  await press("Remove users and groups");
  await page.waitForURL("**done=removed");
});
await journey("deletion with users removes everything", async () => {
  await go(`/dashboard/connections/${made.id}/delete`);
  await inspect("delete");
  await press("Delete connection");
  await page.waitForURL("**done=deleted");
  assert.equal((await provision(made, "/Users", user("y@example.com"))).status, 401);
  assert.equal((await go(`/dashboard/connections/${made.id}`)).status(), 404);
});
await journey("pages are light, obey their policy and ask nobody else", async () => {
  await page.goto("about:blank");
  let bytes = 0;
  const heard = async (response) => { bytes += (await response.body().catch(() => "")).length; };
  page.on("response", heard);
  await go("/dashboard");
  await page.waitForLoadState("networkidle");
  assert.ok(bytes < 150000, `${bytes} bytes`);
  assert.deepEqual(complaints, []);
});

await context.close();
rmSync(profile, { recursive: true, force: true });
