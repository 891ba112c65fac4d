//! Compose text to a typed project, and from there to the model's stack. Pure: files come through [`Files`], the
//! environment as a map.
//!
//! The stages, each a module, in the order in which a file passes them:
//!
//! | module | what it does |
//! |---|---|
//! | [`discover`] | which files, which directory, which env files |
//! | [`yaml`] | text to [`node`] trees that know their places; go-yaml's scalars, merge keys, aliases within a budget |
//! | [`interpolate`] | `${NAME:-default}` in values, then casts; [`dotenv`] reads `.env` and `env_file` |
//! | [`include`], [`extends`], [`merge`] | several files, and services over services, become one model |
//! | [`schema`] | which keys exist and what types their values have |
//! | [`canonical`] | short forms to long ones |
//! | [`paths`], [`normalize`] | absolute paths, defaults, names, implied dependencies |
//! | [`typed`] | one representation per attribute |
//! | [`profiles`], [`validate`], [`environment`] | which services take part, and whether they fit together |
//! | [`project`], [`template`], [`config`] | the result, the same before interpolation, and their canonical text |
//! | [`publish`] | a file as it is published: what it names, and with other names |
//! | [`watch`] | what `develop.watch` asks for |
//! | [`translate`] | the project as a [`model::Stack`]; what can't be carried out is refused by name |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod canonical;
mod config;
mod discover;
pub mod dotenv;
mod environment;
mod error;
mod extends;
mod files;
mod include;
mod interpolate;
mod load;
mod merge;
pub mod node;
mod normalize;
mod path;
mod paths;
mod pattern;
mod pipeline;
mod profiles;
mod project;
pub mod publish;
mod schema;
mod service;
mod suggest;
mod template;
mod translate;
mod typed;
mod validate;
pub mod watch;
mod yaml;

pub use typed::shell_words;

pub use config::yaml::text as yaml;
pub use error::{Error, Errors, Position, Warning};
pub use files::{FileError, Files};
pub use interpolate::variables::Variable;
pub use load::{LoadOptions, Loaded, load, load_model};
pub use project::{Project, Services};
pub use schema::attributes;
pub use service::Service;
pub use template::Model;
pub use translate::{
    AiModel, Build, ELSEWHERE, Outcome, Provider, Row, TranslateOptions, Unused, Variables, all_dependents, build,
    dependents, model_variables, models, providers, report, translate, unused,
};
pub use validate::dependency_order;
