//! Why a text of somebody else's cannot be used.

/// Why text is not what it should be. Never quotes the text: it may be anybody's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, and what to do where that is known.
    pub reason: &'static str,
    /// Where, in bytes from the start of the text.
    pub offset: usize,
}
