//! Text from records on a terminal. Names and addresses in records were chosen by strangers: none
//! of their letters may move the cursor, change a colour or turn the reading direction.

use serde_json::Value;

/// Returns text with everything escaped that a terminal could obey: control characters (C0, DEL and
/// C1), and the invisible ones that turn or hide the text around them.
pub(crate) fn plain(text: &str) -> String {
    let spelt = |letter: char| letter.escape_unicode().to_string();
    text.chars().map(|letter| if is_harmful(letter) { spelt(letter) } else { letter.to_string() }).collect()
}

/// Returns the same for a JSON document, with JSON's own escapes: outside of strings it has no such
/// letters.
pub(crate) fn json(value: &Value) -> String {
    let mut units = [0; 2];
    let mut spelt = |letter: char| -> String {
        letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    };
    let document = value.to_string();
    document.chars().map(|letter| if is_harmful(letter) { spelt(letter) } else { letter.to_string() }).collect()
}

pub(crate) fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(letter, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
