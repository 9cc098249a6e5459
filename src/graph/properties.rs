//! What is told of an object, property by property.

use std::borrow::Cow;

/// Properties by name, in the order of the names. An object has few and a pipeline thousands of objects, so they lie side
/// by side: a map would take half a kilobyte for one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties(Vec<(&'static str, Cow<'static, str>)>);

impl Properties {
    /// The value of a property; nothing where it is not told.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(own, _)| (*own).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Sets a property.
    pub fn insert(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        let value = value.into();
        match self.0.binary_search_by(|(own, _)| (*own).cmp(name)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (name, value));
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_ref()))
    }
}

impl<V: Into<Cow<'static, str>>> FromIterator<(&'static str, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (&'static str, V)>>(pairs: I) -> Self {
        let mut all = Properties::default();
        pairs.into_iter().for_each(|(name, value)| all.insert(name, value));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_holds() {
        let mut all = Properties::from_iter([("b", "1"), ("a", "2"), ("b", "3")]);
        all.insert("c", "4".to_owned());
        assert!(all.iter().eq([("a", "2"), ("b", "3"), ("c", "4")]));
        assert_eq!((all.get("b"), all.get("d")), (Some("3"), None));
    }
}
