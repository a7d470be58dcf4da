//! Forms in HTML, read well enough for the pages of the gateway and of the identity provider.

use url::Url;

/// A form of a page.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where it goes.
    pub action: Url,
    /// Whether it is posted.
    pub is_post: bool,
    /// The fields that will be sent, hidden ones included.
    pub fields: Vec<(String, String)>,
    /// The names of the fields that the user writes in.
    pub text_fields: Vec<String>,
    /// The buttons that send a name and a value.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// Sets a field, or adds it.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.fields.iter_mut().find(|(held, _)| held == name) {
            Some((_, held)) => value.clone_into(held),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Leaves a field out.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(held, _)| held != name);
    }

    /// Sends it with this button.
    pub fn press(&mut self, name: &str, value: &str) {
        self.set(name, value);
    }

    /// The value of a field.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

/// The forms of a document at this address, in order.
pub(super) fn forms(document: &str, at: &Url) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for tag in tags(document) {
        match (tag.name.as_str(), open) {
            ("form", _) => {
                open = true;
                let action = tag.attribute("action").unwrap_or_default();
                forms.push(Form {
                    action: at.join(&action).unwrap_or_else(|error| panic!("a form goes to {action:?}: {error}")),
                    is_post: tag.attribute("method").is_some_and(|method| method.eq_ignore_ascii_case("post")),
                    fields: Vec::new(),
                    text_fields: Vec::new(),
                    buttons: Vec::new(),
                });
            }
            ("/form", _) => open = false,
            ("input" | "button", true) => {
                if let Some(form) = forms.last_mut() {
                    add_control(form, &tag);
                }
            }
            _ => {}
        }
    }
    forms
}

fn add_control(form: &mut Form, tag: &Tag) {
    let Some(name) = tag.attribute("name") else { return };
    let value = tag.attribute("value").unwrap_or_default();
    let kind = tag.attribute("type").unwrap_or_default();
    match (tag.name.as_str(), kind.as_str()) {
        ("button", _) | (_, "submit") => form.buttons.push((name, value)),
        (_, "checkbox" | "radio") if tag.attribute("checked").is_none() => {}
        (_, "hidden" | "checkbox" | "radio") => form.fields.push((name, value)),
        _ => {
            form.text_fields.push(name.clone());
            form.fields.push((name, value));
        }
    }
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(held, _)| held == name).map(|(_, value)| value.clone())
    }
}

fn tags(document: &str) -> impl Iterator<Item = Tag> {
    let mut rest = document;
    std::iter::from_fn(move || {
        let start = rest.find('<')?;
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            return Some(Tag { name: String::new(), attributes: Vec::new() });
        }
        let end = rest.find(|letter: char| letter.is_whitespace() || letter == '>').unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '/');
            if rest.is_empty() {
                break;
            }
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let end = rest.find(|letter: char| letter.is_whitespace() || "=>".contains(letter)).unwrap_or(rest.len());
            let attribute = rest[..end].to_ascii_lowercase();
            rest = rest[end..].trim_start();
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start();
                (value, rest) = match after.chars().next() {
                    Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                    _ => after.split_at(
                        after.find(|letter: char| letter.is_whitespace() || letter == '>').unwrap_or(after.len()),
                    ),
                };
            }
            attributes.push((attribute, unescape(value)));
        }
        Some(Tag { name, attributes })
    })
}

/// Resolves the character references that pages here use.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let known = rest.find(';').and_then(|end| Some((character(&rest[1..end])?, end + 1)));
        let (letter, length) = known.unwrap_or(('&', 1));
        out.push(letter);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

fn character(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_with_its_fields_and_buttons() {
        let at = Url::parse("http://127.0.0.1:1/oauth/authorize?x=1").unwrap();
        let page = r#"<!-- <form> --><FORM METHOD=POST action='/oauth/consent?a=1&amp;b=2'>
            <input type="hidden" name="t" value="&#60;&quot;>"/><input name=who required>
            <button name="decision" value="approve">Yes</button></form><input name="outside">"#;
        let forms = forms(page, &at);
        assert_eq!(forms.len(), 1);
        assert_eq!(forms[0].action.as_str(), "http://127.0.0.1:1/oauth/consent?a=1&b=2");
        assert!(forms[0].is_post);
        assert_eq!(forms[0].value("t"), Some("<\">"));
        assert_eq!(forms[0].text_fields, ["who"]);
        assert_eq!(forms[0].buttons, [("decision".to_owned(), "approve".to_owned())]);
        assert_eq!(forms[0].fields.len(), 2);
    }
}
