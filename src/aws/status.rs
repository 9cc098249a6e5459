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
    /// Something is under way and is waited for.
    Wait,
    /// Its deletion stopped half-way and is tried again.
    DeleteAgain,
}

/// What follows from `status`.
pub fn next(status: &str) -> Next {
    match status {
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" => Next::Recreate,
        "REVIEW_IN_PROGRESS" => Next::Create,
        "UPDATE_ROLLBACK_FAILED" => Next::ContinueRollback,
        "DELETE_FAILED" => Next::DeleteAgain,
        other if other.ends_with("_IN_PROGRESS") => Next::Wait,
        _ => Next::Update,
    }
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
    }
}
