//! What is at hand while a gateway's configuration is made.

use crate::migrate::clusters::Clusters;
use crate::migrate::document::{Members, Value};
use crate::migrate::durations;
use crate::migrate::environment::{Environment, Process};
use crate::migrate::field::Field;
use crate::migrate::objects::{Kind, Objects};
use crate::migrate::report::Report;

/// The files' resources, and what a gateway needs besides its configuration.
pub(crate) struct Work<'a, 'w> {
    pub(crate) objects: &'w Objects<'a>,
    pub(crate) report: &'w mut Report,
    pub(crate) clusters: Clusters,
    pub(crate) environment: Environment,
}

impl<'a, 'w> Work<'a, 'w> {
    pub(crate) fn new(objects: &'w Objects<'a>, report: &'w mut Report) -> Self {
        Self { objects, report, clusters: Clusters::default(), environment: Environment::default() }
    }

    /// A field that is text, carried over.
    pub(crate) fn text(&mut self, from: &Field<'a>, name: &str, target: &str) -> Option<String> {
        let field = from.get(name)?;
        match field.text() {
            Some(text) => {
                self.report.carried(&field, target);
                Some(text.to_owned())
            }
            None => self.not(&field, "text"),
        }
    }

    /// A field that is a list of texts, carried over.
    pub(crate) fn texts(&mut self, from: &Field<'a>, name: &str, target: &str) -> Option<Vec<String>> {
        let field = from.get(name)?;
        let texts: Option<Vec<String>> = field.items().iter().map(|item| item.text().map(str::to_owned)).collect();
        match texts {
            Some(texts) if !texts.is_empty() => {
                self.report.carried(&field, target);
                Some(texts)
            }
            Some(_) => {
                self.report.cover(&field);
                None
            }
            None => self.not(&field, "a list of text"),
        }
    }

    /// A field that is a map of texts, carried over.
    pub(crate) fn map(&mut self, from: &Field<'a>, name: &str, target: &str) -> Option<Members> {
        let field = from.get(name)?;
        let member = |(name, value): (&str, Field<'a>)| Some((name.to_owned(), Value::from(value.text()?)));
        match field.members().into_iter().map(member).collect::<Option<Members>>() {
            Some(members) => {
                self.report.carried(&field, target);
                Some(members)
            }
            None => self.not(&field, "a map of text"),
        }
    }

    /// A field that is a duration, carried over.
    pub(crate) fn duration(&mut self, from: &Field<'a>, name: &str, target: &str) -> Option<String> {
        let field = from.get(name)?;
        match field.text().and_then(durations::converted) {
            Some(duration) => {
                self.report.carried(&field, target);
                Some(duration)
            }
            None => {
                self.report.left(&field, "must be a duration of whole seconds, such as `1h`");
                None
            }
        }
    }

    /// A field that is `true` or `false`.
    pub(crate) fn flag(&mut self, from: &Field<'a>, name: &str) -> Option<bool> {
        let field = from.get(name)?;
        self.report.cover(&field);
        match field.flag() {
            Some(flag) => Some(flag),
            None => self.not(&field, "`true` or `false`"),
        }
    }

    /// A field that must have one of these texts, and what each stands for.
    pub(crate) fn one_of(&mut self, from: &Field<'a>, name: &str, target: &str, of: &[(&str, &str)]) -> Option<String> {
        let field = from.get(name)?;
        let known = field.text().and_then(|text| of.iter().find(|(known, _)| *known == text));
        match known {
            Some((_, ours)) => {
                self.report.carried(&field, target);
                Some((*ours).to_owned())
            }
            None => {
                let known: Vec<String> = of.iter().map(|(known, _)| format!("`{known}`")).collect();
                self.not(&field, &format!("one of {}", known.join(", ")))
            }
        }
    }

    /// The key of a Secret that the field names, as a variable of Envoy; in runtime files a file or
    /// a variable of the same name.
    pub(crate) fn secret(
        &mut self,
        from: &Field<'a>,
        name: &str,
        namespace: &str,
        preferred: &str,
        target: &str,
    ) -> Option<Value> {
        if let Some(reference) = from.get(&format!("{name}SecretRef")).or_else(|| from.get(&format!("{name}Ref"))) {
            return self.secret_key(&reference, namespace, preferred, target, Process::Envoy);
        }
        self.runtime_secret(from, name, preferred, target, Process::Envoy)
    }

    /// A secret of a runtime file, as a variable.
    pub(crate) fn runtime_secret(
        &mut self,
        from: &Field<'a>,
        name: &str,
        preferred: &str,
        target: &str,
        of: Process,
    ) -> Option<Value> {
        if let Some(file) = from.get(&format!("{name}File")) {
            let Some(path) = file.text() else { return self.not(&file, "text") };
            return Some(self.variable(&file, &format!("the content of `{path}`"), preferred, target, of));
        }
        let variable = from.get(&format!("{name}EnvVar"))?;
        let Some(known) = variable.text() else { return self.not(&variable, "text") };
        Some(self.variable(&variable, &format!("the variable `{known}` that ToolHive reads"), known, target, of))
    }

    /// The key of a Secret, by a reference with `name` and `key`, as a variable.
    pub(crate) fn secret_key(
        &mut self,
        reference: &Field<'a>,
        namespace: &str,
        preferred: &str,
        target: &str,
        of: Process,
    ) -> Option<Value> {
        let source = self.key_of(reference, namespace)?;
        Some(self.variable(reference, &source, preferred, target, of))
    }

    /// Says which key of which Secret a reference means. One that is in the files must have it.
    pub(crate) fn key_of(&mut self, reference: &Field<'a>, namespace: &str) -> Option<String> {
        let (Some(name), Some(key)) = (reference.text_of("name"), reference.text_of("key")) else {
            self.report.refuse(reference, "must have the `name` of a Secret and a `key`");
            return None;
        };
        if let Some(secret) = self.objects.find(Kind::Secret, namespace, name) {
            let parts = ["data", "stringData"].into_iter().filter_map(|part| secret.root.get(part));
            // Their values are not looked at.
            let has_key = parts.flat_map(|part| part.members()).any(|(name, _)| name == key);
            if !has_key {
                self.report.refuse(reference, format!("the Secret `{namespace}/{name}` has no key `{key}`"));
                return None;
            }
        }
        Some(format!("key `{key}` of the Secret `{namespace}/{name}`"))
    }

    /// Reports a field that is not of its type.
    pub(crate) fn not<T>(&mut self, field: &Field<'a>, what: &str) -> Option<T> {
        self.report.refuse(field, format!("must be {what}"));
        None
    }

    /// Reports fields that are not carried over, where they are there and not `false`.
    pub(crate) fn leave(&mut self, from: &Field<'a>, fields: &[(&str, &str)]) {
        for (name, why) in fields {
            if let Some(field) = from.get(name).filter(|field| !is_off(field)) {
                self.report.left(&field, why);
            }
        }
    }

    /// Reports fields that are not needed, where they are there.
    pub(crate) fn need_not(&mut self, from: &Field<'a>, fields: &[(&str, &str)]) {
        for (name, why) in fields {
            if let Some(field) = from.get(name).filter(|field| !is_off(field)) {
                self.report.note(&field, format!("not needed: {why}"));
            }
        }
    }

    /// A variable, and what to set it to.
    pub(crate) fn variable(
        &mut self,
        field: &Field<'a>,
        source: &str,
        preferred: &str,
        target: &str,
        of: Process,
    ) -> Value {
        let name = self.environment.variable(preferred, source, of);
        self.report.note(field, format!("carried over to `{target}`: set {name} to {source}"));
        Members::new().with("env", name).into()
    }
}

fn is_off(field: &Field<'_>) -> bool {
    use crate::check::node::Content;
    match &field.node.content {
        Content::Null | Content::Bool(false) => true,
        Content::List(items) => items.is_empty(),
        Content::Map(_) | Content::Bool(true) | Content::Number(_) | Content::String(_) => false,
    }
}
