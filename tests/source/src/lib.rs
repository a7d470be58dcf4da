//! Rules about the source itself, as functions over a tree of files: the tests in `tests/` apply
//! them to this repository, the unit tests show with small bad trees that each rule can fail.
//!
//! Reading order: [`files`] (what is read), [`modules`] (a crate's modules and the names in their
//! code), [`imports`] (which file imports from which) and [`prose`] (comments, strings, Markdown),
//! then the rules: [`circles`], [`floors`], [`tokens`], [`workspace`] and [`words`].

pub mod circles;
pub mod files;
pub mod floors;
pub mod imports;
pub mod modules;
pub mod prose;
pub mod reports;
pub mod tokens;
pub mod words;
pub mod workspace;
