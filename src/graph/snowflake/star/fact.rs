//! Facts: one row per grain, with the surrogate keys of its members.

use minijinja::context;

use super::source::Expression;
use super::*;
use crate::model::star::{Grain, Lookup};

/// The columns of a fact in their order: the grain's first, then members and moments, then measures.
struct Layout {
    grain: Vec<Ident>,
    others: Vec<Ident>,
    definitions: Vec<ColumnDefinition>,
}

impl Layout {
    fn all(&self) -> Vec<Ident> {
        [&self.grain[..], &self.others[..]].concat()
    }
}

impl<'a> Builder<'a> {
    /// A fact: its table and its task. `nodes` are those of each dimension.
    pub(super) fn fact(
        &self,
        fact: &'a Fact,
        nodes: &[Vec<NodeId>],
        access: &Access,
        graph: &mut Graph,
    ) -> anyhow::Result<Step> {
        let source = self.source(&fact.from)?;
        let table = self.context.target.schema.child(&fact.name);
        let layout = self.layout(fact, source)?;
        let mut needs = vec![access.schema.clone()];
        let places: BTreeSet<usize> = fact.lookups.iter().map(|lookup| lookup.dimension).collect();
        needs.extend(places.iter().filter_map(|place| nodes.get(*place)).flatten().cloned());
        let node = insert(self.fact_table(fact, &table, &layout)?, &needs, graph);
        let mut statements = Vec::new();
        statements.extend(self.gone(fact, source, &table, &layout)?);
        statements.extend(self.deleted(fact, source, &table, &layout)?);
        statements.push(self.merge(fact, source, &table, &layout)?);
        for lookup in &fact.lookups {
            statements.extend(self.repoint(lookup, &table, &layout)?);
        }
        let loads = BTreeSet::from([fact.from.clone()]);
        let dimensions = places.iter().filter_map(|place| self.star().dimensions.get(*place));
        Ok(Step {
            task: fact_task(&fact.name),
            about: format!("Merges {}", fact.name),
            work: Work::Transaction(statements),
            refill: self.refill(&loads),
            after: dimensions.map(|dimension| dimension_task(&dimension.name)).collect(),
            loads,
            nodes: vec![node],
        })
    }

    fn layout(&self, fact: &Fact, source: Source) -> anyhow::Result<Layout> {
        let mut definitions: Vec<ColumnDefinition> = match &fact.grain {
            Grain::Columns(columns) => columns.iter().map(definition).collect(),
            Grain::Row if source.table.is_keyless() => {
                vec![column("_ROW", TEXT, true, "Tells rows of the table apart")]
            }
            Grain::Row => {
                let keys = source.table.columns.iter().filter(|own| own.key);
                let definitions = keys.map(|own| ColumnDefinition {
                    name: own.name.clone(),
                    data_type: own.data_type.to_string().into(),
                    not_null: true,
                    was: own.was.clone(),
                    comment: own.description.as_deref().map(Into::into),
                });
                definitions.collect()
            }
        };
        for definition in &mut definitions {
            definition.not_null = true;
        }
        let grain: Vec<Ident> = definitions.iter().map(|definition| definition.name.clone()).collect();
        for lookup in &fact.lookups {
            let dimension = self.looked_up(lookup)?;
            let about = format!("Key of {}", dimension.name);
            // Never null, but not declared so: a fact with rows could not get a column without a value.
            definitions.push(column(lookup.column.as_str(), "NUMBER(38,0)", false, &about));
            if lookup.at.is_some() {
                let about = format!("The moment whose version of {} is meant", dimension.name);
                definitions.push(column(moment_name(lookup).as_str(), "TIMESTAMP_NTZ(9)", false, &about));
            }
        }
        definitions.extend(fact.columns.iter().map(definition));
        let others = definitions
            .iter()
            .skip(grain.len())
            .map(|definition| definition.name.clone());
        Ok(Layout {
            others: others.collect(),
            grain,
            definitions,
        })
    }

    fn looked_up(&self, lookup: &Lookup) -> anyhow::Result<&'a Dimension> {
        let found = self.star().dimensions.get(lookup.dimension);
        found.ok_or_else(|| anyhow::anyhow!("{} has no dimension", lookup.column))
    }

    fn fact_table(&self, fact: &Fact, table: &Name, layout: &Layout) -> anyhow::Result<Object> {
        let mut columns = layout.definitions.clone();
        columns.extend(origin());
        let mut constraints = vec![format!("PRIMARY KEY ({}) RELY", list(&layout.grain, ""))];
        for lookup in &fact.lookups {
            let dimension = self.looked_up(lookup)?;
            let of = self.context.target.schema.child(&dimension.name);
            constraints.push(format!(
                "FOREIGN KEY ({}) REFERENCES {of} ({}) RELY",
                lookup.column, dimension.surrogate
            ));
        }
        let about = fact.description.clone().unwrap_or_default();
        let mut object = own_table(self.context, table, &about, &columns, &constraints, "DELETE")?;
        object.key = layout.grain.clone();
        Ok(object)
    }

    /// Removes the facts of rows that make none any more: deleted, or no longer what `where` asks for.
    fn gone(&self, fact: &Fact, source: Source, table: &Name, layout: &Layout) -> anyhow::Result<Option<String>> {
        let filter = fact.filter.clone();
        let shared = context! { fact => raw(table), grain => list(&layout.grain, "") };
        let values = match (&fact.grain, filter) {
            (Grain::Row, filter) => context! {
                batch => raw(&source.stage.batch),
                of_b => list(&layout.grain, "b."),
                rows => source.touched(&[], &layout.grain, filter)?,
                match => equal(&layout.grain, "r", "b"),
                ..shared
            },
            (Grain::Columns(_), None) => return Ok(None),
            (Grain::Columns(columns), Some(filter)) => {
                let expressions: Vec<Expression> = columns.iter().map(Expression::of).collect();
                let others = format!("NOT COALESCE({filter}, FALSE)");
                context! {
                    batch => raw(""),
                    found => places(expressions.len()),
                    rows => source.touched(&expressions, &[], Some(others))?,
                    ..shared
                }
            }
        };
        self.context.templates.text("star_fact_gone", values).map(Some)
    }

    /// Removes the facts of a grain of which the last row was deleted. Where a row makes a fact, it goes with the row.
    fn deleted(&self, fact: &Fact, source: Source, table: &Name, layout: &Layout) -> anyhow::Result<Option<String>> {
        let (Grain::Columns(columns), true) = (&fact.grain, source.table.cdc.is_some()) else {
            return Ok(None);
        };
        let expressions: Vec<Expression> = columns.iter().map(Expression::of).collect();
        let values = context! {
            fact => raw(table),
            grain => list(&layout.grain, ""),
            of_b => list(&layout.grain, "b."),
            columns => named(&layout.grain, 1),
            deleted => source.changes(&expressions, &[], Some("_OP = 'd'".to_owned()))?,
            rows => source.present(&expressions, fact.filter.as_deref())?,
            match => equal(&layout.grain, "r", "b"),
        };
        self.context.templates.text("star_fact_deleted", values).map(Some)
    }

    fn merge(&self, fact: &Fact, source: Source, table: &Name, layout: &Layout) -> anyhow::Result<String> {
        let mut expressions = Vec::new();
        let mut columns = Vec::new();
        let mut joins = Vec::new();
        let (carried, partition) = match &fact.grain {
            Grain::Row => {
                let grain = layout.grain.iter();
                columns.extend(grain.map(|name| context! { found => raw(format!("r.{name}")), name => raw(name) }));
                (layout.grain.clone(), list(&layout.grain, ""))
            }
            Grain::Columns(own) => {
                for column in own {
                    expressions.push(Expression::of(column));
                    columns.push(found(format!("r._{}", expressions.len()), &column.name));
                }
                (Vec::new(), places(expressions.len()))
            }
        };
        for (position, lookup) in fact.lookups.iter().enumerate() {
            let dimension = self.looked_up(lookup)?;
            let first = expressions.len() + 1;
            match &dimension.members {
                Members::Calendar(calendar) => {
                    expressions.extend(lookup.sql.iter().map(|sql| Expression::moment(sql)));
                    let key = calendar::key_of(*calendar, &format!("r._{first}"));
                    columns.push(found(format!("COALESCE({key}, -1)"), &lookup.column));
                }
                Members::Rows(rows) => {
                    let pairs = lookup.sql.iter().zip(&rows.key);
                    expressions.extend(pairs.map(|(sql, key)| Expression::new(sql, key.data_type)));
                    let alias = format!("d{}", position + 1);
                    let keys = rows.key.iter().enumerate();
                    let mut conditions: Vec<String> = keys
                        .map(|(place, key)| format!("{alias}.{} = r._{}", key.name, first + place))
                        .collect();
                    let member = format!("COALESCE({alias}.{}, -1)", dimension.surrogate);
                    columns.push(found(member, &lookup.column));
                    let of = self.context.target.schema.child(&dimension.name);
                    let mut members = of.to_string();
                    if let Some(at) = &lookup.at {
                        expressions.push(Expression::moment(at));
                        let moment = format!("r._{}", expressions.len());
                        conditions.push(history::is_of(&alias, &moment));
                        columns.push(found(moment, &moment_name(lookup)));
                        members =
                            history::members(self.context.templates, &of, &dimension.surrogate, &idents(&rows.key))?;
                    }
                    joins.push(context! {
                        members => raw(members),
                        alias => raw(alias),
                        condition => raw(conditions.join(" AND ")),
                    });
                }
            }
        }
        for column in &fact.columns {
            expressions.push(Expression::of(column));
            columns.push(found(format!("r._{}", expressions.len()), &column.name));
        }
        let names = layout.all();
        let values = context! {
            fact => raw(table),
            columns => columns,
            rows => source.touched(&expressions, &carried, fact.filter.clone())?,
            partition => partition,
            joins => joins,
            match => equal(&layout.grain, "t", "s"),
            updated => raws(&layout.others),
            names => list(&names, ""),
            values => list(&names, "s."),
        };
        self.context.templates.text("star_fact", values)
    }

    /// Gives facts the version of their moment where late changes made another version out of it.
    fn repoint(&self, lookup: &Lookup, table: &Name, layout: &Layout) -> anyhow::Result<Option<String>> {
        let dimension = self.looked_up(lookup)?;
        let (Some(history), Members::Rows(rows)) = (self.history_of(dimension), &dimension.members) else {
            return Ok(None);
        };
        let key = idents(&rows.key);
        let of = self.context.target.schema.child(&dimension.name);
        let same = equal(&key, "n", "o");
        let values = context! {
            fact => raw(table),
            of_f => list(&layout.grain, "f."),
            surrogate => raw(&dimension.surrogate),
            dimension => raw(&of),
            column => raw(&lookup.column),
            keys => list(&key, ""),
            history => raw(history),
            changed => equal(&key, "c", "o"),
            members => raw(history::members(self.context.templates, &of, &dimension.surrogate, &key)?),
            condition => raw(format!("{same} AND {}", history::is_of("n", &format!("f.{}", moment_name(lookup))))),
            match => equal(&layout.grain, "t", "s"),
        };
        self.context.templates.text("star_repoint", values).map(Some)
    }
}

fn found(sql: String, name: &Ident) -> Value {
    context! { found => raw(sql), name => raw(name) }
}

/// The column with the moment whose version is meant.
fn moment_name(lookup: &Lookup) -> Ident {
    Ident::new(&format!("_{}_AT", lookup.column.as_str()))
}
