//! The environment variables that stand for keys of Secrets.

/// The variables, in the order in which they were first needed.
#[derive(Debug, Default)]
pub(crate) struct Environment(Vec<Variable>);

#[derive(Debug)]
struct Variable {
    name: String,
    source: String,
    of: Process,
}

/// The process that reads a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Envoy,
    Bridge,
}

impl Environment {
    /// Returns the variable for a source: `preferred`, with a number where that stands for another
    /// one.
    pub(crate) fn variable(&mut self, preferred: &str, source: &str, of: Process) -> String {
        let preferred = upper(preferred);
        let mut number: usize = 1;
        loop {
            let name = if number == 1 { preferred.clone() } else { format!("{preferred}_{number}") };
            match self.0.iter().find(|known| known.name == name && known.of == of) {
                Some(known) if known.source == source => return name,
                Some(_) => number = number.saturating_add(1),
                None => {
                    self.0.push(Variable { name: name.clone(), source: source.to_owned(), of });
                    return name;
                }
            }
        }
    }

    /// `NAME: source` of each variable that a process reads.
    pub(crate) fn listed(&self, of: Process) -> Vec<String> {
        let variables = self.0.iter().filter(|variable| variable.of == of);
        variables.map(|Variable { name, source, .. }| format!("{name}: {source}")).collect()
    }
}

/// A name as variables have it.
fn upper(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(letter).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}
