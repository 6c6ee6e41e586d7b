// The portal in a frame of the vendor's application, which is another site.

import assert from "node:assert/strict";
import { createServer } from "node:http";

import { front, inspect, journey, settings, userToken, visitor } from "./harness.mjs";

/** A page of the vendor's application: it posts the user's token into the frame. */
const application = (token) => `${around()}<form method="post" action="${front}/portal/session" target="provisioning"><input type="hidden" name="token" value="${token}"></form>
<script>document.forms[0].submit()</script></main></html>`;

/** A page with a frame. */
const around = (source = "about:blank") => `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Application</title>
<style>iframe { width: 100%; height: 700px; box-sizing: border-box }</style><main>
<h1>Settings</h1><iframe name="provisioning" title="Provisioning" src="${source}"></iframe>`;

async function serve(port, page) {
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(page));
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

export async function embedded({ tenantId }) {
  const page = await visitor();
  page.removeAllListeners("request");
  await journey("the portal works in a frame of a configured origin", async () => {
    const server = await serve(settings.embedder, application(userToken({ tenantId })));
    await page.goto(`http://localhost:${settings.embedder}/`);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("heading", { name: "Provisioning" }).waitFor();
    await frame.getByRole("link", { name: "New connection" }).click();
    await frame.getByLabel("Name", { exact: true }).fill(`Framed ${Date.now()}`);
    await frame.getByRole("button", { name: "Create connection" }).click();
    await frame.locator("#the-token").waitFor();
    await inspect("portal-framed", page);
    server.close();
  });
  await journey("no other origin may show or open it", async () => {
    const server = await serve(0, application(userToken({ tenantId })));
    const blocked = await visitor();
    blocked.removeAllListeners("request");
    blocked.removeAllListeners("console");
    const answered = blocked.waitForResponse((response) => response.url().endsWith("/portal/session"));
    await blocked.goto(`http://localhost:${server.address().port}/`);
    assert.equal((await answered).status(), 403);
    assert.equal(await blocked.frameLocator("iframe").locator("main").count(), 0);
    server.close();
    for (const path of ["/portal", "/portal/new", "/dashboard/login"]) {
      const framing = await serve(0, around(front + path));
      const answered = blocked.waitForResponse((response) => response.url().endsWith(path));
      await blocked.goto(`http://localhost:${framing.address().port}/`);
      assert.match((await answered).headers()["content-security-policy"], /frame-ancestors (?!.*\*)/, path);
      assert.equal(await blocked.frameLocator("iframe").locator("main").count(), 0, path);
      framing.close();
    }
  });
}
