// Small helps on top of pages that work without: local times, copy buttons, live regions.

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

function ago(date) {
  const seconds = (date - Date.now()) / 1000;
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return relative.format(0, "second");
}

function showTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    if (element.closest(".when")) element.textContent = exact.format(date);
    else element.textContent = Date.now() - date < 6 * 86400e3 ? ago(date) : absolute.format(date);
    element.title = absolute.format(date);
  }
}

function offerCopies(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const label = button.innerHTML;
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.innerHTML = label; }, 2000);
    });
  }
}

async function refresh() {
  const regions = [...document.querySelectorAll("[data-live]")];
  if (document.hidden || regions.some((region) => region.contains(document.activeElement))) return;
  const response = await fetch(location.href, { headers: { "x-live": "1" } });
  if (response.redirected || !response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  showTimes(fresh);
  for (const region of regions) {
    const now = fresh.querySelector(`[data-live="${region.dataset.live}"]`);
    if (now && now.innerHTML !== region.innerHTML) region.innerHTML = now.innerHTML;
  }
}

showTimes(document);
offerCopies(document);
if (document.querySelector("[data-live]")) {
  const turn = () => refresh().catch(() => {}).finally(() => setTimeout(turn, 2500));
  setTimeout(turn, 2500);
}
