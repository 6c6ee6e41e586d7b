// Journeys through the dashboard and the portal in real Chromium, as people make them. Prints a line for each, and leaves
// a picture of every page.
//
// node journeys.mjs SETTINGS, where SETTINGS is JSON: see `tests/all/browser.rs`

import assert from "node:assert/strict";

import { asked, create, end, enterPortal, front, go, group, inspect, journey, page, postToken, press, provision,
  right, secret, settings, signIn, submit, text, toggle, user, userToken, visitor } from "./harness.mjs";
import { embedded } from "./embedded.mjs";

const run = Date.now();
const account = `acme-${run}`;
const tenantId = account;
const at = (connection, rest = "") => `/dashboard/connections/${connection.id}${rest}`;
let made;

await journey("a stranger is asked to sign in", async () => {
  await go("/dashboard");
  assert.match(page.url(), /login$/);
  await inspect("login");
  await page.getByLabel("Client id").fill("nobody");
  await page.getByLabel("Secret").fill("wrong");
  await press("Sign in");
  assert.match(await text("#secret-wrong"), /not right/);
  assert.equal(await page.getByLabel("Client id").inputValue(), "nobody");
  await inspect("login-wrong");
});

await journey("a vendor sees empty pages that say what to do next", async () => {
  await signIn();
  const pages = [["overview-empty", ""], ["accounts-empty", "/accounts"], ["roles-empty", "/roles"], ["deleted-empty", "/residue"], ["account-empty", `/accounts/${account}`]];
  for (const [name, path] of pages) {
    await go(`/dashboard${path}`);
    assert.ok(await page.locator(".empty").count(), name);
    await inspect(name);
  }
});

await journey("a vendor creates a connection and its token is shown once", async () => {
  await go("/dashboard/accounts");
  await page.getByLabel("Account id").fill(account);
  await press("Open account");
  await page.waitForURL(`**/accounts/${account}`);
  await page.getByRole("link", { name: "New connection" }).click();
  await page.waitForURL("**/new");
  await inspect("new");
  made = await create("Workforce", "Okta", `/dashboard/accounts/${account}/new`);
  assert.match(made.token, /^scim_/);
  await press("Copy the token");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), made.token);
  await press("Copy the provisioning URL");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), made.url);
  await inspect("setup-pending");
  await page.reload();
  assert.equal(await page.locator("#the-token").count(), 0);
  assert.match(await text("main"), /shown only once/);
  await go(at(made));
  assert.equal(await text(".title .status"), "Pending");
  await inspect("connection-pending");
  await go(at(made, "/users"));
  await inspect("users-empty");
  await go(at(made, "/log"));
  await inspect("log-empty");
});

await journey("the first request of the identity provider turns Pending into Linked by itself", async () => {
  await go(at(made, "/setup"));
  assert.match(await text("[data-live=waiting]"), /Waiting for the first request/);
  const first = await provision(made, "/Users", user("ada@example.com", "Ada Lovelace"));
  assert.equal(first.status, 201);
  await page.waitForFunction(() => /have arrived/.test(document.querySelector("[data-live=waiting]").innerText));
  assert.equal(await text(".title .status"), "Linked");
  await provision(made, "/Groups", group("Engineers", [first.body.id]));
  for (let n = 0; n < 60; n += 1) await provision(made, "/Users", user(`user${String(n).padStart(2, "0")}@example.com`));
  await provision(made, "/Users", user("ada@example.com"));
  await go(at(made));
  assert.equal(await text(".title .status"), "Linked");
  assert.match(await text(".tiles"), /Users\s+61\s+Groups\s+1/);
  await inspect("connection");
  await go(at(made, "/setup"));
  await inspect("setup-linked");
});

await journey("users are searched, paged and shown in full", async () => {
  await go(at(made, "/users"));
  assert.equal(await page.locator("tbody tr").count(), 50);
  assert.match(await text(".pager"), /1–50 of 61/);
  await inspect("users");
  await page.getByRole("link", { name: "Next" }).click();
  await page.waitForURL("**from=51");
  assert.equal(await page.locator("tbody tr").count(), 11);
  const searches = [["User name begins with", "ADA"], ["Display name begins with", "ada l"], ["Email is", "ada@example.com"], ["External id is", "x-ada@example.com"]];
  for (const [field, wanted] of searches) {
    await go(at(made, "/users"));
    await page.getByLabel("Search in").selectOption(field);
    await page.getByLabel("Text to search for").fill(wanted);
    await press("Search");
    await page.waitForURL("**q=*");
    assert.equal(await page.locator("tbody tr").count(), 1, field);
  }
  await page.getByRole("link", { name: "ada@example.com" }).click();
  await page.waitForURL("**/users/*-*");
  assert.match(await text("#json"), /"userName": "ada@example.com"/);
  assert.match(await text("[aria-labelledby=related]"), /Engineers/);
  await inspect("user");
  await go(at(made, "/users?by=userName&q=nobody"));
  await inspect("users-not-found");
  await go(at(made, "/groups"));
  await inspect("groups");
  await page.getByRole("link", { name: "Engineers" }).click();
  await page.waitForURL("**/groups/*-*");
  assert.match(await text("[aria-labelledby=related]"), /ada/);
  await inspect("group");
});

await journey("the log tells what was refused and what to do, and follows live", async () => {
  await go(at(made, "/log?outcome=failure"));
  await page.waitForFunction(() => /What to do/.test(document.body.innerText));
  assert.doesNotMatch(await text("[data-live=log]"), /Accepted/);
  await inspect("log-refused");
  await go(at(made, "/log?operation=POST+Group"));
  assert.equal(await page.locator("[data-live=log] li").count(), 1);
  await go(at(made, "/log"));
  await provision(made, "/Groups", group("Live"));
  await page.waitForFunction(() => /Create group/.test(document.querySelector("[data-live=log] li").innerText));
  await inspect("log");
});

if (settings.main) {
  await end();
  process.exit();
}

await journey("every provider has a guide of its own", async () => {
  const told = new Set();
  for (const provider of ["Okta", "Microsoft Entra ID", "OneLogin", "JumpCloud", "Google Workspace", "PingOne", "Rippling", "Generic SCIM 2.0"]) {
    await create(provider, provider, `/dashboard/accounts/guides-${run}/new`);
    assert.equal(await text("#guide"), `Set up ${provider}`);
    assert.ok(await page.locator(".steps li").count() >= 4, provider);
    assert.ok(await page.locator("#mapping ~ * tbody tr, [aria-labelledby=mapping] tbody tr").count() >= 4, provider);
    told.add(await text(".steps"));
  }
  assert.equal(told.size, 8);
  await go(`/dashboard/accounts/guides-${run}`);
  await inspect("account");
});

await journey("what is wrong is said beside its field", async () => {
  await go(`/dashboard/accounts/${account}/new`);
  await page.getByRole("radio", { name: "PingOne" }).check();
  await page.getByLabel("Name", { exact: true }).fill("workforce");
  await press("Create connection");
  assert.match(await text("#connectionName-wrong"), /taken/);
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "workforce");
  assert.ok(await page.getByRole("radio", { name: "PingOne" }).isChecked());
  await inspect("new-taken");
  const other = await create("Contractors", "OneLogin", `/dashboard/accounts/${account}/new`);
  await go(at(other));
  await page.getByLabel("Name", { exact: true }).fill("Workforce");
  await press("Rename");
  assert.match(await text("#connectionName-wrong"), /taken/);
  await inspect("rename-taken");
});

await journey("pause refuses writes and resume takes them again", async () => {
  await go(at(made));
  await press("Pause");
  await page.waitForURL("**done=paused");
  assert.equal(await text(".title .status"), "Paused");
  await inspect("connection-paused");
  assert.equal((await provision(made, "/Users", user("late@example.com"))).status, 403);
  await press("Resume");
  await page.waitForURL("**done=resumed");
  assert.equal(await text(".title .status"), "Linked");
});

await journey("a connection is renamed and its token rotated without a gap", async () => {
  await page.getByLabel("Name", { exact: true }).fill("Workforce EU");
  await press("Rename");
  await page.waitForURL("**done=renamed");
  assert.equal(await text("h1"), "Workforce EU");
  await press("Rotate token");
  await page.waitForURL("**/setup");
  const fresh = { ...made, token: await text("#the-token") };
  assert.equal((await provision(made, "/Users", user("gap1@example.com"))).status, 201);
  assert.equal((await provision(fresh, "/Users", user("gap2@example.com"))).status, 201);
  await go(at(made));
  assert.equal(await page.locator(".ask").count(), 2);
  await page.getByText("Revoke…").first().click();
  await inspect("connection-revoke");
  await press("Revoke this token");
  await page.waitForURL("**done=revoked");
  assert.equal(await page.locator(".ask").count(), 1);
  // An edge may know the old token for the staleness it is allowed.
  await page.waitForTimeout(1500);
  assert.equal((await provision(made, "/Users", user("gap3@example.com"))).status, 401);
  assert.equal((await provision(fresh, "/Users", user("gap4@example.com"))).status, 201);
  made = fresh;
});

await journey("roles grant what they say, and no more once they are changed or deleted", async () => {
  const role = `Auditor ${run}`;
  await toggle(true);
  await go("/dashboard/roles");
  await page.getByLabel("Name", { exact: true }).fill(role);
  await press("Create role");
  await page.waitForURL("**done=role");
  await inspect("roles");
  const customer = await visitor();
  const enter = () => enterPortal({ permissions: [], roles: [role], tenantId }, customer);
  await enter();
  assert.equal(await customer.getByRole("link", { name: "New connection" }).count(), 0);
  await page.getByLabel(`${role}: Create and change`).check();
  await submit(`Save ${role}`);
  await enter();
  assert.equal(await customer.getByRole("link", { name: "New connection" }).count(), 1);
  await page.getByRole("link", { name: `Delete… ${role}` }).click();
  await page.waitForURL("**/delete");
  await inspect("role-delete");
  await press("Delete role");
  await page.waitForURL("**done=role-deleted");
  await enter();
  assert.match(await text("main", customer), /does not include provisioning/);
});

await journey("overview and accounts show it all", async () => {
  await go("/dashboard");
  assert.match(await text("[aria-labelledby=activity]"), /Accepted\s+\d+/);
  await inspect("overview");
  const counted = await page.locator("figcaption strong").allInnerTexts();
  for (const [range, bars] of [["7 days", 28], ["30 days", 30]]) {
    await page.getByRole("link", { name: range }).click();
    await page.waitForURL("**range=*");
    assert.equal(await page.locator("figure").first().locator("svg g").count(), bars);
    assert.deepEqual(await page.locator("figcaption strong").allInnerTexts(), counted);
  }
  await inspect("overview-30-days");
  await go("/dashboard/accounts");
  assert.match(await text("tbody"), new RegExp(account));
  await inspect("accounts");
});

await journey("the portal is closed while self-service is off", async () => {
  await toggle(false);
  assert.match(await text("[aria-labelledby=self]"), /Off/);
  const customer = await visitor();
  await go("/portal", customer);
  assert.match(await text("h1", customer), /session has ended/);
  await inspect("portal-ended", customer);
  await customer.route("**/portal/session", async (route) => {
    const response = await route.fetch();
    const { refresh, ...headers } = response.headers();
    assert.match(refresh, /url=.portal$/);
    await route.fulfill({ response, headers });
  });
  await postToken(userToken({ tenantId }), customer);
  await customer.waitForURL("**/portal/session");
  await inspect("portal-entered", customer);
  await customer.unroute("**/portal/session");
  await enterPortal({ tenantId }, customer);
  assert.match(await text("main", customer), /switched off/);
  for (const path of ["/portal", "/portal/new", `/portal/connections/${made.id}`, `/portal/connections/${made.id}/users`]) {
    assert.equal((await go(path, customer)).status(), 403, path);
    // The start is closed too: nothing leads there.
    assert.equal(await customer.locator("main a").count(), 0, path);
  }
  await inspect("portal-off", customer);
  await toggle(true);
  assert.equal((await go("/portal/elsewhere", customer)).status(), 404);
  await customer.getByRole("link", { name: "Back to the start" }).click();
  await customer.waitForURL("**/portal");
  assert.match(await text("h1", customer), /Provisioning/);
});

await journey("each set of permissions shows and allows just what it says", async () => {
  const customer = await visitor();
  const has = async (role, name) => (await customer.getByRole(role, { name }).count()) > 0;
  for (const [read, write, del] of [0, 1, 2, 3, 4, 5, 6, 7].map((set) => [set & 1, set & 2, set & 4].map(Boolean))) {
    const which = `read ${read}, write ${write}, delete ${del}`;
    const permissions = [read && right("read"), write && right("write"), del && right("delete")].filter(Boolean);
    await enterPortal({ permissions, tenantId }, customer);
    if (!read) {
      assert.match(await text("main", customer), /does not include provisioning/, which);
      if (!write && !del) await inspect("portal-denied", customer);
      assert.equal((await go(`/portal/connections/${made.id}`, customer)).status(), 403, which);
      continue;
    }
    assert.equal(await has("link", "New connection"), write, which);
    if (!write && !del) await inspect("portal-read", customer);
    assert.equal((await go("/portal/new", customer)).status(), write ? 200 : 403, which);
    assert.equal((await go(`/portal/connections/${made.id}/delete`, customer)).status(), del ? 200 : 403, which);
    await go(`/portal/connections/${made.id}`, customer);
    assert.equal(await has("button", "Pause"), write, which);
    assert.equal(await has("button", "Rotate token"), write, which);
    assert.equal(await has("link", "Delete…"), del, which);
    if (!write && !del) await inspect("portal-connection-read", customer);
    // Without its button a form can still be sent by hand: it must be refused all the same.
    const proof = await customer.locator("input[name=proof]").first().getAttribute("value").catch(() => "");
    const send = (path, fields) => customer.evaluate(async ([path, fields]) =>
      (await fetch(path, { method: "POST", body: new URLSearchParams(fields), redirect: "manual" })).status, [path, { proof, ...fields }]);
    if (!write) assert.equal(await send(`/portal/connections/${made.id}/pause`, {}), 403, which);
    if (!del) assert.equal(await send(`/portal/connections/${made.id}/delete`, { everything: "true" }), 403, which);
  }
});

await journey("a customer sets up and deletes a connection, and another account never sees it", async () => {
  const customer = await visitor();
  await enterPortal({ tenantId: `new-${run}` }, customer);
  await inspect("portal-empty", customer);
  await enterPortal({ tenantId }, customer);
  await inspect("portal", customer);
  await go("/portal/new", customer);
  await inspect("portal-new", customer);
  const own = await create("Partners", "Microsoft Entra ID", "/portal/new", customer);
  await inspect("portal-setup", customer);
  await provision(own, "/Users", user("eve@example.com"));
  await customer.waitForFunction(() => /have arrived/.test(document.querySelector("[data-live=waiting]").innerText));
  await go(`/portal/connections/${own.id}`, customer);
  await inspect("portal-connection", customer);
  await go(`/portal/connections/${own.id}/users`, customer);
  assert.match(await text("tbody", customer), /eve@example.com/);
  await inspect("portal-users", customer);
  await customer.getByRole("link", { name: "eve@example.com" }).click();
  await customer.waitForURL("**/users/*-*");
  assert.match(await text("#json", customer), /"userName": "eve@example.com"/);
  await go(`/portal/connections/${own.id}/log`, customer);
  assert.match(await text("[data-live=log]", customer), /Create user/);
  await inspect("portal-log", customer);
  const stranger = await visitor();
  await enterPortal({ tenantId: "someone-else" }, stranger);
  const proof = await stranger.evaluate(async () =>
    new DOMParser().parseFromString(await (await fetch("/portal/new")).text(), "text/html").querySelector("[name=proof]").value);
  for (const path of ["", "/setup", "/users", "/groups", "/log", "/delete"]) {
    assert.equal((await go(`/portal/connections/${own.id}${path}`, stranger)).status(), 404, path);
  }
  await inspect("portal-not-found", stranger);
  for (const path of ["pause", "delete", "rename", "tokens"]) {
    const status = await stranger.evaluate(async ([path, proof]) =>
      (await fetch(path, { method: "POST", body: new URLSearchParams({ proof, connectionName: "mine" }), redirect: "manual" })).status, [`/portal/connections/${own.id}/${path}`, proof]);
    assert.equal(status, 404, path);
  }
  await go(`/portal/connections/${own.id}/delete`, customer);
  await inspect("portal-delete", customer);
  await press("Delete connection", customer);
  await customer.waitForURL("**done=deleted");
  assert.equal((await go(`/portal/connections/${own.id}`, customer)).status(), 404);
});

await journey("a session that has ended shows and changes nothing", async () => {
  const customer = await visitor();
  await enterPortal({ tenantId, life: 4 }, customer);
  await go(`/portal/connections/${made.id}`, customer);
  await customer.waitForTimeout(4500);
  await submit("Pause", customer);
  assert.match(await text("h1", customer), /session has ended/);
  await signIn();
  await go(at(made));
  assert.equal(await text(".title .status"), "Linked");
  const lapsed = await visitor();
  await lapsed.context().addCookies([{ name: "session", value: `${"a".repeat(43)}.e30.AAAA`, url: `${front}/dashboard` }]);
  await go(at(made), lapsed);
  assert.match(lapsed.url(), /login\?ended=1$/);
  await inspect("login-ended", lapsed);
});

await journey("sessions are cookies no script reads, forms carry a proof, and the policy is strict", async () => {
  await signIn();
  const cookies = await page.context().cookies(`${front}/dashboard`);
  const session = cookies.find(({ name }) => name === "session");
  assert.ok(session.httpOnly && session.sameSite === "Lax" && session.path === "/dashboard");
  assert.equal(await page.evaluate(() => document.cookie), "");
  const pause = (fields) => page.evaluate(async ([path, fields]) =>
    (await fetch(path, { method: "POST", body: new URLSearchParams(fields) })).status, [at(made, "/pause"), fields]);
  for (const fields of [{}, { proof: "x" }, { proof: "A".repeat(43) }]) assert.equal(await pause(fields), 403);
  const policy = (await go("/dashboard")).headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'; style-src 'self'; script-src 'self'/);
  assert.match(policy, /frame-ancestors 'none'$/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  const attacked = await visitor();
  attacked.removeAllListeners("console");
  await go("/dashboard/login", attacked);
  assert.equal(await attacked.evaluate(() => {
    document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = true" }));
    return window.ran;
  }), undefined);
});

await journey("names from an identity provider are shown as text, whatever they are", async () => {
  const hostile = `"><img src=x onerror="alert(1)"><script>alert(2)</script>{{7*7}}'`;
  const own = await create(hostile, "Okta", `/dashboard/accounts/${encodeURIComponent(`<b>${run}`)}/new`);
  const sent = await provision(own, "/Users", { ...user("mallory@example.com", hostile), userName: hostile, [hostile]: 1 });
  assert.equal(sent.status, 201);
  await provision(own, "/Groups", group(hostile, [sent.body.id]));
  await provision(own, "/Users", { userName: hostile });
  for (const path of ["", "/setup", "/users", `/users/${sent.body.id}`, "/groups", "/log", "/delete", `/users?by=userName&q=${encodeURIComponent(hostile)}`, `/log?resource=${encodeURIComponent(hostile)}`]) {
    await go(at(own, path));
    assert.equal(await page.locator("main img, main script, main b").count(), 0, path);
    assert.ok((await text("h1")).includes(hostile), path);
  }
  await go(at(own, `/users/${sent.body.id}`));
  await inspect("user-hostile");
  for (const path of ["/dashboard", "/dashboard/accounts"]) {
    await go(path);
    assert.equal(await page.locator("main img, main script, main b").count(), 0, path);
  }
});

await journey("everything but live updates and copying works without scripts", async () => {
  const plain = await visitor({ javaScriptEnabled: false });
  await signIn(plain);
  const own = await create("Plain", "Rippling", `/dashboard/accounts/${account}/new`, plain);
  assert.equal(await plain.getByRole("button", { name: "Copy" }).count(), 0);
  await provision(own, "/Users", user("plain@example.com"));
  await go(at(own), plain);
  assert.equal(await text(".title .status", plain), "Linked");
  assert.match(await text(".tiles", plain), /\d{4}-\d\d-\d\d \d\d:\d\d UTC/);
  await go(at(own, "/users"), plain);
  await plain.getByLabel("Text to search for").fill("plain");
  await submit("Search", plain);
  await plain.getByRole("link", { name: "plain@example.com" }).click();
  await plain.waitForURL("**/users/*-*");
  assert.match(await text("#json", plain), /plain@example.com/);
  await go(at(own), plain);
  await submit("Pause", plain);
  assert.equal(await text(".title .status", plain), "Paused");
  await plain.getByRole("link", { name: "Delete…" }).click();
  await plain.waitForURL("**/delete");
  await submit("Delete connection", plain);
  assert.match(await text("[role=status]", plain), /deleted/);
});

await journey("times are those of the viewer's zone", async () => {
  const shown = async (timezoneId) => {
    const there = await visitor({ timezoneId, locale: "en-GB" });
    await signIn(there);
    await go(at(made, "/log"), there);
    const time = there.locator("[data-live=log] time").last();
    const date = new Date(await time.getAttribute("datetime"));
    const expected = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: timezoneId }).format(date);
    assert.equal(await time.innerText(), expected);
    return expected;
  };
  assert.notEqual(await shown("Asia/Tokyo"), await shown("America/Los_Angeles"));
});

await journey("the keyboard reaches everything, and shows where it is", async () => {
  await go("/dashboard");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  const unseen = [];
  for (let n = 0; n < 12; n += 1) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => ({ what: document.activeElement.outerHTML.slice(0, 80), ring: getComputedStyle(document.activeElement).outlineStyle }));
    if (focus.what.startsWith("<body")) break;
    if (focus.ring === "none") unseen.push(focus.what);
  }
  assert.equal(unseen.join(", "), "");
});

await embedded({ tenantId });

await journey("deletion without users leaves residue that the vendor removes", async () => {
  await signIn();
  const kept = await create("Kept", "JumpCloud", `/dashboard/accounts/${account}/new`);
  await provision(kept, "/Users", user("kept@example.com"));
  await go(at(kept, "/delete"));
  assert.ok(await page.getByRole("checkbox", { name: "Remove users and groups" }).isChecked());
  assert.match(await text("main form"), /1 user and 0 groups/);
  await page.getByRole("checkbox").uncheck();
  await press("Delete connection");
  await page.waitForURL("**done=deleted");
  await page.waitForTimeout(1500);
  assert.equal((await provision(kept, "/Users", user("x@example.com"))).status, 401);
  await go("/dashboard/residue");
  assert.match(await text("tbody"), /Kept/);
  await inspect("deleted");
  await page.getByRole("link", { name: "Clean up… Kept" }).click();
  await page.waitForURL(`**/residue/${kept.id}`);
  await inspect("deleted-remove");
  await press("Remove users and groups");
  await page.waitForURL("**done=removed");
  await page.waitForFunction(() => !/Kept/.test(document.querySelector("main").innerText));
});

await journey("deletion with users removes everything", async () => {
  await go(at(made, "/delete"));
  await inspect("delete");
  await press("Delete connection");
  await page.waitForURL("**done=deleted");
  await page.waitForTimeout(1500);
  assert.equal((await provision(made, "/Users", user("y@example.com"))).status, 401);
  assert.equal((await go(at(made))).status(), 404);
  await inspect("not-found");
  await go("/dashboard/residue");
  assert.doesNotMatch(await text("main"), /Workforce EU/);
});

await journey("no address holds a secret", async () => {
  const secrets = [made.token, secret, settings.jwtSecret, userToken({ tenantId }).split(".")[0], "scim_"];
  const leaky = [...asked].filter((url) => secrets.some((text) => url.includes(text)));
  assert.ok(asked.size > 50, `${asked.size} addresses`);
  assert.deepEqual(leaky, []);
});

await end();
