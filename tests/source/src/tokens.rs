//! The names in a file's code, whatever its syntax: identifiers and cargo features. Comments and
//! strings are not code.

use std::str::FromStr;

use proc_macro2::{Spacing, TokenStream, TokenTree};

use crate::files::Files;

/// Where code names one of `words`: `path:line names word`.
///
/// # Errors
///
/// The file that is not Rust.
pub fn named(files: &Files, words: &[&str]) -> Result<Vec<String>, String> {
    named_where(files, |name| words.contains(&name))
}

/// Where code has a name that begins with one of `prefixes`: `path:line names word`.
///
/// # Errors
///
/// The file that is not Rust.
pub fn named_with_prefix(files: &Files, prefixes: &[&str]) -> Result<Vec<String>, String> {
    named_where(files, |name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

/// Where code depends on a cargo feature that is not in `allowed`: `path:line asks for a feature`.
///
/// # Errors
///
/// The file that is not Rust.
pub fn features(files: &Files, allowed: &[&str]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for (path, tokens) in tokens_of(files)? {
        each(tokens, &mut |before, token| {
            let [.., TokenTree::Ident(key), TokenTree::Punct(equals)] = before else { return };
            let TokenTree::Literal(literal) = token else { return };
            let name = literal.to_string();
            let is_one = key == "feature" && equals.as_char() == '=' && equals.spacing() == Spacing::Alone;
            if is_one && !allowed.contains(&name.trim_matches('"')) {
                found.push(format!("{path}:{} asks for the feature {name}", literal.span().start().line));
            }
        });
    }
    Ok(found)
}

fn named_where(files: &Files, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for (path, tokens) in tokens_of(files)? {
        each(tokens, &mut |_, token| {
            if let TokenTree::Ident(ident) = token
                && wanted(&ident.to_string())
            {
                found.push(format!("{path}:{} names {ident}", ident.span().start().line));
            }
        });
    }
    Ok(found)
}

fn tokens_of(files: &Files) -> Result<Vec<(&str, TokenStream)>, String> {
    let read = |(path, text)| {
        let tokens = TokenStream::from_str(text).map_err(|error| format!("{path}: {error}"))?;
        Ok((path, tokens))
    };
    files.iter().filter(|(path, _)| path.ends_with(".rs")).map(read).collect()
}

/// Calls `look` with every token and those before it in its group.
fn each(tokens: TokenStream, look: &mut impl FnMut(&[TokenTree], &TokenTree)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        look(tokens.get(..index).unwrap_or_default(), token);
        if let TokenTree::Group(group) = token {
            each(group.stream(), look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_code_and_macros_but_not_in_comments_and_strings() {
        let code = "/// proxy_wasm\nuse proxy_wasm::types;\n// proxy_wasm\nfn f() { g(\"proxy_wasm\"); }\nm!(a, [proxy_wasm]);";
        let files = Files::from([("a.rs", code), ("b.toml", "proxy_wasm")]);
        assert_eq!(named(&files, &["proxy_wasm"]).unwrap(), ["a.rs:2 names proxy_wasm", "a.rs:5 names proxy_wasm"]);
        let files = Files::from([("a.rs", "const MOST_TRIES: u8 = ALMOST_NONE;")]);
        assert_eq!(named_with_prefix(&files, &["MOST_"]).unwrap(), ["a.rs:1 names MOST_TRIES"]);
        let files = Files::from([("a.rs", "fn f() {}\nunsafe fn g() { h(\"unsafe\"); }")]);
        assert_eq!(named(&files, &["unsafe"]).unwrap(), ["a.rs:2 names unsafe"]);
        assert!(named(&Files::from([("a.rs", "fn f() {")]), &["f"]).is_err());
    }

    #[test]
    fn features_outside_the_list_are_found() {
        let code = "#[cfg_attr(feature = \"schema\", derive(A))]\n#[cfg(all(unix, feature = \"fakes\"))]\n\
                    #[cfg(target_feature = \"simd128\")]\nfn f() { cfg!(feature = \"store-suite\"); }";
        let expected = ["a.rs:2 asks for the feature \"fakes\"", "a.rs:4 asks for the feature \"store-suite\""];
        assert_eq!(features(&Files::from([("a.rs", code)]), &["schema"]).unwrap(), expected);
    }
}
