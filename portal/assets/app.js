// Small helps on top of pages that work without: times in the viewer's zone, copy buttons, live regions.

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(date) {
  const seconds = (date - Date.now()) / 1000;
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", Infinity];
  return relative.format(Math.round(seconds / length), unit);
}

function showTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const recent = Math.abs(Date.now() - date) < 6 * 86400e3;
    element.textContent = element.closest(".when") ? exact.format(date) : recent ? ago(date) : absolute.format(date);
    element.title = zoned.format(date);
  }
  for (const bar of root.querySelectorAll("[data-at]")) {
    const title = bar.querySelector("title");
    title.textContent = title.textContent.replace(bar.dataset.at, absolute.format(new Date(bar.dataset.at)));
  }
}

const offerCopies = (root) => root.querySelectorAll("button[data-copy]").forEach((button) => { button.hidden = false; });

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.innerHTML;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Without the right to write, the text is at least selected.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.innerHTML = label; }, 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button && !button.disabled) copy(button);
});

const regions = [...document.querySelectorAll("[data-live]")];

async function refresh() {
  const response = await fetch(location.href, { headers: { "x-live": "1" } });
  // The session has ended, or what the page is about has gone: the page as a whole says so.
  if (response.redirected || [401, 403, 404].includes(response.status)) return location.reload();
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  showTimes(fresh);
  offerCopies(fresh);
  for (const region of regions) {
    const now = fresh.querySelector(`[data-live="${region.dataset.live}"]`);
    const busy = region.contains(document.activeElement);
    if (now && !busy && now.innerHTML !== region.innerHTML) region.innerHTML = now.innerHTML;
  }
}

showTimes(document);
offerCopies(document);
document.querySelectorAll("[data-following]").forEach((element) => { element.hidden = false; });
const every = Math.min(...regions.map((region) => Number(region.dataset.every) || Infinity));
if (Number.isFinite(every)) {
  const turn = async () => {
    if (!document.hidden) await refresh().catch(() => {});
    setTimeout(turn, every * 1000);
  };
  setTimeout(turn, every * 1000);
}
