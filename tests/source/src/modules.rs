//! A crate's modules: what each declares and re-exports, and which paths its code names. Parts that
//! are only compiled for tests (`#[cfg(test)]`, `*_tests.rs`) are left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{LineColumn, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Ident, Item, ItemUse, Path, UseTree, Visibility};

use crate::files::Files;

/// The modules of one crate; the first is its root.
#[derive(Debug)]
pub struct Modules(Vec<Module>);

/// One module.
#[derive(Debug, Default)]
pub struct Module {
    /// The file it is written in, relative to the crate's `src`. Modules with a body are written in
    /// the file around them.
    pub file: String,
    /// The names of the modules on the way from the root, itself included.
    pub path: Vec<String>,
    /// The module around it; the root has none.
    pub parent: Option<usize>,
    /// The modules declared in it, by name.
    pub children: BTreeMap<String, usize>,
    /// The names of the items declared in it.
    pub items: BTreeSet<String>,
    /// What its `use` declarations bring into scope, by the name they give it.
    pub aliases: BTreeMap<String, Vec<Vec<String>>>,
    /// The modules of which it imports everything.
    pub globs: Vec<Vec<String>>,
    /// The paths that its code names.
    pub names: Vec<Name>,
}

/// A path in a module's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its segments, as written.
    pub path: Vec<String>,
    /// The line in the module's file, from 1.
    pub line: usize,
    /// How it is named.
    pub by: By,
}

/// How a path is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// In an expression, a type, a pattern, a macro's arguments.
    Code,
    /// In a `use` declaration.
    Use {
        /// The declaration is also visible outside its module.
        public: bool,
        /// It ends in `*`.
        glob: bool,
    },
}

impl Modules {
    /// Parses the crate whose root file (`lib.rs` or `main.rs`) is `root`.
    ///
    /// # Errors
    ///
    /// The file and the reason where one is missing or is not Rust.
    pub fn parse(files: &Files, root: &str) -> Result<Self, String> {
        let syntax = parse_file(files, root)?;
        let mut modules = Self(Vec::new());
        let first = Module { file: root.to_owned(), ..Module::default() };
        modules.add(files, first, &syntax.items, "")?;
        Ok(modules)
    }

    /// The module with this number.
    #[must_use]
    pub fn get(&self, id: usize) -> Option<&Module> {
        self.0.get(id)
    }

    /// Every module with its number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Module)> {
        self.0.iter().enumerate()
    }

    /// Adds a module and those declared in it. The files of the latter lie in `folder`.
    fn add(&mut self, files: &Files, mut module: Module, items: &[Item], folder: &str) -> Result<usize, String> {
        let mut declared = Vec::new();
        for item in items {
            if is_for_tests(attributes_of(item)) {
                continue;
            }
            if let Item::Mod(child) = item {
                let child_name = name_of(&child.ident);
                if !child_name.ends_with("_tests") {
                    declared.push((child_name, child));
                }
            } else {
                module.items.extend(declared_name(item));
                Collector { module: &mut module }.visit_item(item);
            }
        }
        let (path, file) = (module.path.clone(), module.file.clone());
        let id = self.0.len();
        self.0.push(module);
        for (name, declaration) in declared {
            let mut child = Module { path: path.clone(), parent: Some(id), ..Module::default() };
            child.path.push(name.clone());
            let below = format!("{folder}{name}/");
            let child_id = if let Some((_, items)) = &declaration.content {
                child.file.clone_from(&file);
                self.add(files, child, items, &below)?
            } else {
                let plain = format!("{folder}{name}.rs");
                let nested = format!("{below}mod.rs");
                child.file = if files.text(&plain).is_some() { plain } else { nested };
                let syntax = parse_file(files, &child.file)?;
                self.add(files, child, &syntax.items, &below)?
            };
            if let Some(module) = self.0.get_mut(id) {
                module.children.insert(name, child_id);
            }
        }
        Ok(id)
    }
}

fn parse_file(files: &Files, path: &str) -> Result<File, String> {
    let text = files.text(path).ok_or_else(|| format!("{path}: no such file"))?;
    syn::parse_file(text).map_err(|error| format!("{path}:{}: {error}", line_of(error.span())))
}

/// Collects the paths that the code of one item names.
struct Collector<'a> {
    module: &'a mut Module,
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            syn::ImplItem::Verbatim(_) | _ => return,
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !is_for_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !is_for_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            let public = !matches!(item.vis, Visibility::Inherited);
            self.use_tree(&item.tree, &mut Vec::new(), public);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|segment| name_of(&segment.ident)).collect();
            let line = path.segments.first().map_or(0, |segment| line_of(segment.ident.span()));
            self.module.names.push(Name { path: segments, line, by: By::Code });
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }

    /// Attributes name nothing, but serde's, which name functions and modules in strings.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let (true, syn::Meta::List(list)) = (attribute.path().is_ident("serde"), &attribute.meta) {
            for token in list.tokens.clone() {
                let TokenTree::Literal(literal) = token else { continue };
                let text = literal.to_string();
                let path = text.trim_matches('"');
                if path.chars().all(|character| character.is_ascii_alphanumeric() || "_:".contains(character)) {
                    let segments = path.split("::").map(str::to_owned).collect();
                    self.module.names.push(Name { path: segments, line: line_of(literal.span()), by: By::Code });
                }
            }
        }
    }
}

impl Collector<'_> {
    fn use_tree(&mut self, tree: &UseTree, above: &mut Vec<String>, public: bool) {
        match tree {
            UseTree::Path(path) => {
                above.push(name_of(&path.ident));
                self.use_tree(&path.tree, above, public);
                above.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, above, public);
                }
            }
            UseTree::Name(name) => self.used(&name.ident, None, above, public),
            UseTree::Rename(rename) => self.used(&rename.ident, Some(&rename.rename), above, public),
            UseTree::Glob(glob) => {
                let line = line_of(glob.star_token.spans.first().copied().unwrap_or_else(Span::call_site));
                self.module.globs.push(above.clone());
                self.module.names.push(Name { path: above.clone(), line, by: By::Use { public, glob: true } });
            }
        }
    }

    fn used(&mut self, ident: &Ident, rename: Option<&Ident>, above: &[String], public: bool) {
        let mut path = above.to_vec();
        let name = name_of(ident);
        if name != "self" || path.is_empty() {
            path.push(name);
        }
        let alias = rename.map_or_else(|| path.last().cloned().unwrap_or_default(), name_of);
        self.module.aliases.entry(alias).or_default().push(path.clone());
        self.module.names.push(Name { path, line: line_of(ident.span()), by: By::Use { public, glob: false } });
    }

    /// A macro's arguments are not syntax yet: whatever looks like a path counts as one.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0_usize;
        let mut after_dot = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.token_path(&mut path, line);
                        line = line_of(ident.span());
                    }
                    if !after_dot {
                        path.push(name_of(&ident));
                    }
                    (colons, after_dot) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons = colons.saturating_add(1),
                // `$crate` is the crate that defines the macro.
                TokenTree::Punct(punct) if punct.as_char() == '$' => {
                    self.token_path(&mut path, line);
                    colons = 0;
                }
                other @ (TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) => {
                    self.token_path(&mut path, line);
                    colons = 0;
                    after_dot = matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '.');
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.token_path(&mut path, line);
    }

    fn token_path(&mut self, path: &mut Vec<String>, line: usize) {
        if !path.is_empty() {
            self.module.names.push(Name { path: std::mem::take(path), line, by: By::Code });
        }
    }
}

/// Whether an item is only compiled for tests: a `cfg` that asks for `test`, not for its absence.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && asks_for_test(list.tokens.clone())
    })
}

fn asks_for_test(tokens: TokenStream) -> bool {
    let mut negated = false;
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => {
            negated = ident == "not";
            ident == "test"
        }
        TokenTree::Group(group) => !std::mem::take(&mut negated) && asks_for_test(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Verbatim(_) | _ => &[],
    }
}

fn declared_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::ExternCrate(_)
        | Item::ForeignMod(_)
        | Item::Impl(_)
        | Item::Mod(_)
        | Item::Use(_)
        | Item::Verbatim(_)
        | _ => return None,
    };
    Some(name_of(ident))
}

/// A raw identifier (`r#type`) has the name of the plain one.
fn name_of(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

fn line_of(span: Span) -> usize {
    let LineColumn { line, .. } = span.start();
    line
}
