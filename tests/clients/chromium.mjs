// A real Chromium with one profile, and a tab for each login: all begin together.
//
//   node chromium.mjs <chromium> <profile folder> <user> <redirect URI> <authorization URL>...
//
// All pages are there before the first is approved, and all are approved before the first user
// signs in at the provider. Prints one line of JSON at each of these points and at the end, with
// the profile's cookies ({"step":…,"cookies":[{"name":…,"bytes":…}]}); the clients' callbacks go to
// whatever listens at the redirect URI. Exits non-zero when a tab stays behind.

import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

const [program, profile, user, redirectUri, ...urls] = process.argv.slice(2);
const child = spawn(
  program,
  // Tests run as root in containers, where the sandbox cannot.
  ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--renderer-process-limit=2", `--user-data-dir=${profile}`, "--remote-debugging-pipe"],
  { stdio: ["ignore", "ignore", "inherit", "pipe", "pipe"] },
);
const ended = new Promise((resolve) => child.on("exit", resolve));
const [, , , commands, answers] = child.stdio;
const waiting = new Map();
let lastId = 0;
let rest = "";
answers.setEncoding("utf8").on("data", (piece) => {
  const messages = (rest + piece).split("\0");
  rest = messages.pop();
  for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    error ? reject?.(new Error(error.message)) : resolve?.(result);
  }
});

/** Sends a command of the DevTools protocol. */
function send(method, params = {}, sessionId = undefined) {
  const id = ++lastId;
  commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

/** Opens a tab; all tabs are of one profile. */
async function open() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  return (await send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
}

/** Evaluates an expression in a tab, again and again while pages change, until it is true. */
async function until(tab, expression) {
  let shown;
  for (const patience = Date.now() + 30_000; Date.now() < patience; await sleep(50)) {
    const page = `({ held: ${expression}, shown: location.href.slice(0, 200) + " " + document.body?.innerText.slice(0, 500) })`;
    const { value } = (await send("Runtime.evaluate", { expression: page, returnByValue: true }, tab)
      .catch(() => ({ result: {} }))).result;
    if (value?.held) return;
    shown = value?.shown ?? shown;
  }
  throw new Error(`a tab stays behind: not ${expression}, but at ${shown}`);
}

async function tell(step) {
  const { cookies } = await send("Storage.getCookies");
  const told = cookies.map(({ name, value }) => ({ name, bytes: value.length }));
  process.stdout.write(`${JSON.stringify({ step, cookies: told })}\n`);
}

const approve = `document.querySelector("button[name=decision][value=approve]")`;
const name = `document.querySelector("input[name=login]")`;
const all = (action) => Promise.all(tabs.map(action));
const evaluate = (tab, expression) => send("Runtime.evaluate", { expression }, tab);

const tabs = await Promise.all(urls.map(open));
try {
  await all((tab, number) => send("Page.navigate", { url: urls[number] }, tab));
  await all((tab) => until(tab, `document.readyState === "complete" && ${approve} !== null`));
  await tell("pages");
  await all((tab) => evaluate(tab, `${approve}.click()`));
  await all((tab) => until(tab, `document.readyState === "complete" && ${name} !== null`));
  await tell("approved");
  await all((tab) => evaluate(tab, `${name}.value = ${JSON.stringify(user)}; ${name}.form.requestSubmit()`));
  await all((tab) => until(tab, `location.href.startsWith(${JSON.stringify(`${redirectUri}?`)})`));
  await tell("done");
} finally {
  await send("Browser.close").catch(() => {});
  await ended;
}
