// A browser without a window for the JavaScript clients: keeps cookies, follows redirects, posts
// the first form of a page with its hidden fields, the user's name where a text field asks for it,
// and the approving button where there is one.

/** Logs in as `user` from an authorization URL; gives back the URL that leads to `redirectUri`. */
export async function logIn(authorizationUrl, redirectUri, user) {
  const jar = new Map();
  let url = new URL(authorizationUrl);
  let form;
  for (let hop = 0; hop < 30; hop++) {
    if (url.origin + url.pathname === redirectUri) return url;
    if (url.hostname !== "127.0.0.1" && url.hostname !== "localhost") throw new Error(`led away from this machine: ${url}`);
    const response = await fetch(url, {
      method: form ? "POST" : "GET",
      redirect: "manual",
      headers: { accept: "text/html", cookie: cookiesFor(jar, url), ...(form && { origin: url.origin }) },
      body: form,
    });
    for (const cookie of response.headers.getSetCookie()) keep(jar, cookie, url);
    const location = response.headers.get("location");
    if (location && response.status >= 300 && response.status < 400) {
      [url, form] = [new URL(location, url), undefined];
      continue;
    }
    const page = await response.text();
    [url, form] = fillIn(page, url, user);
  }
  throw new Error(`still not at ${redirectUri}, but at ${url}`);
}

function fillIn(page, url, user) {
  const [, tag, inside] = page.match(/<form\b([^>]*)>([\s\S]*?)<\/form>/i) ?? [];
  if (tag === undefined) throw new Error(`no form at ${url}: ${page.slice(0, 500)}`);
  const fields = new URLSearchParams();
  for (const [, kind, text] of inside.matchAll(/<(input|button)\b([^>]*)>/gi)) {
    const name = attribute(text, "name");
    const value = attribute(text, "value") ?? "";
    const type = attribute(text, "type") ?? (kind === "button" ? "submit" : "text");
    if (name === undefined) continue;
    if (type === "text") fields.set(name, user);
    else if (type === "submit") value === "approve" && fields.set(name, value);
    else if (type !== "checkbox" || /\schecked\b/i.test(text)) fields.set(name, value);
  }
  return [new URL(attribute(tag, "action") ?? "", url), fields];
}

function attribute(text, name) {
  const found = text.match(new RegExp(`(?:^|\\s)${name}\\s*=\\s*("([^"]*)"|'([^']*)'|[^\\s>]+)`, "i"));
  if (!found) return undefined;
  const named = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  const resolve = (whole, reference) => {
    if (reference in named) return named[reference];
    const code = /^#x/i.test(reference) ? parseInt(reference.slice(2), 16) : parseInt(reference.slice(1), 10);
    return Number.isNaN(code) ? whole : String.fromCodePoint(code);
  };
  return (found[2] ?? found[3] ?? found[1]).replace(/&(#?\w+);/g, resolve);
}

function keep(jar, field, url) {
  const [pair, ...attributes] = field.split(";").map((part) => part.trim());
  const name = pair.slice(0, pair.indexOf("="));
  const find = (wanted) => attributes.find((held) => held.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
  const path = find("path") ?? "/";
  const key = `${url.hostname} ${path} ${name}`;
  const isOver = Number(find("max-age") ?? 1) <= 0 || Date.parse(find("expires") ?? "9999-01-01") < Date.now();
  if (isOver) jar.delete(key);
  else jar.set(key, { pair, path, host: url.hostname });
}

function cookiesFor(jar, url) {
  const fits = ({ host, path }) =>
    host === url.hostname && (url.pathname === path || url.pathname.startsWith(path.endsWith("/") ? path : `${path}/`));
  return [...jar.values()].filter(fits).map(({ pair }) => pair).join("; ");
}
