//! `pipeline.toml`: what the user wrote, with the place of everything in it.
//!
//! [`parse`] reads a file for one environment and reports every fault at once. It knows nothing of names in the clouds;
//! the model does, and reports its faults by path through [`Positions::report`].

mod check;
pub mod code;
mod cursor;
mod diagnostic;
mod environment;
pub(crate) mod expression;
pub mod jsonpath;
pub mod mysql;
mod node;
mod path;
mod position;
pub mod rate;
mod read;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod source;
pub mod sqltype;
pub mod star;
mod suggest;
mod syntax;
pub mod template;
mod text;
pub mod types;
pub mod watermark;

#[cfg(test)]
mod tests;

use toml::de::DeTable;

use check::Demands;
use node::Node;
use text::SourceText;
use types::Spec;

pub use diagnostic::{Diagnostic, Fault, Report};
pub use environment::{DEFAULT as DEFAULT_ENVIRONMENT, LOCAL as LOCAL_ENVIRONMENT};
pub use path::{Path, Segment};
pub use position::Positions;
pub use text::Position;

/// Bytes that a pipeline.toml may have; a larger one is some other file.
const LARGEST: usize = 4 << 20;

/// A file that was read for one environment.
#[derive(Debug, Clone)]
pub struct Document {
    /// What the user wants, with the environment's overrides applied.
    pub spec: Spec,
    /// The environment it was read for.
    pub environment: String,
    /// Where everything stands in the file.
    pub positions: Positions,
}

/// Reads a pipeline.toml for the environment `env`; `file` is its name in reports.
pub fn parse(text: &str, file: &str, env: &str) -> Result<Document, Report> {
    read_environment(text, file, env, Demands::All)
}

/// Checks a file for `env` and for every environment it declares; a fault of several is reported once.
pub fn check_every_env(text: &str, file: &str, env: &str) -> Result<(), Report> {
    let declared = declared_environments(text);
    // Who declares environments but not `dev` does not deploy to `dev`: then it need not name an account.
    let is_base = env == DEFAULT_ENVIRONMENT && !declared.is_empty() && !declared.iter().any(|name| name == env);
    let demands = if is_base { Demands::Shape } else { Demands::All };
    let mut reports: Vec<Report> = read_environment(text, file, env, demands).err().into_iter().collect();
    for name in declared.iter().filter(|name| *name != env) {
        reports.extend(read_environment(text, file, name, Demands::All).err());
    }
    Report::join(reports).map_or(Ok(()), Err)
}

fn declared_environments(text: &str) -> Vec<String> {
    if text.len() > LARGEST {
        return Vec::new();
    }
    let (table, _) = DeTable::parse_recoverable(text);
    environment::declared(&Node::document(table.get_ref()))
}

fn read_environment(text: &str, file: &str, env: &str, demands: Demands) -> Result<Document, Report> {
    let mut source = SourceText::new(file, text);
    if text.len() > LARGEST {
        let message = format!(
            "the file has {} bytes; no pipeline needs more than {LARGEST}",
            text.len()
        );
        let diagnostic = Diagnostic {
            code: code::TOO_LARGE,
            path: Path::root(),
            span: 0..0,
            message,
            hint: None,
        };
        return Err(Report::new(vec![diagnostic], source));
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut tree = Node::document(table.get_ref());
    drop(table);
    // Secrets are hidden before anything else is said about the file, those of other environments too.
    let mut diagnostics = find_secrets(&tree, &mut source);
    let declares = tree.get("env").is_some();
    let written = declares.then(|| tree.clone());
    let misplaced = environment::apply(&mut tree, env);
    if !misplaced.is_empty() {
        // Without environments the tree is as it was.
        let written = Positions {
            tree: written.unwrap_or_else(|| tree.clone()),
            source: source.clone(),
        };
        diagnostics.extend(misplaced.into_iter().map(|fault| written.diagnostic(fault)));
    }

    let mut faults = Vec::new();
    let secrets = secret::find(&tree).faults;
    check::run(&tree, env, demands, &mut faults);
    let spec = read::spec(&tree);
    if let Err(problems) = &spec {
        // A secret under an unknown key is one fault, and the worse one.
        faults.extend(
            problems
                .iter()
                .filter(|problem| !secrets.iter().any(|s| s.path == problem.path))
                .cloned(),
        );
    }
    faults.extend(secrets);
    let positions = Positions { tree, source };
    diagnostics.extend(faults.into_iter().map(|fault| positions.diagnostic(fault)));
    let diagnostics = syntax::join(diagnostics, &errors, &positions.source);
    match spec {
        Ok(spec) if diagnostics.is_empty() => Ok(Document {
            spec: completed(spec),
            environment: env.to_owned(),
            positions,
        }),
        _ => Err(Report::new(diagnostics, positions.source)),
    }
}

/// Hides every secret in the source, and says those that the chosen environment would not show: in other
/// environments and in comments.
fn find_secrets(tree: &Node, source: &mut SourceText) -> Vec<Diagnostic> {
    let found = secret::find(tree);
    source.hide(&found.hidden);
    let mut diagnostics = secret::outside_values(source.text(), &found.hidden);
    source.hide(&secret::in_text(source.text()));
    let elsewhere = |fault: &Fault| fault.path.segments().first() == Some(&Segment::Key("env".to_owned()));
    let faults: Vec<Fault> = found.faults.into_iter().filter(elsewhere).collect();
    if !faults.is_empty() {
        let positions = Positions {
            tree: tree.clone(),
            source: source.clone(),
        };
        diagnostics.extend(faults.into_iter().map(|fault| positions.diagnostic(fault)));
    }
    diagnostics
}

/// What the user need not write because it follows: a key is never null.
fn completed(mut spec: Spec) -> Spec {
    for column in spec.tables.iter_mut().flat_map(|table| &mut table.columns) {
        column.not_null |= column.key;
    }
    spec
}
