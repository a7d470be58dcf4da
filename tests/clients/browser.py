"""A browser without a window for the Python client: keeps cookies, follows redirects, posts the first form of a page
with its hidden fields, the user's name where a text field asks for it, and the approving button where there is one."""

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser


class _FirstForm(HTMLParser):
    def __init__(self, user: str):
        super().__init__()
        self.user = user
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attributes.get("action") or ""
            self._inside = True
        elif self._inside and tag in ("input", "button") and attributes.get("name"):
            kind = attributes.get("type") or ("submit" if tag == "button" else "text")
            name, value = attributes["name"], attributes.get("value") or ""
            if kind == "text":
                self.fields[name] = self.user
            elif kind == "submit":
                if value == "approve":
                    self.fields[name] = value
            elif kind != "checkbox" or "checked" in attributes:
                self.fields[name] = value

    def handle_endtag(self, tag):
        if tag == "form":
            self._inside = False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def log_in(authorization_url: str, redirect_uri: str, user: str) -> dict[str, str]:
    """Logs in as `user`; gives back the parameters that were sent to `redirect_uri`."""
    jar = http.cookiejar.CookieJar()
    direct = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(direct, _NoRedirect, urllib.request.HTTPCookieProcessor(jar))
    url, body = authorization_url, None
    for _ in range(30):
        parts = urllib.parse.urlsplit(url)
        if urllib.parse.urlunsplit((*parts[:3], "", "")) == redirect_uri:
            return dict(urllib.parse.parse_qsl(parts.query))
        if parts.hostname not in ("127.0.0.1", "localhost"):
            raise RuntimeError(f"led away from this machine: {url}")
        headers = {"Accept": "text/html"}
        if body is not None:
            headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        try:
            with opener.open(urllib.request.Request(url, body, headers), timeout=30) as response:
                form = _FirstForm(user)
                form.feed(response.read().decode())
        except urllib.error.HTTPError as error:
            if "Location" not in error.headers or not 300 <= error.code < 400:
                raise RuntimeError(f"{error.code} at {url}: {error.read().decode()[:500]}") from error
            url, body = urllib.parse.urljoin(url, error.headers["Location"]), None
            continue
        if form.action is None:
            raise RuntimeError(f"no form at {url}")
        url, body = urllib.parse.urljoin(url, form.action), urllib.parse.urlencode(form.fields).encode()
    raise RuntimeError(f"still not at {redirect_uri}, but at {url}")
