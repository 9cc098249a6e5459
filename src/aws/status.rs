//! What each CloudFormation status means for the next deploy:
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>.

/// What a stack's status asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It can be updated.
    Update,
    /// It never lived: its first creation failed. It is deleted and made anew.
    Recreate,
    /// A change set was made and never executed: the stack has no resources yet.
    Create,
    /// Its rollback stopped half-way and is continued first.
    ContinueRollback,
    /// Its update stopped half-way, as somebody asked for, and is rolled back first.
    RollBack,
    /// Something is under way and is waited for.
    Wait,
    /// Its deletion stopped half-way and is tried again; then it is made anew.
    DeleteAgain,
    /// No call of CloudFormation leads out of it but the deletion of the stack.
    Stuck,
}

impl Next {
    /// What a deploy does about it, in words that follow "a deploy".
    pub fn words(self) -> &'static str {
        match self {
            Next::Update => "updates it",
            Next::Recreate => "deletes what is left of it and makes it anew",
            Next::Create => "makes it",
            Next::ContinueRollback => "continues the rollback and updates it",
            Next::RollBack => "rolls it back and updates it",
            Next::Wait => "waits until that has ended",
            Next::DeleteAgain => "deletes the rest and makes it anew",
            Next::Stuck => "cannot help: delete the stack by hand, what it imported stays; then deploy again",
        }
    }
}

/// What follows from `status`.
pub fn next(status: &str) -> Next {
    match status {
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" => Next::Recreate,
        "REVIEW_IN_PROGRESS" => Next::Create,
        "UPDATE_ROLLBACK_FAILED" => Next::ContinueRollback,
        "UPDATE_FAILED" => Next::RollBack,
        "IMPORT_ROLLBACK_FAILED" => Next::Stuck,
        "DELETE_FAILED" => Next::DeleteAgain,
        other if other.ends_with("_IN_PROGRESS") => Next::Wait,
        _ => Next::Update,
    }
}

/// Whether something failed that a person must hear of: the stack's events tell what.
pub fn is_failure(status: &str) -> bool {
    status.ends_with("_FAILED") || status == "ROLLBACK_COMPLETE"
}

/// Whether an operation came to its end.
pub fn is_final(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS")
}

/// Whether an operation ended as it was meant to.
pub fn is_success(status: &str) -> bool {
    matches!(
        status,
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "DELETE_COMPLETE" | "IMPORT_COMPLETE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_next_step() {
        assert_eq!(next("ROLLBACK_COMPLETE"), Next::Recreate);
        assert_eq!(next("REVIEW_IN_PROGRESS"), Next::Create);
        assert_eq!(next("UPDATE_ROLLBACK_FAILED"), Next::ContinueRollback);
        assert_eq!(next("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), Next::Wait);
        assert_eq!(next("UPDATE_ROLLBACK_COMPLETE"), Next::Update);
        assert_eq!(next("DELETE_FAILED"), Next::DeleteAgain);
        assert_eq!(next("UPDATE_FAILED"), Next::RollBack);
        assert_eq!(next("IMPORT_ROLLBACK_COMPLETE"), Next::Update);
        assert_eq!(next("IMPORT_ROLLBACK_FAILED"), Next::Stuck);
        assert_eq!(next("IMPORT_IN_PROGRESS"), Next::Wait);
    }
}
