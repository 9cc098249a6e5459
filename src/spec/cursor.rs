//! A place in the document that checks walk with: it knows its path, and reads only what has the right kind.

use std::rc::Rc;

use super::diagnostic::Fault;
use super::node::{Node, Value};
use super::path::{Path, Segment};

/// A value that may be missing or of a wrong kind; then it reads as nothing, because reading into types reports that.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    node: Option<&'a Node>,
    place: Option<Rc<Place>>,
}

/// A step and the way to it. Few places are ever told, so a path is made only of those.
struct Place {
    above: Option<Rc<Place>>,
    step: Segment,
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(tree: &'a Node) -> Self {
        Self {
            node: Some(tree),
            place: None,
        }
    }

    fn below(&self, step: Segment) -> Option<Rc<Place>> {
        let above = self.place.clone();
        Some(Rc::new(Place { above, step }))
    }

    fn path(&self) -> Path {
        let mut steps: Vec<Segment> = std::iter::successors(self.place.as_deref(), |place| place.above.as_deref())
            .map(|place| place.step.clone())
            .collect();
        steps.reverse();
        steps.into_iter().collect()
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        Self {
            node: self.node.and_then(|node| node.get(key)),
            place: self.below(Segment::Key(key.to_owned())),
        }
    }

    pub(crate) fn is_present(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        self.node.and_then(Node::text)
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self.node?.value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.node?.value {
            Value::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }

    /// The items, if this is an array.
    pub(crate) fn items(&self) -> Option<Vec<Cursor<'a>>> {
        match &self.node?.value {
            Value::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, node)| Cursor {
                        node: Some(node),
                        place: self.below(Segment::Index(index)),
                    })
                    .collect(),
            ),
            _ => None,
        }
    }

    /// Keys and values, if this is a table.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Cursor<'a>)> {
        let table = self.node.and_then(Node::table);
        table
            .into_iter()
            .flatten()
            .map(|(key, _)| (key.as_str(), self.key(key)))
            .collect()
    }

    pub(crate) fn fault(&self, code: &'static str, message: impl Into<String>) -> Fault {
        Fault::new(code, self.path(), message)
    }
}
