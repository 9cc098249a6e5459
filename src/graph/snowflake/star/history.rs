//! Dimensions that keep versions (slowly changing, type 2).
//!
//! Every change of a member is kept in a history: key, moment, whether it was a delete, values. The versions of a member
//! are made from its whole history, so they are the same in whatever order and batches changes arrive. A version that was
//! made keeps its surrogate key for ever, also when late changes move its beginning or give it other values.

use minijinja::context;

use super::dimension::{Made, filter_of_changes};
use super::source::Expression;
use super::*;
use crate::snowflake::sql::Templates;

impl Builder<'_> {
    pub(super) fn history_table(&self, made: &Made, history: &Name) -> anyhow::Result<Object> {
        let mut columns: Vec<ColumnDefinition> = made
            .rows
            .key
            .iter()
            .chain(&made.rows.attributes)
            .map(definition)
            .collect();
        columns.extend([
            column("_AT", "TIMESTAMP_NTZ(9)", false, "When the member changed"),
            column("_IS_GONE", "BOOLEAN", false, "Whether it was deleted then"),
            column("_IS_INFERRED", "BOOLEAN", false, "Whether only facts know of it"),
            column(
                "_IS_NEW",
                "BOOLEAN",
                false,
                "Whether the run is not ended that brought it",
            ),
            column("_SEQ", TEXT, false, "Orders the changes; a later one is larger"),
        ]);
        let about = format!("Changes of the members of {}", made.dimension.name);
        own_table(self.context, history, &about, &columns, &[], "UPDATE")
    }

    /// The statements of a dimension that keeps versions.
    pub(super) fn versions(&self, position: usize, made: &Made, history: &Name) -> anyhow::Result<Vec<String>> {
        let templates = self.context.templates;
        let (names, keys) = (made.names(), made.key.len());
        let effective = made
            .rows
            .history
            .as_ref()
            .and_then(|history| history.effective.as_deref());
        let mut expressions = made.expressions();
        let moment = match effective {
            Some(effective) => {
                expressions.push(Expression::moment(effective));
                format!("COALESCE(_{}, _TS)", expressions.len())
            }
            None => "_TS".to_owned(),
        };
        let condition = filter_of_changes(made.rows.filter.as_deref());
        let changes = self
            .source(&made.rows.from)?
            .changes(&expressions, &["_TS", "_OP"], condition)?;
        let mut statements = vec![self.unknown(made.dimension, &made.table)?];
        statements.push(templates.text(
            "star_history",
            context! {
                history => raw(history),
                columns => named(&names, 1),
                moment => raw(moment),
                rows => changes,
                known => known(keys),
                partition => places(keys),
                match => equal(&made.key, "t", "s"),
                attributes => raws(&made.attributes),
                names => list(&names, ""),
                values => list(&names, "s."),
            },
        )?);
        for (fact, lookup) in self.lookups(position) {
            let source = self.source(&fact.from)?;
            statements.push(templates.text(
                "star_history_infer",
                context! {
                    history => raw(history),
                    columns => named(&made.key, 1),
                    rows => source.touched(&made.named_by(lookup), &[], fact.filter.clone())?,
                    known => known(keys),
                    names => list(&made.key, ""),
                    match => equal(&made.key, "t", "s"),
                    beginning => raw(BEGINNING),
                    values => list(&made.key, "s."),
                },
            )?);
        }
        statements.push(templates.text(
            "star_versions",
            context! {
                dimension => raw(&made.table),
                history => raw(history),
                surrogate => raw(&made.dimension.surrogate),
                keys => list(&made.key, ""),
                of_h => list(&made.key, "h."),
                new => equal(&made.key, "n", "h"),
                old => equal(&made.key, "d", "h"),
                inferred => equal(&made.key, "i", "h"),
                attributes => raws(&made.attributes),
                names => list(&names, ""),
                values => list(&names, "s."),
            },
        )?);
        Ok(statements)
    }
}

/// The versions of a dimension as facts look for them, from when and until when. A version is meant until the next begins,
/// also after its member was deleted; the first one is meant before it began, too, since nothing better is known.
pub(super) fn members(
    templates: &Templates,
    dimension: &Name,
    surrogate: &Ident,
    key: &[Ident],
) -> anyhow::Result<String> {
    let values = context! {
        dimension => raw(dimension),
        surrogate => raw(surrogate),
        keys => list(key, ""),
        beginning => raw(BEGINNING),
    };
    templates.text("star_members", values)
}

/// Whether the version `alias` is the one of a moment.
pub(super) fn is_of(alias: &str, moment: &str) -> String {
    let moment = format!("COALESCE({moment}, {END})");
    format!("{moment} >= {alias}._SINCE AND ({alias}._NEXT IS NULL OR {moment} < {alias}._NEXT)")
}
