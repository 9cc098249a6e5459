//! Rows of the current event that were not read yet: where they are, and how one is read.

use std::sync::Arc;

use super::super::event::Operation;
use super::super::inflow::Inflow;
use super::super::rows::Layout;
use crate::runtime::extract::encode::Encoded;
use crate::runtime::mysql::Part;

/// Rows being read.
pub struct Rows {
    pub operation: Operation,
    pub layout: Arc<Layout>,
    pub place: Place,
}

impl Rows {
    /// What is there of the rows that were not read.
    #[inline]
    pub fn bytes<'a>(&self, inflow: &'a Inflow, part: &Part<'a>) -> &'a [u8] {
        match self.place {
            Place::Part { at, end } => &part.bytes[at..end],
            Place::Inflow { left } => {
                let bytes = inflow.bytes();
                let most = left.map_or(bytes.len(), |left| bytes.len().min(left as usize));
                &bytes[..most]
            }
        }
    }

    /// Whether so many bytes are all there will be.
    pub fn is_complete(&self, available: usize) -> bool {
        match self.place {
            Place::Part { .. } => true,
            Place::Inflow { left } => left.is_some_and(|left| available as u64 >= left),
        }
    }

    /// Encodes the images of one row and gives their length; `None` when the bytes are too few.
    #[inline]
    pub fn read(&self, bytes: &[u8], before: &mut Encoded, after: &mut Encoded) -> Option<usize> {
        if bytes.is_empty() {
            return None;
        }
        match self.operation {
            Operation::Insert => self.layout.image(bytes, after),
            Operation::Delete => self.layout.image(bytes, before),
            Operation::Update => {
                let length = self.layout.image(bytes, before)?;
                Some(length + self.layout.image(bytes.get(length..)?, after)?)
            }
            Operation::PartialUpdate => {
                let length = self.layout.image(bytes, before)?;
                Some(length + self.layout.partial_image(bytes.get(length..)?, after, before)?)
            }
        }
    }
}

/// Where they are.
#[derive(Clone, Copy)]
pub enum Place {
    /// In the part, from here on to there.
    Part { at: usize, end: usize },
    /// In the inflow: bytes of the event still to be taken, where it says.
    Inflow { left: Option<u64> },
}
