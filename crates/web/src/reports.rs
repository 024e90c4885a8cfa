//! The queue of reports ([`sammen_core::ops::reports`]) in the API's words.

use sammen_core::ops::reports::{Reason, State};

use crate::types::{ReportReason, ReportState};

impl From<ReportReason> for Reason {
    fn from(reason: ReportReason) -> Self {
        match reason {
            ReportReason::Spam => Self::Spam,
            ReportReason::Abuse => Self::Abuse,
            ReportReason::Other => Self::Other,
        }
    }
}

impl From<Reason> for ReportReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Spam => Self::Spam,
            Reason::Abuse => Self::Abuse,
            Reason::Other => Self::Other,
        }
    }
}

impl From<ReportState> for State {
    fn from(state: ReportState) -> Self {
        match state {
            ReportState::Open => Self::Open,
            ReportState::Done => Self::Done,
            ReportState::Dismissed => Self::Dismissed,
        }
    }
}

impl From<State> for ReportState {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Done => Self::Done,
            State::Dismissed => Self::Dismissed,
        }
    }
}
